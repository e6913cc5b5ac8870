"""Pair sets of three modalities that share no item, out of items of known class.

Of each modality one half serves its first partner and the other half its second, so that no item
lies in two sets and no true triple exists in training. Partners have nothing in common but their
class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from loretta_framework.api.errors import ShardError
from loretta_framework.api.random import generator
from loretta_framework.shards.preparers.pieces import (
    CLASSES,
    Piece,
    Pool,
    halves,
    held_out,
    of_class,
    shuffled,
)

IMAGE_TEXT, TEXT_SPEECH, IMAGE_SPEECH = "image-text", "text-speech", "image-speech"
BROKEN, VALIDATION, TRIPLES = "broken-text-speech", "validation", "triples"

SETS = (IMAGE_TEXT, TEXT_SPEECH, IMAGE_SPEECH, BROKEN, VALIDATION, TRIPLES)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many of each class, where the sources allow it, and how strong the link is.

    Attributes:
        pairs: pairs of each pair set.
        validation: validation triples.
        triples: test triples.
        weak_link: part of the training texts that come from wrong classes.
        repeat_speech: whether one recording may serve several pairs, since it can be augmented.
    """

    pairs: int
    validation: int
    triples: int
    weak_link: float = 0.0
    repeat_speech: bool = True


@dataclass(frozen=True, slots=True)
class Item:
    """One sample: its class and its parts; `copy` counts the uses of one recording."""

    digit: int
    image: Piece | None = None
    text: Piece | None = None
    speech: Piece | None = None
    copy: int = 0

    @property
    def key(self) -> str:
        """Made of the source ids, so that a leak between sets shows in the keys alone."""
        ids = [f"{name}-{piece.id}" for name, piece in self.parts.items()]
        return "_".join(ids) + (f"_copy-{self.copy}" if self.copy else "")

    @property
    def parts(self) -> dict[str, Piece]:
        """Modality -> item, for those that it has."""
        found = {"image": self.image, "text": self.text, "speech": self.speech}
        return {name: piece for name, piece in found.items() if piece is not None}


Sets = dict[str, list[Item]]


def compose(pools: Mapping[str, Pool], wanted: Wanted, seed: int) -> tuple[Sets, str]:
    """(the items of each set, how many of each class there are, in words).

    Raises:
        ShardError: a source has too few items of a class.
    """
    pairs, limit = _pairs(pools, wanted)
    sets: Sets = {name: [] for name in SETS}
    held = {name: _held_out(name, pool, wanted, seed) for name, pool in pools.items()}
    tuned, tested = (min(len(g) for part in held.values() for g in part[n]) for n in (0, 1))
    for digit in CLASSES:
        _add_pairs(sets, pools, digit, pairs, seed)
        for name, part, count in ((VALIDATION, 0, tuned), (TRIPLES, 1, tested)):
            kept = {modality: groups[part][digit][:count] for modality, groups in held.items()}
            sets[name] += [
                Item(digit, image, text, speech)
                for image, text, speech in zip(
                    kept["image"], kept["text"], kept["speech"], strict=True
                )
            ]
    for name in (IMAGE_TEXT, TEXT_SPEECH):
        sets[name] = weakened(sets[name], wanted.weak_link, seed, name)
    sets[BROKEN] = _broken(sets[TEXT_SPEECH], seed)
    _assert_disjoint(sets)
    return sets, (
        f"{pairs} pairs in each pair set ({limit}), {tuned} validation and {tested} test triples"
    )


def _pairs(pools: Mapping[str, Pool], wanted: Wanted) -> tuple[int, str]:
    """Pairs of a class, and what sets that number.

    Recordings count as many as are needed, since each use has its own augmentation; features
    cannot be augmented.
    """
    limits = {"as asked for": wanted.pairs}
    for name, pool in pools.items():
        smallest = min(len(of_class(pool.train, digit)) // 2 for digit in CLASSES)
        if not smallest:
            raise ShardError(
                "each class needs at least two training items, for two pair sets",
                where=name,
                fix="take a source with more items",
            )
        if name != "speech" or not wanted.repeat_speech:
            limits[f"the {name} source has no more"] = smallest
    limit = min(limits, key=lambda name: limits[name])
    return limits[limit], limit


def _held_out(
    name: str, pool: Pool, wanted: Wanted, seed: int
) -> tuple[list[list[Piece]], list[list[Piece]]]:
    """(validation, test) items by class."""
    counts = wanted.validation, wanted.triples
    parts = [held_out(pool, name, digit, *counts, seed) for digit in CLASSES]
    return [part[0] for part in parts], [part[1] for part in parts]


def _add_pairs(sets: Sets, pools: Mapping[str, Pool], digit: int, pairs: int, seed: int) -> None:
    """The pairs of one class: each modality's halves go to its two partners."""
    half = {
        name: halves(of_class(pool.train, digit), seed, name, digit) for name, pool in pools.items()
    }
    images, texts, speech = half["image"], half["text"], half["speech"]
    for number in range(pairs):
        said = [(part[number % len(part)], number // len(part)) for part in speech]
        sets[IMAGE_TEXT].append(Item(digit, images[0][number], texts[0][number]))
        sets[TEXT_SPEECH].append(
            Item(digit, text=texts[1][number], speech=said[0][0], copy=said[0][1])
        )
        sets[IMAGE_SPEECH].append(
            Item(digit, images[1][number], speech=said[1][0], copy=said[1][1])
        )


def weakened(items: Sequence[Item], part: float, seed: int, name: str) -> list[Item]:
    """The items with that part of each class's texts exchanged for texts of other classes.

    Texts change places, so that each still occurs once and every class keeps its number.
    """
    result = list(items)
    chosen = []
    for digit in CLASSES:
        places = [place for place, item in enumerate(items) if item.digit == digit]
        mixed = shuffled(places, seed, "weak", name, digit)
        chosen.append(mixed[: round(part * len(places))])
    for number in range(min(map(len, chosen))):
        ring = shuffled([places[number] for places in chosen], seed, "ring", name, number)
        step = int(generator(seed, "prepare", "step", name, number).integers(1, len(ring)))
        for index, place in enumerate(ring):
            other = items[ring[(index + step) % len(ring)]]
            result[place] = replace(items[place], text=other.text)
    return result


def _broken(items: Sequence[Item], seed: int) -> list[Item]:
    """The same recordings and the same texts, paired at random: a text tells nothing.

    Each takes the text of the next in one random ring, so that none keeps its own.
    """
    ring = shuffled(range(len(items)), seed, "broken")
    text = {
        place: items[after].text for place, after in zip(ring, ring[1:] + ring[:1], strict=True)
    }
    return [replace(item, text=text[place]) for place, item in enumerate(items)]


def _assert_disjoint(sets: Sets) -> None:
    """No item lies in two sets; the broken set stands for the set whose items it has."""
    used = {
        name: {(part, piece.id) for item in items for part, piece in item.parts.items()}
        for name, items in sets.items()
        if name != BROKEN
    }
    for one, two in combinations(used, 2):
        assert not used[one] & used[two], f"an item lies in {one} and in {two}"
