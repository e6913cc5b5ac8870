"""How old the segments are that a step conditions on, and how much of it they are."""

from __future__ import annotations

from collections.abc import Sequence

from loretta_framework.train.tasks import Task


def pseudo_figures(tasks: Sequence[Task], step: int) -> dict[str, float]:
    """Of this process's rows of a step: `pseudo/age_mean`, `pseudo/age_max`, `pseudo/tokens`.

    Ages are in optimiser steps between making a row with generated segments and training on it,
    and absent when there is no such row; tokens are the part of the step's inputs that is generated.
    {} where no task that generates has rows.
    """
    if not any(task.drawn for task in tasks if task.generates):
        return {}
    drawn = [pooled for task in tasks for pooled in task.drawn]
    made = sum(pooled.row.generated for pooled in drawn)
    figures = {"pseudo/tokens": made / sum(len(pooled.row) for pooled in drawn)}
    ages = [step - pooled.made for pooled in drawn if pooled.row.generated]
    if ages:
        figures["pseudo/age_mean"] = sum(ages) / len(ages)
        figures["pseudo/age_max"] = float(max(ages))
    return figures
