"""How often each set is drawn: as written, by size, or so that all observed edges occur evenly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, TypeAlias

from loretta_framework.api.errors import Problem
from loretta_framework.graph import Pair
from loretta_framework.recipe.faults import Place
from loretta_framework.recipe.origins import at
from loretta_framework.recipe.paths import SPLITS
from loretta_framework.recipe.plan import Reason
from loretta_framework.recipe.schema import DataSet, Mixing

Counts: TypeAlias = Sequence[tuple[tuple[str, ...], int]]
"""Samples per modality combination of a set, names in one order for all sets."""

Mixed: TypeAlias = tuple[list[float], list[Reason]]

SMALLEST_SHARE = 1 / (1 << 20)
"""A block of the data order holds each set at least once, and has at most 2^20 positions."""

LEAST_PART = 0.1
"""`by: edges` leaves each set this much of its part by samples: rows that are never drawn because
another set holds the same pair more densely would be a loss that nobody asked for."""

_TOLERANCE = 1e-9
_MOST_ROUNDS = 20_000
_DIGITS = 9  # powers differ in the last bits between machines, and shares decide the data order


def check_mixing(data: Mapping[str, Any], place: Place) -> list[Problem]:
    """Keys that say how often sets are drawn but would have no effect, in data as it was written."""
    found = at(data, ("data", "mixing"))
    mixing = found if isinstance(found, dict) else {}
    by = mixing.get("by", "share")
    problems = []
    if by in ("temperature", "edges"):
        for index, item in _sets(data, "train"):
            if item.get("share") is not None:
                what = f"a set must not give a share when data.mixing.by is '{by}', but gives "
                what += f"{item['share']}"
                fix = "leave `share` out, or set data.mixing.by to share"
                problems.append(Problem(what, place(("data", "train", index, "share")), fix))
    if by in ("share", "edges") and mixing.get("temperature") not in (None, 1):
        what = f"a temperature has no effect when data.mixing.by is '{by}'"
        fix = "set data.mixing.by to temperature, or leave `temperature` out"
        problems.append(Problem(what, place(("data", "mixing", "temperature")), fix))
    for split in SPLITS[1:]:
        for index, item in _sets(data, split):
            if item.get("max_epochs") is not None:
                what = f"max_epochs has no effect in data.{split}: each sample is taken once"
                where = place(("data", split, index, "max_epochs"))
                problems.append(Problem(what, where, "leave it out"))
    return problems


def _sets(data: Mapping[str, Any], split: str) -> list[tuple[int, dict[str, Any]]]:
    sets = at(data, ("data", split))
    items = enumerate(sets if isinstance(sets, list) else [])
    return [(index, item) for index, item in items if isinstance(item, dict)]


def mixing_shares(
    mixing: Mixing, split: str, sets: Sequence[DataSet], counted: Sequence[Counts]
) -> Mixed:
    """The shares of a split's sets, summing to 1, and why they are so.

    Args:
        mixing: how; held-out splits are always taken as they are written.
        split: for the reasons' keys.
        sets: of the split.
        counted: what the samples of each hold.
    """
    if split != "train" or mixing.by == "share":
        return _as_written(split, sets)
    samples = [sum(count for _, count in counts) for counts in counted]
    names = [item.name for item in sets]
    if mixing.by == "temperature":
        return _by_size(names, samples, mixing.temperature)
    return _by_edges(names, samples, [_pairs(counts) for counts in counted])


def too_small(
    split: str, sets: Sequence[DataSet], shares: Sequence[float], place: Place
) -> list[Problem]:
    """Training sets whose share is too small for the order to keep, each a problem."""
    return [
        Problem(
            f"the share of '{item.name}' must be at least one in 2^20 of all, but is {share:.2g}",
            place(("data", split, index)),
            "raise its share (or data.mixing.temperature), or leave the set out",
        )
        for index, (item, share) in enumerate(zip(sets, shares, strict=True))
        if split == "train" and share < SMALLEST_SHARE
    ]


def _as_written(split: str, sets: Sequence[DataSet]) -> Mixed:
    """A set without a share counts as 1, so that sets without one share equally."""
    raw = [1.0 if item.share is None else item.share for item in sets]
    shares = [share / sum(raw) for share in raw]
    why = "it gives no share, which counts as 1; the shares of a split are normalised to 1"
    reasons = [
        Reason(f"data.{split}.{item.name}.share", f"{share:.4g}", why)
        for item, share in zip(sets, shares, strict=True)
        if item.share is None and len(sets) > 1
    ]
    return shares, reasons


def _by_size(names: Sequence[str], samples: Sequence[int], temperature: float) -> Mixed:
    largest = max(samples)
    raw = [math.exp(math.log(count / largest) / temperature) for count in samples]
    shares = [round(value / math.fsum(raw), _DIGITS) for value in raw]
    how = f"{sum(samples)} samples in all, share ~ samples^(1/{temperature:g})"
    return shares, _reasons(names, shares, lambda i: f"{samples[i]} of {how}")


def _by_edges(
    names: Sequence[str], samples: Sequence[int], held: Sequence[Mapping[Pair, float]]
) -> Mixed:
    total = sum(samples)
    parts = [count / total for count in samples]
    shares = [round(value, _DIGITS) for value in _balanced(parts, held)]

    def why(index: int) -> str:
        if not held[index]:
            return "no sample holds two modalities, so no edge asks for it; its part by samples"
        shown = ", ".join(f"{a} - {b} in {part:.1%}" for (a, b), part in held[index].items())
        least = shares[index] <= LEAST_PART * parts[index] * (1 + 1e-6)
        rest = "; the other sets hold these more densely: a tenth of its part by samples"
        return f"of its samples it holds {shown}; by samples its part is {parts[index]:.4g}" + (
            rest if least else ""
        )

    before, after = (_rates(shares_, held) for shares_ in (parts, shares))
    if not after:
        even = Reason("data.mixing.by", "edges", "no set holds two modalities in a sample")
    else:
        choice = ", ".join(f"{a} - {b} {rate:.1%}" for (a, b), rate in after.items())
        was = ", ".join(f"{a} - {b} {rate:.1%}" for (a, b), rate in before.items())
        what = "parts of the drawn samples that hold each pair, in both directions, as even as the "
        even = Reason("data.mixing.by", choice, f"{what}sets allow; by samples they were {was}")
    return shares, [even, *_reasons(names, shares, why)]


def _reasons(
    names: Sequence[str], shares: Sequence[float], why: Callable[[int], str]
) -> list[Reason]:
    return [
        Reason(f"data.train.{name}.share", f"{share:.4g}", why(index))
        for index, (name, share) in enumerate(zip(names, shares, strict=True))
    ]


def _pairs(counts: Counts) -> dict[Pair, float]:
    """Pair -> fraction of the set's samples that hold both: edges a -> b and b -> a alike."""
    total = sum(count for _, count in counts)
    found: dict[Pair, int] = {}
    for combo, count in counts:
        for pair in combinations(sorted(combo), 2):
            found[pair] = found.get(pair, 0) + count
    return {pair: found[pair] / total for pair in sorted(found)}


