"""What a lint finds: one record per fault, the same for shards, samples and whole data sets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from loretta_framework.shards.remote.locations import shown as shown_place
from loretta_framework.shards.walk import shown as shown_name

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault.

    Attributes:
        severity: "error" when the data cannot be used as it is, "warning" when it can.
        code: kind of fault in kebab case; it stays the same from release to release.
        what: the fault in a sentence.
        fix: what to do about it.
        shard: path or URL; "" when no single shard is at fault.
        offset: byte of the shard where the member's header begins, None when there is none.
        key: the sample's key, "" when no single sample is at fault.
        member: local name such as `image.png`, or the whole name when it cannot be taken apart.
        data_set: "<split>/<set>" when a recipe was checked, else "".
    """

    severity: Severity
    code: str
    what: str
    fix: str
    shard: str = ""
    offset: int | None = None
    key: str = ""
    member: str = ""
    data_set: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def __str__(self) -> str:
        place = shown_place(self.shard) if self.shard else self.data_set
        if self.shard and self.offset is not None:
            place += f":{self.offset}"
        parts = [place] if place else []
        parts += [f"key '{shown_name(self.key)}'"] if self.key else []
        parts += [f"member '{shown_name(self.member)}'"] if self.member else []
        where = " ".join(parts) + ": " if parts else ""
        # What is wrong may quote what stands in the data.
        return f"{self.severity:7s}  {self.code}  {where}{_printable(self.what)} -> {self.fix}"


def _printable(text: str) -> str:
    """The whole text without control characters and surrogates."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def tally(findings: Iterable[Finding]) -> tuple[int, int]:
    """(errors, warnings)."""
    errors = warnings = 0
    for finding in findings:
        errors += finding.severity == "error"
        warnings += finding.severity == "warning"
    return errors, warnings
