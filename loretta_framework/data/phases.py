"""How often each set was used before a position, in closed form, also when sets run out.

Think of a clock by which every set that is not used up gives its weight's worth of samples per unit:
set i was used min(weight_i * time, limit_i) times. Between two exhaustions the position is a
straight line in that time, so time and counts follow from the position by one division, exactly.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class _Phase:
    """Between two exhaustions set i was used weight_i * (position - given) / weight times.

    Attributes:
        start: first whole position it holds for.
        given: uses of the sets that are used up.
        weight: sum over the others.
    """

    start: int
    given: int
    weight: int


class Phases:
    """Uses of each set by position.

    Args:
        shares: parts of the positions, positive.
        limits: uses that each set has to give, None for no end.

    Attributes:
        limit: positions until all sets are used up, None for no end.
    """

    def __init__(self, shares: Sequence[Fraction], limits: Sequence[int | None]) -> None:
        scale = math.lcm(*(share.denominator for share in shares))
        self._weights = [int(share * scale) for share in shares]
        known = {i: limit for i, limit in enumerate(limits) if limit is not None}
        self.limit = sum(known.values()) if len(known) == len(limits) else None
        self._phases = [_Phase(0, 0, sum(self._weights))]
        self._ends: dict[int, tuple[int, int]] = {}  # set -> (phase it is used up in, limit)
        for index in sorted(known, key=lambda i: Fraction(known[i], self._weights[i])):
            self._use_up(index, known[index])
        self._starts = [phase.start for phase in self._phases]

    def used(self, position: int) -> list[int]:
        """Uses of each set before a position of 0..limit; their sum is the position.

        Rounded down, the rest to the largest remainders, ties in order. A limit is a whole number,
        so a set at its limit has no remainder and never exceeds it.
        """
        number = bisect_right(self._starts, position) - 1
        phase = self._phases[number]
        time = position - phase.given
        counts, keys = [], []
        for index, weight in enumerate(self._weights):
            count, remainder = divmod(weight * time, phase.weight)
            end = self._ends.get(index)
            if end is not None and end[0] <= number:
                count, remainder = end[1], 0
            counts.append(count)
            keys.append((-remainder, index))
        for _, index in sorted(keys)[: position - sum(counts)]:
            counts[index] += 1
        return counts

    def _use_up(self, index: int, limit: int) -> None:
        last, weight = self._phases[-1], self._weights[index]
        left = last.weight - weight
        if left == 0:
            return  # nothing follows, and the last phase ends with this set at its limit
        time = Fraction(limit, weight)
        given = last.given + limit
        self._ends[index] = len(self._phases), limit
        self._phases.append(_Phase(math.ceil(given + left * time), given, left))