def _rates(shares: Sequence[float], held: Sequence[Mapping[Pair, float]]) -> dict[Pair, float]:
    pairs = sorted({pair for item in held for pair in item})
    return {
        pair: math.fsum(
            share * item[pair] for share, item in zip(shares, held, strict=True) if pair in item
        )
        for pair in pairs
    }


def _balanced(parts: Sequence[float], held: Sequence[Mapping[Pair, float]]) -> list[float]:
    """Shares that maximise the sum of log rates of the pairs, above a floor for each set.

    Expectation-maximisation of a mixture whose components are the sets: each round multiplies a
    set's free part by how much the pairs that it holds lack. It rises in every round, and sets that
    hold the same pairs keep their proportions. Plain floats and exactly rounded sums: the result is
    the same on every machine.
    """
    chosen = [index for index, item in enumerate(held) if item]
    room = math.fsum(parts[index] for index in chosen)
    shares, free = list(parts), {index: parts[index] / room for index in chosen} if chosen else {}
    for _ in range(_MOST_ROUNDS if chosen else 0):
        for index in chosen:
            spread = (1 - LEAST_PART) * room * free[index]
            shares[index] = LEAST_PART * parts[index] + spread
        rates = _rates(shares, held)
        gains = {
            index: math.fsum(part / rates[pair] for pair, part in held[index].items())
            for index in chosen
        }
        mean = math.fsum(free[index] * gains[index] for index in chosen)
        if max(gains.values()) <= mean * (1 + _TOLERANCE):
            break
        free = {index: free[index] * gains[index] / mean for index in chosen}
    return shares
