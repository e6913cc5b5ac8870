"""`tensorboard`: every metric as a curve, in the run directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loretta_framework.api.errors import MissingDependencyError
from loretta_framework.train.callbacks.settings import TensorboardSettings


class Tensorboard:
    """Writes each metric, per-edge losses among them, as a scalar under its name.

    Args:
        settings: how often to write.
        context: what factories are given; not needed here.
    """

    def __init__(self, settings: TensorboardSettings, context: Any) -> None:
        self.settings = settings
        self._writer: Any = None

    def on_start(self, run: Any) -> None:
        """Open the event file; points that a killed run wrote after `run.step` are hidden.

        Raises:
            MissingDependencyError: tensorboard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingDependencyError(
                f"the callback 'tensorboard' needs the package tensorboard: {error}",
                where="callbacks",
                fix="pip install 'loretta-framework[tracking]', or remove the callback",
            ) from error
        purge = run.step + 1 if run.step else None
        self._writer = SummaryWriter(str(run.directory), purge_step=purge)

    def on_step(self, run: Any, metrics: Mapping[str, float]) -> None:
        """Write the metrics when it is time."""
        if run.step % self.settings.every_steps == 0 or run.step == run.steps:
            for name, value in metrics.items():
                if name != "step":
                    self._writer.add_scalar(name, value, run.step)

    def on_end(self, run: Any) -> None:
        """Write what is buffered and close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
