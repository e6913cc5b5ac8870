"""Data sets by name: turn what can be downloaded or is bundled into shards."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from loretta_framework.api.errors import InputError, nearest

PREPARERS = {
    "svl-digits": (
        "svl_digits",
        "8x8 handwritten digits, spoken digits and number words: the demo and its control sets.",
    ),
}
"""Name -> (module in `preparers` with a `prepare(source, out, seed)`, one sentence)."""


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What was written.

    Attributes:
        name: the data set.
        out: the folder.
        sets: (prefix of the shards, modalities, samples) of each set.
    """

    name: str
    out: Path
    sets: tuple[tuple[str, tuple[str, ...], int], ...]


def prepare(name: str, source: Path | None, out: Path, seed: int = 0) -> PrepareReport:
    """Build a data set's shards in a folder; the same seed and source give the same bytes.

    Args:
        name: one of `PREPARERS`.
        source: folder with what the data set is made from; None: its default place.
        out: folder that receives the shards; older shards of the same sets are replaced.
        seed: key of splits and pairings.

    Raises:
        InputError: there is no data set of that name, or the source is missing.
        MissingDependencyError: an optional package is absent.
        ShardError: the source does not hold what is needed.
    """
    if name not in PREPARERS:
        raise InputError(
            f"no data set is called '{name}'{nearest(name, list(PREPARERS))}",
            fix=f"choose one of: {', '.join(PREPARERS)}",
        )
    module = importlib.import_module(f"{__package__}.preparers.{PREPARERS[name][0]}")
    report = module.prepare(source, out, seed)
    assert isinstance(report, PrepareReport)
    return report
