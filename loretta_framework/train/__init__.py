"""Runs a recipe: assembly, loop, optimiser, precision, ranks and callbacks.

The room can be called, `loretta_framework.train(recipe, run_dir=...)`, which is part of the public
API: a function of that name in the package would be replaced by this module as soon as anything in
it is imported.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallableRoom(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Execute a recipe; see `train.run.train`."""
        from loretta_framework.train.run import train

        return train(*arguments, **options)


sys.modules[__name__].__class__ = _CallableRoom
