"""Tokenizers that change what the whole process shares: one class for each part of it."""

from __future__ import annotations

import logging
import os
import random
import signal
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sound_components import Letters

from loretta_framework.api import MissingDependencyError


def _torch() -> Any:
    import torch

    return torch


SINS: dict[str, Callable[[], Any]] = {
    "the state of Python's `random`": random.random,
    "the state of numpy's global generator": lambda: np.random.seed(0),
    "numpy's handling of errors": lambda: np.seterr(all="ignore"),
    "the state of torch's global generator": lambda: _torch().manual_seed(3),
    "torch's default dtype": lambda: _torch().set_default_dtype(_torch().float64),
    "torch's number of threads": lambda: _torch().set_num_threads(1),
    "torch's recording of gradients": lambda: _torch().set_grad_enabled(False),
    "the environment": lambda: os.environ.update(OMP_WAIT_POLICY="passive"),
    "the working directory": lambda: os.chdir("/"),
    "the warning filters": lambda: warnings.filterwarnings("ignore"),
    "the signal handlers": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "the root logger": lambda: logging.basicConfig(level=logging.DEBUG),
}


def _sinner(sin: Callable[[], Any]) -> type:
    def encode(self: Any, value: Any) -> Any:
        sin()
        return Letters.encode(self, value)

    return type("Sinner", (Letters,), {"encode": encode})


class Needy(Letters):
    """Needs a package that nobody has."""

    def encode(self, value: Any) -> Any:
        raise MissingDependencyError("no such codec", fix="pip install codec")


def unbuilt(settings: Any, context: Any) -> Any:
    """A factory that needs a package that nobody has."""
    raise MissingDependencyError("there is no codec", fix="pip install codec")


CLASSES = {part: f"Sinner{number}" for number, part in enumerate(SINS)}
for _part, _name in CLASSES.items():
    globals()[_name] = _sinner(SINS[_part])
