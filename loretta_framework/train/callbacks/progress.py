"""`progress`: a bar on a terminal, a line every so many steps in a log."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress as Bar,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from loretta_framework.train.callbacks.settings import ProgressSettings


class Progress:
    """Shows step, loss, tokens per second and the time that remains, on standard error.

    Standard output stays free for what a command answers. A terminal gets a bar; a log file or a
    pipe gets a line every `every_steps` steps, for a bar would fill it with control codes.

    Args:
        settings: how often to write where there is no terminal.
        context: what factories are given; not needed here.
        console: where to write; standard error by default.
    """

    def __init__(
        self, settings: ProgressSettings, context: Any, *, console: Console | None = None
    ) -> None:
        self.settings = settings
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: Bar | None = None
        self._task = TaskID(0)
        self._first, self._began = 0, 0.0

    def on_start(self, run: Any) -> None:
        """Begin to count; a resumed run's pace is that of its own steps."""
        self._first, self._began = run.step, time.monotonic()
        if self.console.is_terminal:
            self._bar = Bar(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self.console,
            )
            self._task = self._bar.add_task(
                "training", total=run.steps, completed=run.step, figures=""
            )
            self._bar.start()

    def on_step(self, run: Any, metrics: Mapping[str, float]) -> None:
        """Move the bar, or write a line when it is time."""
        if self._bar is not None:
            self._bar.update(self._task, completed=run.step, figures=_figures(metrics))
        elif run.step % self.settings.every_steps == 0 or run.step == run.steps:
            self._print_line(run, metrics)

    def on_end(self, run: Any) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _print_line(self, run: Any, metrics: Mapping[str, float]) -> None:
        elapsed = time.monotonic() - self._began
        seconds = elapsed / (run.step - self._first) * (run.steps - run.step)
        remaining = timedelta(seconds=round(seconds))
        self.console.print(
            f"step {run.step}/{run.steps}  {_figures(metrics)}  {remaining} left", markup=False
        )


def _figures(metrics: Mapping[str, float]) -> str:
    return f"loss {metrics['loss']:.4f}  {metrics['tokens_per_second']:,.0f} tokens/s"
