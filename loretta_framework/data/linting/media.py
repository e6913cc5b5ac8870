"""Decodes every sample of data sets in child processes and turns what they say into findings."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from loretta_framework.api.errors import LorettaError
from loretta_framework.api.protocols import RowSource, Source
from loretta_framework.data.linting.decode_check import DecodeCheck
from loretta_framework.data.recipe_data import RecipeParts
from loretta_framework.data.sample import SetReader
from loretta_framework.data.supervised import Died, run_rows
from loretta_framework.recipe.plan import SetPlan
from loretta_framework.shards.linting.contents import Contents
from loretta_framework.shards.linting.findings import Finding
from loretta_framework.shards.remote.locations import indexing_anew

ROW_SECONDS = 30.0
"""Time that the files of one sample may take to decode."""

_FIXES = {
    "unreadable-media": "mend the file or take the sample out",
    "out-of-range": "mend the file, or change the modality's settings",
    "not-finite": "mend the file: training on it gives no number",
    "too-much-memory": "take the sample out, or lower the modality's limits",
    "plugin-bug": "report it to the plugin's authors: data must not make it raise this",
    "bad-label": "mend the sample's facts, or take `label` out of the recipe",
    "bad-sequence": "name each part once, with its number",
    "over-limit": "store it in a smaller form, or raise max_bytes",
    "duplicate-part": "number the members: image.0.png, image.1.png",
    "damaged-member": "copy the shard again, or index it anew",
}


@dataclass(frozen=True, slots=True)
class MediaSet:
    """A set to be decoded.

    Attributes:
        plan: its shards that can be indexed, with `missing: keep`.
        source: maps or opens them.
        contents: what lint saw in its shards; empty for a `RowSource`.
    """

    plan: SetPlan
    source: Source | None
    contents: Contents

    @property
    def title(self) -> str:
        """As findings name it."""
        return f"{self.plan.split}/{self.plan.name}"


def lint_media(
    sets: Sequence[MediaSet], parts: RecipeParts, children: int, seconds: float
) -> Iterator[Finding]:
    """What is wrong with the files of the samples.

    Args:
        sets: to be decoded.
        parts: the recipe's modalities.
        children: processes at a time.
        seconds: time that one sample may take.

    Raises:
        LorettaError: a child process cannot start.
    """
    opened: list[tuple[MediaSet, SetReader]] = []
    for item in sets:
        if not item.plan.shards:
            continue
        try:
            opened.append((item, SetReader(item.plan, item.source)))
        except LorettaError as error:
            what = f"{error.what} ({error.where})" if error.where else error.what
            yield Finding("error", "nothing-usable", what, error.fix, data_set=item.title)
    check = DecodeCheck(
        tuple((item.plan, item.source) for item, _ in opened),
        parts.modalities,
        parts.vocabulary,
        parts.unfitted,
        parts.max_bytes,
    )
    named = [_Named(item, reader) for item, reader in opened]
    starts = list(accumulate((len(reader) for _, reader in opened), initial=0))
    for number, answer in run_rows(check, starts[-1], children, seconds):
        place = bisect_right(starts, number) - 1
        yield from named[place].findings(number - starts[place], answer)


class _Named:
    """Gives the rows of a set their places."""

    def __init__(self, item: MediaSet, reader: SetReader) -> None:
        self.item, self.reader = item, reader
        self._offsets: dict[tuple[str, str], int] = {}

    def findings(self, row: int, answer: Any) -> Iterator[Finding]:
        """What a child said of a row, as findings."""
        for code, member, cause, fix in _verdicts(answer):
            if code == "over-limit" and not isinstance(self.item.source, RowSource):
                continue  # told from the shard's headers, with the member's own place
            shard, key = self.reader.place(row)
            if code == "damaged-member" and not isinstance(self.item.source, RowSource):
                fix = f"{fix}: {indexing_anew(shard)}"
            offset = self._offset(shard, key)
            yield Finding("error", code, cause, fix, shard, offset, key, member, self.item.title)

    def _offset(self, shard: str, key: str) -> int | None:
        """First byte of the sample's first header. Looked up only when something is wrong."""
        contents = self.item.contents
        if not self._offsets and len(contents):
            for member, sample in enumerate(contents.sample_M):
                place = contents.shards[contents.shard_N[sample]], contents.keys[sample]
                self._offsets.setdefault(place, contents.header_M[member])
        return self._offsets.get((shard, key))


def _verdicts(answer: Any) -> Iterator[tuple[str, str, str, str]]:
    """(code, modality or member, cause, fix)."""
    if isinstance(answer, Died):
        code = "decoder-hung" if answer.hung else "decoder-crashed"
        what = f"its decoder did not survive it: {answer.cause}"
        yield code, "", what, "take the sample out, and report it to the decoder's authors"
        return
    for code, member, cause in answer:
        yield code, member, cause, _FIXES[code]
