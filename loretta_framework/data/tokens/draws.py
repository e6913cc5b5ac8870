"""Rows of a set read from cached tokens, many at a time; what cannot be cached is decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from loretta_framework.api.errors import DamagedSampleError, ShardError
from loretta_framework.api.protocols import IntArray
from loretta_framework.data.decode import BadRow, DecodeFailure, Decoder
from loretta_framework.data.loading.draws import RawDraws
from loretta_framework.data.parts import shape_parts
from loretta_framework.data.sample import RawSample, SetReader
from loretta_framework.data.tokens.manifest import BadSample, command
from loretta_framework.data.tokens.reader import TokenColumn, TokenFiles
from loretta_framework.sequence.rows import Content, TokenizedSample
from loretta_framework.shards.members import SEQUENCE, modality_of
from loretta_framework.shards.store import ShardStore

AT_ONCE = 128
"""Rows that are read together: the ids of many more no longer fit the caches of a core."""

_Taken = list[TokenizedSample | BadRow]


class CachedDraws(RawDraws):
    """`Draws` that read tokens, and decode only what was copied. Survives fork and pickling.

    Args:
        reader: the source set; rows are counted by it.
        decoder: for the modalities that were copied.
        number: index of the set among those of the run, for the watch.
        cache: the set's token shards, None when no row could be tokenized.
        samples_R: int64 (R,), the sample of `cache` of each row, -1 for a bad one.
        bad: row -> why it is bad.
        columns: modality -> how its tokens are read; the others were copied.
    """

    def __init__(
        self,
        reader: SetReader,
        decoder: Decoder,
        number: int,
        cache: SetReader | None,
        samples_R: IntArray,
        bad: Mapping[int, BadSample],
        columns: Mapping[str, TokenColumn],
    ) -> None:
        super().__init__(reader, decoder, number)
        self.cache, self.samples_R, self.bad, self.columns = cache, samples_R, bad, columns
        if cache is not None:
            assert isinstance(cache.store, ShardStore)
            self._files = TokenFiles(cache.store)
            self._plain = [self._plain_parts(names) for names in cache.store.shapes]

    def take(self, rows_N: IntArray, positions_N: IntArray) -> _Taken:
        """See `Draws.take`."""
        parts = range(0, len(rows_N), AT_ONCE)
        slices = [(rows_N[n : n + AT_ONCE], positions_N[n : n + AT_ONCE]) for n in parts]
        return [one for rows_M, at_M in slices for one in self._some(rows_M, at_M)]

    def _some(self, rows_N: IntArray, positions_N: IntArray) -> _Taken:
        samples_N = self.samples_R[rows_N]
        if self.cache is None or (samples_N < 0).any():
            return self._with_bad(rows_N, positions_N, samples_N)
        shapes_N = self.cache.store.shape_S[samples_N]
        if (shapes_N == shapes_N[0]).all():
            return self._of_shape(int(shapes_N[0]), rows_N, positions_N, samples_N)
        found: dict[int, TokenizedSample | BadRow] = {}
        for shape in np.unique(shapes_N).tolist():
            at_M = np.flatnonzero(shapes_N == shape)
            taken = self._of_shape(shape, rows_N[at_M], positions_N[at_M], samples_N[at_M])
            found.update(zip(at_M.tolist(), taken, strict=True))
        return [found[place] for place in range(len(rows_N))]

    def _with_bad(self, rows_N: IntArray, positions_N: IntArray, samples_N: IntArray) -> _Taken:
        good_N = samples_N >= 0
        good = iter(self._some(rows_N[good_N], positions_N[good_N]) if good_N.any() else ())
        return [
            next(good) if usable else self._bad_row(row)
            for row, usable in zip(rows_N.tolist(), good_N.tolist(), strict=True)
        ]

    def _bad_row(self, row: int) -> BadRow:
        bad = self.bad[row]
        return BadRow(*self.reader.place(row), bad.modality, bad.cause)

    def _plain_parts(self, names: tuple[str, ...]) -> list[tuple[str, int]] | None:
        """(modality, member) of each part, None when more than tokens must be read."""
        if SEQUENCE in names or self.reader.plan.label is not None:
            return None
        parts = shape_parts(names, self.reader.plan.modalities, modality_of)
        if parts.clash is not None or not parts.present <= self.columns.keys():
            return None
        return [(name, member) for (name, _), member in parts.members.items()]

    def _of_shape(
        self, shape: int, rows_N: IntArray, positions_N: IntArray, samples_N: IntArray
    ) -> _Taken:
        parts = self._plain[shape]
        rows, positions = rows_N.tolist(), positions_N.tolist()
        if parts is not None:
            names = [name for name, _ in parts]
            files = self._files.read(samples_N, [member for _, member in parts])
            if files is not None:
                columns = [
                    self._ids(name, own, samples_N) for name, own in zip(names, files, strict=True)
                ]
                return self._joined(names, columns, samples_N, positions)
        # Something is damaged, or there is more to read than tokens: sample by sample.
        return [
            self._one_of(row, int(sample), at)
            for row, sample, at in zip(rows, samples_N, positions, strict=True)
        ]

    def _joined(
        self,
        names: Sequence[str],
        columns: Sequence[list[IntArray]],
        samples_N: IntArray,
        positions: list[int],
    ) -> _Taken:
        start = f"{self.reader.plan.name}/"
        keys = self._files.keys(samples_N)
        parts = zip(
            *[[(name, ids) for ids in c] for name, c in zip(names, columns, strict=True)],
            strict=True,
        )
        return [
            TokenizedSample(start + key, own, at)
            for key, own, at in zip(keys, parts, positions, strict=True)
        ]

    def _ids(self, name: str, files: Sequence[bytes], samples_N: IntArray) -> list[IntArray]:
        assert self.cache is not None
        try:
            return self.columns[name].ids(files)
        except ValueError as error:
            places = sorted({self.cache.store.place(int(sample)) for sample in samples_N})
            raise ShardError(
                f"the tokens of '{name}' cannot be used: {error}",
                where=", ".join(places[:3]),
                fix=f"make them again: {command(Path(places[0]).parent.parent)}",
            ) from error

    def _one_of(self, row: int, sample: int, position: int) -> TokenizedSample | BadRow:
        assert self.cache is not None
        try:
            raw = self.cache.read(sample)
        except DamagedSampleError as error:
            return BadRow(*self.cache.place(sample), error.member, error.what)
        copied = tuple(part for part in raw.parts if part[0] not in self.columns)
        try:
            decoded = iter(self._decoded(row, replace(raw, parts=copied), position))
        except DecodeFailure as failure:
            return failure.row
        parts = tuple(
            (name, self._ids(name, [data], np.array([sample]))[0])
            if name in self.columns
            else next(decoded)
            for name, data, _ in raw.parts
        )
        return TokenizedSample(raw.key, parts, position, raw.ordered, raw.label)

    def _decoded(self, row: int, raw: RawSample, position: int) -> tuple[tuple[str, Content], ...]:
        """Tokens or features of the parts that were copied."""
        if not raw.parts:
            return ()
        self.watch.begin(self.number, row)
        try:
            values = self.decoder.values(self.reader, row, raw)
            return self.decoder.encode(self.reader, row, raw, values, position).parts
        finally:
            self.watch.end()
