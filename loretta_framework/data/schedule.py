"""How many samples each task is handed at a step, and from which position of its stream.

Closed forms, so that a run starts at any step without replaying the ones before. A task that takes
the samples of k steps at once is handed them at every k-th step from its start, and none between.
"""

from __future__ import annotations

from dataclasses import dataclass

from loretta_framework.recipe.limits import samples_through
from loretta_framework.recipe.plan import Plan, TaskPlan


@dataclass(frozen=True, slots=True)
class Request:
    """Samples for a task: `count` of them from `position` of its stream."""

    task_name: str
    position: int
    count: int


def samples_at(task: TaskPlan, step: int, steps: int | None = None) -> int:
    """Samples the task is handed at a step.

    Args:
        task: the task.
        step: from 0.
        steps: length of the run; the last hand-out then covers only what is left of it.
    """
    return start_position(task, step + 1, steps) - start_position(task, step, steps)


def start_position(task: TaskPlan, step: int, steps: int | None = None) -> int:
    """Samples the task was handed before a step."""
    return samples_through(task, _covered(task, step, steps))


def requests(plan: Plan, step: int) -> list[Request]:
    """What is handed out at a step; a task that gets nothing is not there."""
    found = [
        Request(
            task.name, start_position(task, step, plan.steps), samples_at(task, step, plan.steps)
        )
        for task in plan.tasks
    ]
    return [request for request in found if request.count]


def share_of_rank(request: Request, rank: int, world: int) -> range:
    """The positions of one rank: a contiguous part of the request, near-equal over ranks."""
    first, stop = request.count * rank // world, request.count * (rank + 1) // world
    return range(request.position + first, request.position + stop)


def _covered(task: TaskPlan, step: int, steps: int | None) -> int:
    """End of the steps whose samples were handed out before `step`."""
    hand_outs = -(-max(0, step - task.start_step) // task.every)
    end = task.start_step + hand_outs * task.every
    return end if steps is None else max(task.start_step, min(end, steps))
