"""Whether sets that may be passed only so often hold what the run will draw."""

from __future__ import annotations

from collections.abc import Sequence

from loretta_framework.api.errors import Problem, RecipeError
from loretta_framework.recipe.load import LoadedRecipe
from loretta_framework.recipe.plan import SetPlan, TaskPlan


def samples_through(task: TaskPlan, end: int) -> int:
    """Samples the task is handed for the steps from its first to `end`, which is not among them."""
    start, end = task.start_step, max(end, task.start_step)
    extra = sum(more * max(0, min(until, end) - start) for until, more in task.extra_samples)
    return task.samples_per_step * (end - start) + extra


def require_enough(
    loaded: LoadedRecipe, tasks: Sequence[TaskPlan], training: Sequence[SetPlan]
) -> None:
    """Refuse a run that outlasts its data.

    Raises:
        RecipeError: every training set has `max_epochs`, and a task needs more than they give.
    """
    if any(item.max_epochs is None for item in training):
        return
    given = sum(item.samples * (item.max_epochs or 0) for item in training)
    sets = ", ".join(f"'{item.name}' {item.samples} x {item.max_epochs}" for item in training)
    steps = loaded.recipe.train.steps
    problems = [
        Problem(
            f"task '{task.name}' needs {needed} samples in {steps} steps, but with max_epochs its "
            f"sets give at most {given} ({sets})",
            loaded.where(("train", "steps")),
            "lower train.steps, raise max_epochs, or leave one set without it",
        )
        for task in tasks
        if (needed := samples_through(task, steps)) > given
    ]
    if problems:
        raise RecipeError(problems)
