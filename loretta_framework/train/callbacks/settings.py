"""Settings of the built-in callbacks. Torch-free."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from loretta_framework.api.settings import Settings


class ProgressSettings(Settings):
    """Settings of `progress`."""

    every_steps: Annotated[int, Field(gt=0)] = Field(
        default=50, description="Steps between lines where the output is no terminal."
    )


class TensorboardSettings(Settings):
    """Settings of `tensorboard`."""

    every_steps: Annotated[int, Field(gt=0)] = Field(
        default=10, description="Steps between points; the last step is always written."
    )
