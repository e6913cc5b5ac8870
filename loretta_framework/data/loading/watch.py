"""What a loader process is at, written where its parent can read it after the process died."""

from __future__ import annotations

from array import array
from typing import NamedTuple, TypeAlias

Cell: TypeAlias = "array[int] | memoryview[int]"

FIELDS = 4
"""Integers of a watch: number of the decode in progress (0: none), set, row, step."""


class Place(NamedTuple):
    """A row that is being decoded.

    Attributes:
        decode: counts the decodes of the process, so that two of the same row differ.
        chosen: index of the set.
        row: row of the set.
        step: step it is decoded for.
    """

    decode: int
    chosen: int
    row: int
    step: int


class Watch:
    """One process's four integers; the process writes, its parent reads.

    Nothing is locked: a decoder that takes the process down does so after all four are written.

    Args:
        cell: `FIELDS` signed 64-bit integers, shared with the parent; None: nobody looks.
    """

    def __init__(self, cell: Cell | None = None) -> None:
        self._cell: Cell = array("q", [0] * FIELDS) if cell is None else cell
        self._count = 0

    def step(self, step: int) -> None:
        """The step whose rows come next."""
        self._cell[3] = step

    def begin(self, chosen: int, row: int) -> None:
        """A row of a set is decoded now."""
        self._count += 1
        self._cell[1], self._cell[2], self._cell[0] = chosen, row, self._count

    def end(self) -> None:
        """It was decoded, or could not be."""
        self._cell[0] = 0

    def read(self) -> Place | None:
        """The row that is being decoded, None when none is."""
        place = Place(*self._cell)
        return place if place.decode else None
