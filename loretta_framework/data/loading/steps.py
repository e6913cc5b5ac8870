"""The samples of one step: asked for by the schedule, placed by the order, drawn from the sets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from loretta_framework.api.errors import LorettaError
from loretta_framework.api.protocols import IntArray
from loretta_framework.data.decode import BadRow
from loretta_framework.data.loading.draws import Draws, RawDraws
from loretta_framework.data.loading.transport import StepResult, StepSamples, pack
from loretta_framework.data.loading.watch import Watch
from loretta_framework.data.order import Order, SetShare
from loretta_framework.data.quarantine import MAX_IN_A_ROW, Crash, too_many_in_a_row
from loretta_framework.data.sample import SetReader
from loretta_framework.data.schedule import requests, share_of_rank
from loretta_framework.recipe.plan import Plan
from loretta_framework.sequence.rows import TokenizedSample


class StepDraws:
    """Step number -> samples, a pure function. Survives fork and pickling.

    Args:
        plan: the run.
        readers: its training sets.
        draws: of each set.
        rank: this process among `world`; it gets its part of each request.
        world: number of processes.
    """

    def __init__(
        self,
        plan: Plan,
        readers: Sequence[SetReader],
        draws: Sequence[Draws],
        rank: int,
        world: int,
    ) -> None:
        self.plan, self.draws, self.rank, self.world = plan, draws, rank, world
        self.names = [reader.plan.name for reader in readers]
        sets = [
            SetShare(r.plan.name, len(r), r.plan.share, tuple(r.boundaries), r.plan.max_epochs)
            for r in readers
        ]
        self.orders = {
            task.name: Order(sets, plan.seed, task.name, plan.shuffle_rows) for task in plan.tasks
        }
        self.watch = Watch()
        self._crashes: dict[tuple[int, int], Crash] = {}

    def watched(self, watch: Watch) -> None:
        """Note in `watch` what is being decoded."""
        self.watch = watch
        for draws in self.draws:
            if isinstance(draws, RawDraws):
                draws.watch = watch

    def leave_out(self, crashes: Iterable[Crash]) -> None:
        """From their steps on these rows are bad rows that nobody looks at."""
        for crash in crashes:
            self._crashes[self.names.index(crash.set_name), crash.row] = crash

    def packed(self, step: int) -> bytes:
        """`result` in bytes, see `transport`; a bug is among its errors."""
        try:
            return pack(self.result(step))
        except Exception as error:
            return pack(StepResult({}, [], error))

    def result(self, step: int) -> StepResult:
        """The samples of a step, or why there are none."""
        self.watch.step(step)
        samples: StepSamples = {}
        bad: list[BadRow] = []
        failed: dict[str, list[int]] = {}
        try:
            for request in requests(self.plan, step):
                positions = share_of_rank(request, self.rank, self.world)
                samples[request.task_name] = self._drawn(
                    step, request.task_name, positions, bad, failed
                )
        except LorettaError as error:
            return StepResult({}, bad, error)
        return StepResult(samples, bad, None, failed)

    def _drawn(
        self,
        step: int,
        task: str,
        positions: range,
        bad: list[BadRow],
        failed: dict[str, list[int]],
    ) -> list[TokenizedSample]:
        """The sample at each position, or the first good one of its substitutes."""
        if not positions:
            return []
        sets_N, rows_N = self.orders[task].rows(positions.start, positions.stop)
        positions_N = np.arange(positions.start, positions.stop)
        found = self._of_sets(step, sets_N, rows_N, positions_N)
        samples = []
        for index, one in enumerate(found):
            if isinstance(one, BadRow):
                bad.append(one)
                failed.setdefault(task, []).append(positions[index])
                one = self._substitute(step, task, int(sets_N[index]), positions[index], bad)
            samples.append(one)
        return samples

    def _substitute(
        self, step: int, task: str, chosen: int, position: int, bad: list[BadRow]
    ) -> TokenizedSample:
        at_1 = np.array([position])
        for row in self.orders[task].substitutes(position, MAX_IN_A_ROW - 1):
            (one,) = self._of_set(step, chosen, row[None], at_1)
            if not isinstance(one, BadRow):
                return one
            bad.append(one)
        raise too_many_in_a_row(self.names[chosen], bad[-1])

    def _of_sets(
        self, step: int, sets_N: IntArray, rows_N: IntArray, positions_N: IntArray
    ) -> list[TokenizedSample | BadRow]:
        chosen = np.unique(sets_N).tolist()
        if len(chosen) == 1:
            return self._of_set(step, chosen[0], rows_N, positions_N)
        found: dict[int, TokenizedSample | BadRow] = {}
        for number in chosen:
            places_M = np.flatnonzero(sets_N == number)
            taken = self._of_set(step, number, rows_N[places_M], positions_N[places_M])
            found.update(zip(places_M.tolist(), taken, strict=True))
        return [found[place] for place in range(len(sets_N))]

    def _of_set(
        self, step: int, chosen: int, rows_N: IntArray, positions_N: IntArray
    ) -> list[TokenizedSample | BadRow]:
        """The rows of one set; those that crash are not touched."""
        if not self._crashes:
            return self.draws[chosen].take(rows_N, positions_N)
        crashes = [self._crashes.get((chosen, row)) for row in rows_N.tolist()]
        out = [c.bad if c is not None and c.step <= step else None for c in crashes]
        left_N = np.array([bad is None for bad in out])
        taken = iter(self.draws[chosen].take(rows_N[left_N], positions_N[left_N]))
        return [next(taken) if bad is None else bad for bad in out]
