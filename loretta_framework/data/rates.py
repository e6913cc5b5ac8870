"""What a run was given so far, beside what was planned: samples by set, tokens by edge.

Samples follow from the step alone. Tokens by edge are counted while training, for they depend on
the orders that objectives draw, and are part of the checkpoint, so that a resumed run reports all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loretta_framework.data.order import Order, SetShare
from loretta_framework.data.schedule import start_position
from loretta_framework.recipe.plan import Plan
from loretta_framework.recipe.show import aligned


class EdgeTokens:
    """Target tokens of a run by task and directed edge, each by its weight in the loss.

    Attributes:
        since: first step that is counted; not 0 when an older checkpoint did not count.
    """

    def __init__(self) -> None:
        self.since = 0
        self._tokens: dict[tuple[str, str], float] = {}

    def add(self, tokens: Mapping[tuple[str, str], float]) -> None:
        """Take in a step's sums of loss weights, over all ranks."""
        for name, count in tokens.items():
            self._tokens[name] = self._tokens.get(name, 0.0) + count

    def items(self) -> Iterator[tuple[str, str, float]]:
        """(task, edge, tokens), sorted."""
        for (task, edge), count in sorted(self._tokens.items()):
            yield task, edge, count

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        return {"since": self.since, "tokens": [list(item) for item in self.items()]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""
        self.since = state["since"]
        self._tokens = {(task, edge): count for task, edge, count in state["tokens"]}


@dataclass(frozen=True, slots=True)
class SetRate:
    """A training set's part in a run.

    Attributes:
        name: recipe name.
        rows: usable samples it holds.
        samples: how many were handed out, repeats counted.
        planned_share: part of the samples by the plan.
        achieved_share: part of those handed out; 0 before the first.
        epochs: passes over it, all tasks together.
        tasks: samples by task; each task passes over the set on its own.
    """

    name: str
    rows: int
    samples: int
    planned_share: float
    achieved_share: float
    epochs: float
    tasks: dict[str, int]


@dataclass(frozen=True, slots=True)
class EdgeRate:
    """A directed edge's part in a run.

    Attributes:
        task: the objective.
        edge: "image->text" and the like.
        weighted_tokens: target tokens, each by its weight in the loss.
        share: part of all weighted tokens.
    """

    task: str
    edge: str
    weighted_tokens: float
    share: float


@dataclass(frozen=True, slots=True)
class Rates:
    """What `RUN/rates.json` holds.

    Attributes:
        step: finished steps.
        edges_since_step: steps before it are not in `edges`.
        sets: in recipe order.
        edges: by task, then edge.
    """

    step: int
    edges_since_step: int
    sets: tuple[SetRate, ...]
    edges: tuple[EdgeRate, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Two small tables for people."""
        sets = [
            [
                item.name,
                f"{item.samples}",
                f"{item.planned_share:.1%}",
                f"{item.achieved_share:.1%}",
                f"{item.epochs:.4g}",
            ]
            for item in self.sets
        ]
        edges = [
            [item.task, item.edge, f"{item.weighted_tokens:.0f}", f"{item.share:.1%}"]
            for item in self.edges
        ]
        titles = ["task", "edge", "weighted tokens", "share"]
        since = f" (counted from step {self.edges_since_step})" if self.edges_since_step else ""
        return [
            *aligned(
                [["set", "samples", "planned share", "achieved share", "epochs (all tasks)"], *sets]
            ),
            *(aligned([[*titles[:-1], titles[-1] + since], *edges]) if edges else []),
        ]


def measure_rates(plan: Plan, step: int, tokens: EdgeTokens) -> Rates:
    """The rates after `step` finished steps.

    A task that takes the samples of several steps at once counts all that it was handed.
    """
    return Rates(step, tokens.since, _set_rates(plan, step), _edge_rates(tokens))


def _set_rates(plan: Plan, step: int) -> tuple[SetRate, ...]:
    training = plan.split("train")
    used = {
        task.name: _used(plan, task.name, start_position(task, step, plan.steps))
        for task in plan.tasks
    }
    total = sum(map(sum, used.values()))
    rates = []
    for index, item in enumerate(training):
        by_task = {name: counts[index] for name, counts in used.items()}
        samples = sum(by_task.values())
        achieved = samples / total if total else 0.0
        epochs = samples / item.samples
        rates.append(
            SetRate(item.name, item.samples, samples, item.share, achieved, epochs, by_task)
        )
    return tuple(rates)


def _used(plan: Plan, stream: str, position: int) -> Sequence[int]:
    """Uses of each training set before a position; boundaries of shards do not change them."""
    sets = [
        SetShare(item.name, item.samples, item.share, max_epochs=item.max_epochs)
        for item in plan.split("train")
    ]
    return Order(sets, plan.seed, stream, plan.shuffle_rows).used(position)


def _edge_rates(tokens: EdgeTokens) -> tuple[EdgeRate, ...]:
    total = sum(count for _, _, count in tokens.items())
    return tuple(
        EdgeRate(task, edge, count, count / total if total else 0.0)
        for task, edge, count in tokens.items()
    )
