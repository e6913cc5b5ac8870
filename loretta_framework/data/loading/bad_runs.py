"""Bad rows one after another in a stream: a fault of a set or of the recipe, whatever the fraction."""

from __future__ import annotations

from collections.abc import Sequence

from loretta_framework.data.loading.steps import StepDraws
from loretta_framework.data.loading.transport import StepResult
from loretta_framework.data.quarantine import MAX_IN_A_ROW, Quarantine, too_many_in_a_row
from loretta_framework.data.sample import SetReader


class BadRuns:
    """Follows the streams of a run through the results of its steps, in order.

    A rank sees a part of each step only. Of `MAX_IN_A_ROW` positions some rank has its part of them
    one after another; when all of these are bad it looks the others up among the rows that the
    ranks have written down.

    Args:
        draws: of this rank.
        readers: the training sets.
        quarantine: the bad rows of all ranks.
    """

    def __init__(
        self, draws: StepDraws, readers: Sequence[SetReader], quarantine: Quarantine
    ) -> None:
        self._draws, self._readers, self._quarantine = draws, readers, quarantine
        self._suspicious = -(-MAX_IN_A_ROW // draws.world)
        self._runs: dict[str, int] = {}

    def add(self, result: StepResult) -> None:
        """The next step's result; its bad rows are in the quarantine.

        Raises:
            ShardError: `MAX_IN_A_ROW` rows in a row are bad.
        """
        for task, samples in result.samples.items():
            failed = set(result.failed.get(task, ()))
            if not failed:
                self._runs[task] = 0 if samples else self._runs.get(task, 0)
                continue
            suspect = self._follow(task, [sample.position for sample in samples], failed)
            if suspect is not None and self._is_long(task, suspect):
                name = self._readers[self._draws.orders[task].at(suspect)[0]].plan.name
                raise too_many_in_a_row(name, result.bad[-1])

    def _follow(self, task: str, positions: list[int], failed: set[int]) -> int | None:
        """The last position that makes this rank's own run long enough to look further."""
        suspect, run = None, self._runs.get(task, 0)
        for position in positions:
            run = run + 1 if position in failed else 0
            if run >= self._suspicious:
                suspect = position
        self._runs[task] = run
        return suspect

    def _is_long(self, task: str, position: int) -> bool:
        """Whether the position lies within `MAX_IN_A_ROW` bad ones."""
        if self._draws.world == 1:
            return True
        order = self._draws.orders[task]
        first, stop = max(0, position - MAX_IN_A_ROW + 1), position + MAX_IN_A_ROW
        stop = stop if order.limit is None else min(stop, order.limit)
        sets_N, rows_N = order.rows(first, stop)
        bad = [
            self._quarantine.holds(*self._readers[chosen].place(row))
            for chosen, row in zip(sets_N.tolist(), rows_N.tolist(), strict=True)
        ]
        before, after = bad[: position - first + 1][::-1], bad[position - first :]
        return _leading(before) + _leading(after) - 1 >= MAX_IN_A_ROW


def _leading(flags: list[bool]) -> int:
    return flags.index(False) if False in flags else len(flags)
