"""Rows of a set as tokens, many at a time: decoded from the raw files, or read from a token cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from loretta_framework.api.protocols import IntArray
from loretta_framework.data.decode import BadRow, DecodeFailure, Decoder
from loretta_framework.data.loading.watch import Watch
from loretta_framework.data.sample import SetReader
from loretta_framework.recipe.plan import Plan
from loretta_framework.sequence.rows import TokenizedSample


class Draws(Protocol):
    """The rows of one set. Must survive fork and pickling."""

    def take(self, rows_N: IntArray, positions_N: IntArray) -> list[TokenizedSample | BadRow]:
        """The sample of each row, drawn for a position of the stream; why, where there is none.

        `position` of a sample is a plain `int`; its ids are int64, perhaps views of a larger array.

        Raises:
            ShardError: a shard cannot be read at all.
        """


class RawDraws:
    """`Draws` that decode files.

    Args:
        reader: the set.
        decoder: turns its files into tokens.
        number: index of the set among those of the run, for the watch.
    """

    def __init__(self, reader: SetReader, decoder: Decoder, number: int = 0) -> None:
        self.reader, self.decoder, self.number = reader, decoder, number
        self.watch = Watch()

    def take(self, rows_N: IntArray, positions_N: IntArray) -> list[TokenizedSample | BadRow]:
        """See `Draws.take`."""
        rows, positions = rows_N.tolist(), positions_N.tolist()
        return [self._one(row, at) for row, at in zip(rows, positions, strict=True)]

    def _one(self, row: int, position: int) -> TokenizedSample | BadRow:
        reader, decoder, watch = self.reader, self.decoder, self.watch
        try:
            raw = decoder.raw(reader, row)
            # Watched from here on: a slow disk or network is no fault of the row.
            watch.begin(self.number, row)
            return decoder.encode(reader, row, raw, decoder.values(reader, row, raw), position)
        except DecodeFailure as failure:
            # Not remembered: with augmentation a row may fail at one position and not at another.
            return failure.row
        finally:
            watch.end()


def open_draws(
    plan: Plan, readers: Sequence[SetReader], decoder: Decoder, tokens: Path | None
) -> list[Draws]:
    """What the loader draws from, one for each reader.

    Args:
        plan: the run.
        readers: its training sets.
        decoder: of the run.
        tokens: a folder made by `loretta data tokenize`; None decodes the raw files.

    Raises:
        ShardError: the token cache is not there, damaged, or of other data or tokenizers.
    """
    if tokens is None:
        return [RawDraws(reader, decoder, number) for number, reader in enumerate(readers)]
    from loretta_framework.data.tokens.cached import open_cached

    return list(open_cached(plan, readers, decoder, tokens))
