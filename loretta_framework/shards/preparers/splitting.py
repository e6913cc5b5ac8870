"""Divides the names of samples into sets by a seed, each class in the same proportions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loretta_framework.api.random import generator


def split_names(
    names: Sequence[str],
    fractions: Mapping[str, float],
    seed: int,
    purpose: str,
    classes: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """Disjoint parts of the names, each sorted.

    Each part gets its fraction of all names, rounded, and of each class as exactly as whole numbers
    allow. Who goes where depends on the seed and the names alone, not on their order.

    Args:
        names: distinct names.
        fractions: part -> fraction; the parts come in this order. Together at most 1.
        seed: key of the draw.
        purpose: tells this draw from others.
        classes: name -> class; names without one are a class of their own. None: one class.
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        groups.setdefault((classes or {}).get(name, ""), []).append(name)
    for label, group in groups.items():
        order = generator(seed, purpose, label).permutation(len(group))
        groups[label] = [group[int(place)] for place in order]
    parts: dict[str, list[str]] = {}
    left = dict(groups)
    for part, fraction in fractions.items():
        rest = sum(len(group) for group in left.values())
        wanted = min(round(fraction * len(names)), rest)
        counts = shares([len(left[label]) for label in left], wanted)
        taken = {label: left[label][:count] for label, count in zip(left, counts, strict=True)}
        left = {label: left[label][len(taken[label]) :] for label in left}
        parts[part] = sorted(name for group in taken.values() for name in group)
    return parts


def shares(sizes: Sequence[int], total: int) -> list[int]:
    """`total` in proportion to sizes: rounded down, the rest to the largest remainders."""
    whole = sum(sizes)
    if not whole:
        return [0 for _ in sizes]
    counts = [total * size // whole for size in sizes]
    order = sorted(range(len(sizes)), key=lambda place: (-(total * sizes[place] % whole), place))
    for place in order[: total - sum(counts)]:
        counts[place] += 1
    return counts
