"""The training loop: fetch, make rows, step, report, save. It knows no modality and no backbone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from loretta_framework.api.errors import StoppedOnRequest
from loretta_framework.api.protocols import Callback
from loretta_framework.data.rates import EdgeTokens
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.recipe.plan import Plan
from loretta_framework.recipe.schema import Recipe
from loretta_framework.sequence.rows import TokenizedSample, TokenRow
from loretta_framework.train.ahead import Beside, with_next
from loretta_framework.train.average import MovingAverage
from loretta_framework.train.clock import Clock
from loretta_framework.train.metrics import MetricsWriter
from loretta_framework.train.optim import learning_rate_factor, set_learning_rate
from loretta_framework.train.quality import EdgeQuality
from loretta_framework.train.signals import StopFlag, stop_requests
from loretta_framework.train.staleness import pseudo_figures
from loretta_framework.train.step import Stepper, StepResult
from loretta_framework.train.tasks import Rollouts, Task
from loretta_framework.train.validate import validate

StepSamples = dict[str, list[TokenizedSample]]


class StepSource(Protocol):
    """Where the samples of each step come from: `data.loader.Loader`."""

    def steps(self, first: int, stop: int) -> Iterator[StepSamples]:
        """Task name -> samples, for each step of the range."""


@dataclass(slots=True)
class RunView:
    """What callbacks see of a run."""

    directory: Path
    plan: Plan
    steps: int
    step: int = 0


@dataclass(slots=True)
class Trainer:
    """All parts of a run, put together by `train.run`.

    `save(trainer)` writes a checkpoint of `step` finished steps; `tokenizers` holds the digests of
    what they learned; `coming` the samples of the next step, where a task makes rows ahead.
    """

    plan: Plan
    recipe: Recipe
    model: AnyToAny
    optimizer: torch.optim.Optimizer
    tasks: Sequence[Task]
    stepper: Stepper
    loader: StepSource
    rollouts: Rollouts
    quality: EdgeQuality
    average: MovingAverage | None
    metrics: MetricsWriter | None
    callbacks: Sequence[Callback]
    view: RunView
    save: Callable[[Trainer], None]
    tokenizers: Mapping[str, str]
    held_out: Sequence[TokenizedSample] = ()
    step: int = 0
    last: dict[str, float] = field(default_factory=dict)
    coming: StepSamples | None = None
    beside: Beside = field(init=False)
    edge_tokens: EdgeTokens = field(default_factory=EdgeTokens)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.beside = Beside(self.stepper.numerics.device)

    def run(self) -> None:
        """Train to the last step, or to a stop request.

        Raises:
            StoppedOnRequest: a signal came; the state of the last finished step is saved.
            TrainingError: loss or gradient is not finite.
        """
        for callback in self.callbacks:
            callback.on_start(self.view)
        try:
            with stop_requests() as flag:
                self._steps(flag)
        finally:
            for callback in self.callbacks:
                callback.on_end(self.view)

    def _steps(self, flag: StopFlag) -> None:
        self.model.train()
        saved = self.step
        for samples in self.fetched(self.plan.steps):
            self.one(samples)
            if self.step % self.recipe.checkpoint.every_steps == 0 or self.step == self.plan.steps:
                self.save(self)
                saved = self.step
            if flag.signal is not None and self.step < self.plan.steps:
                if saved != self.step:
                    self.save(self)
                raise StoppedOnRequest(
                    f"stopped by {flag.signal} after step {self.step}; the state is saved",
                    fix="run the same command with --resume to go on",
                )

    def fetched(self, stop: int) -> Iterator[StepSamples]:
        """The samples of each step before `stop`; with overlap one step is read ahead."""
        overlap = any(task.plan.overlap for task in self.tasks)
        steps = self.loader.steps(self.step, stop)
        for samples, coming in with_next(steps, overlap):
            self.coming = coming
            self.clock.mark("data")
            yield samples

    def one(self, samples: StepSamples) -> None:
        """Train on the samples of a step and report it."""
        began = time.monotonic()
        self.beside.mark()
        rows = self._rows(samples)
        factor = learning_rate_factor(self.step, self.plan.steps, self.recipe.optimizer)
        set_learning_rate(self.optimizer, factor)
        result = self.stepper.run(self.step, rows, self._ahead)
        if self.average is not None:
            self.average.update(self.model)
        self.clock.mark("optimizer")
        self._observe(result)
        self.step += 1
        self.view.step = self.step
        report = self._report(result, factor, time.monotonic() - began)
        every = self.recipe.train.validate_every
        if self.held_out and (self.step == self.plan.steps or (every and self.step % every == 0)):
            report |= {f"validation/{k}": v for k, v in validate(self.model, self.held_out).items()}
        self.last = report
        if self.metrics is not None:
            self.metrics.write(report)
        for callback in self.callbacks:
            callback.on_step(self.view, report)

    def _rows(self, samples: StepSamples) -> dict[str, list[TokenRow]]:
        rows = {}
        for task in self.tasks:
            name = task.plan.name
            rows[name] = task.rows(samples.get(name, []), self.step, self.plan.steps)
            self.clock.mark("rollout" if task.generates else "other")
        return rows

    def _ahead(self) -> None:
        """With overlap, the rows of the next step, by the weights before this step's update."""
        if self.coming is None:
            return
        with self.beside.work():
            for task in self.tasks:
                task.make_ahead(self.coming.get(task.plan.name, []), self.step)

    def _observe(self, result: StepResult) -> None:
        self.edge_tokens.add(result.weights)
        # Rows with a pseudo condition say nothing about how good a link is.
        real = {task.plan.name for task in self.tasks if not task.generates}
        self.quality.observe(
            {edge: nats for (task, edge), nats in result.edges.items() if task in real}
        )

    def _report(self, result: StepResult, factor: float, seconds: float) -> dict[str, float]:
        report = {
            "step": float(self.step),
            "loss": result.loss,
            "lr": self.recipe.optimizer.lr * factor,
            "grad_norm": result.grad_norm,
            "tokens": float(result.tokens),
            "padding": 1 - result.tokens / max(result.slots, 1),
            "tokens_per_second": result.tokens / max(seconds, 1e-9),
        }
        several = len(self.tasks) > 1
        for (task, edge), nats in result.edges.items():
            report[f"loss/{task}/{edge}" if several else f"loss/{edge}"] = nats
        for edge, count in self.rollouts.counters.tokens.items():
            report[f"generated_tokens/{edge}"] = float(count)
        return report | pseudo_figures(self.tasks, self.step - 1)
