"""Decodes rows as the loader would, and tells everything that is wrong with each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from loretta_framework.api.errors import LorettaError
from loretta_framework.api.protocols import Modality, Source
from loretta_framework.api.settings import DEFAULT_MAX_BYTES
from loretta_framework.data.decode import BUGS, DecodeFailure, Decoder
from loretta_framework.data.sample import RawSample, SetReader
from loretta_framework.recipe.plan import SetPlan
from loretta_framework.sequence.vocabulary import Vocabulary
from loretta_framework.shards.members import META, SEQUENCE

Verdict = tuple[str, str, str]
"""(code, modality or member, cause)."""


@dataclass(frozen=True, slots=True)
class DecodeCheck:
    """The work of a child process: `supervised.RowWork`.

    Attributes:
        sets: the sets, with `missing: keep`, and what maps the members of each. Rows are counted
            over all of them.
        modalities: by recipe name.
        vocabulary: bounds that tokens must keep.
        unfitted: modalities that can encode only once they are fitted; they are only read.
        max_bytes: limit of each modality.
    """

    sets: tuple[tuple[SetPlan, Source | None], ...]
    modalities: Mapping[str, Modality]
    vocabulary: Vocabulary
    unfitted: frozenset[str]
    max_bytes: Mapping[str, int]

    def limit(self, modality: str) -> int:
        """Bytes that a file of the modality may have."""
        return self.max_bytes.get(modality, DEFAULT_MAX_BYTES)

    def start(self) -> Callable[[int], list[Verdict]]:
        """Open the sets."""
        readers = [SetReader(plan, source) for plan, source in self.sets]
        starts = list(accumulate(map(len, readers), initial=0))
        decoder = Decoder(self.modalities, self.vocabulary, max_bytes=self.max_bytes)

        def answer(number: int) -> list[Verdict]:
            place = bisect_right(starts, number) - 1
            reader, row = readers[place], number - starts[place]
            verdicts = list(self._row(reader, decoder, row))
            damaged = any(code == "damaged-member" for code, _, _ in verdicts)
            if damaged and reader.clashes(row):
                return [("duplicate-part", member, what) for _, member, what in verdicts]
            return verdicts

        return answer

    def _row(self, reader: SetReader, decoder: Decoder, row: int) -> Iterator[Verdict]:
        large = [name for name, size in reader.sizes(row) if size > self.limit(name)]
        if large:
            for name in large:
                what = f"a file has more than {self.limit(name)} bytes (max_bytes of '{name}')"
                yield "over-limit", name, what
            return
        try:
            raw = decoder.raw(reader, row)
        except DecodeFailure as failure:
            yield _code_of(failure.row.modality), failure.row.modality, failure.row.cause
            return
        for part in raw.parts:
            alone = RawSample(raw.key, (part,))
            try:
                yield from self._part(reader, decoder, row, alone)
            except MemoryError:
                yield "too-much-memory", part[0], "its decoder ran out of memory"
            except BUGS as error:
                yield "plugin-bug", part[0], f"{type(error).__name__}: {error}"

    def _part(
        self, reader: SetReader, decoder: Decoder, row: int, raw: RawSample
    ) -> Iterator[Verdict]:
        name = raw.parts[0][0]
        try:
            values = decoder.values(reader, row, raw)
        except DecodeFailure as failure:
            yield "unreadable-media", name, failure.row.cause
            return
        except LorettaError as error:
            yield "unreadable-media", name, error.what
            return
        if not all(is_finite(value) for _, value in values):
            yield "not-finite", name, "its values are not all finite"
        if name in self.unfitted:
            return
        try:
            decoder.encode(reader, row, raw, values)
        except DecodeFailure as failure:
            yield "out-of-range", name, failure.row.cause


def _code_of(member: str) -> str:
    return {META: "bad-label", SEQUENCE: "bad-sequence"}.get(member, "damaged-member")


def is_finite(value: Any) -> bool:
    """Whether all numbers in a value are, wherever arrays, lists and mappings hold them."""
    if isinstance(value, np.ndarray):
        return not np.issubdtype(value.dtype, np.inexact) or bool(np.isfinite(value).all())
    if isinstance(value, float):
        return bool(np.isfinite(value))
    if isinstance(value, Mapping):
        return all(map(is_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(is_finite, value))
