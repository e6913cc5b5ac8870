"""Records of plugins and kernels as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from loretta_framework.registry.records import PluginRecord

PLUGINS = ("name", "distribution", "version", "status", "cause")
KERNELS = ("component", "optional package", "status", "what was found", "install")


def tables(records: Sequence[PluginRecord]) -> str:
    """A table of the plugins, what they bring as far as that is known, and a table of kernels."""
    rows = [(r.name, r.distribution, r.version, r.status, _cause(r)) for r in records]
    parts = [aligned([PLUGINS, *rows])]
    if brought := [(r.name, "  ".join(r.components)) for r in records if r.components]:
        parts.append(aligned([("plugin", "brings"), *brought]))
    kernels = [kernel for record in records for kernel in record.kernels]
    if kernels:
        found = [(k.component, k.package, k.status, k.text, k.install) for k in kernels]
        parts.append(aligned([KERNELS, *found]))
    return "\n\n".join(parts)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side; the last one is as wide as it is."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Iterable[int]) -> str:
    cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
    return "  ".join([*cells, row[-1]]).rstrip()


def _cause(record: PluginRecord) -> str:
    cause = f"{record.cause} ({record.place})" if record.place else record.cause
    return "; ".join(filter(None, [cause, f"note: {record.note}" if record.note else ""]))
