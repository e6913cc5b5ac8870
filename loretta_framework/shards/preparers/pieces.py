"""Single items of one modality, of known class, and how they are divided so that no two sets share one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import groupby
from typing import Any, TypeVar

from loretta_framework.api.errors import ShardError
from loretta_framework.api.random import generator
from loretta_framework.shards.preparing.card import SourceFile

CLASSES = range(10)
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Piece:
    """One item.

    Attributes:
        id: unique within its modality; made of the source's own names.
        digit: class, 0..9.
        content: `fingerprint` of what tells it from others.
        group: speaker, intent: what each part of a division should have its share of.
        data: the item itself.
    """

    id: str
    digit: int
    content: bytes = field(repr=False)
    group: str = ""
    data: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Pool:
    """Everything one source offers.

    Attributes:
        train: items for training pairs.
        held: held-out items; without `test` they serve validation and test.
        test: official test items, if there are any.
        sources: the files it came from.
        about: a sentence for the data card.
    """

    train: tuple[Piece, ...]
    held: tuple[Piece, ...]
    test: tuple[Piece, ...] = ()
    sources: tuple[SourceFile, ...] = ()
    about: str = ""

    def without_duplicates(self) -> Pool:
        """Each content once: where it first occurs, training before held-out items."""
        seen: set[bytes] = set()
        parts = []
        for items in (self.train, self.held, self.test):
            kept = []
            for piece in items:
                if piece.content not in seen:
                    seen.add(piece.content)
                    kept.append(piece)
            parts.append(tuple(kept))
        return replace(self, train=parts[0], held=parts[1], test=parts[2])


def fingerprint(content: bytes) -> bytes:
    """16 bytes that stand for an item's content: equal content, equal bytes."""
    return blake2b(content, digest_size=16).digest()


def of_class(pieces: Sequence[Piece], digit: int) -> list[Piece]:
    """The items of one class, in their order."""
    return [piece for piece in pieces if piece.digit == digit]


def halves(pieces: Sequence[Piece], seed: int, *purpose: str | int) -> tuple[list[Piece], ...]:
    """Two disjoint halves with the same share of every group, each in random order."""
    dealt = sorted(shuffled(pieces, seed, "halves", *purpose), key=lambda piece: piece.group)
    return tuple(shuffled(dealt[side::2], seed, "half", side, *purpose) for side in (0, 1))


def interleaved(pieces: Sequence[Piece], seed: int, *purpose: str | int) -> list[Piece]:
    """In random order, but so that each stretch has its share of every group."""
    mixed = sorted(shuffled(pieces, seed, "interleaved", *purpose), key=lambda p: p.group)
    groups = [list(items) for _, items in groupby(mixed, key=lambda piece: piece.group)]
    placed = [
        ((number + 0.5) / len(items), order, piece)
        for order, items in enumerate(groups)
        for number, piece in enumerate(items)
    ]
    return [piece for _, _, piece in sorted(placed, key=lambda entry: entry[:2])]


def held_out(
    pool: Pool, name: str, digit: int, validation: int, test: int, seed: int
) -> tuple[list[Piece], list[Piece]]:
    """(validation items, test items) of a class, at most so many, none in both.

    Without official test items the held-out ones are divided: test gets half of them, or as many
    as it asks for when validation still has all it asks for.

    Raises:
        ShardError: there are too few of that class.
    """
    held = interleaved(of_class(pool.held, digit), seed, name, digit)
    official = interleaved(of_class(pool.test, digit), seed, name, digit, "test")
    if not pool.test:
        cut = max(len(held) // 2, min(test, len(held) - validation))
        official, held = held[:cut], held[cut:]
    if not held or not official:
        raise ShardError(
            f"{name}: class {digit} has {len(held) + len(official)} held-out items, "
            "but validation and test need one each",
            where=name,
            fix="take a source with more items",
        )
    return held[:validation], official[:test]


def shuffled(items: Sequence[T], seed: int, *purpose: str | int) -> list[T]:
    """The items in an order that depends on the key only."""
    order = generator(seed, "prepare", *purpose).permutation(len(items))
    return [items[int(index)] for index in order]
