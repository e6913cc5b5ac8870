"""What all code in a process shares, and which of it something changed."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

ENVIRONMENT = "the environment"

TORCH_DRAWS = "the state of torch's global generator"
"""A network's first weights come from there; it is seeded before a model is built."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that is shared: how to read it as plain data, and how to put it back."""

    read: Callable[[], Any]
    put_back: Callable[[Any], None]


def snapshot() -> dict[str, Any]:
    """Every part's state; torch's where it was imported."""
    return {name: part.read() for name, part in _parts().items()}


def put_back(state: Mapping[str, Any]) -> None:
    """Make everything as it was."""
    for name, part in _parts().items():
        if name in state:
            part.put_back(state[name])


def unsettle() -> None:
    """Bring into a state that no component asks for what may have been changed before it was read.

    That is torch, which a component imports, and what a process inherits from the one that starts it.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(torch.initial_seed() + 1)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.set_num_threads(torch.get_num_threads() + 1)


@contextmanager
def rewrites() -> Iterator[list[str]]:
    """Collects environment variables that are set to what they are already.

    A process inherits what a component did to the environment of the one that started it; doing it
    again then changes nothing.
    """
    found: list[str] = []
    put = os.putenv

    def watched(name: Any, value: Any) -> None:
        if os.environ.get(os.fsdecode(name)) == os.fsdecode(value):
            found.append(os.fsdecode(name))
        put(name, value)

    os.putenv = watched
    try:
        yield found
    finally:
        os.putenv = put


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Names of the parts that differ, with both states where these are short."""
    found = []
    for name, was in before.items():
        now = after[name]
        if now != was:
            figures = f"{was} -> {now}" if max(len(str(was)), len(str(now))) < 40 else ""
            found.append(f"{name} ({figures or _difference(was, now)})".replace(" ()", ""))
    return found


def _difference(was: Any, now: Any) -> str:
    if isinstance(was, dict) and isinstance(now, dict):
        keys = [key for key in {**was, **now} if was.get(key) != now.get(key)]
        return ", ".join(str(key) for key in keys[:5])
    return ""


def _parts() -> dict[str, Part]:
    return {
        "the state of Python's `random`": Part(random.getstate, random.setstate),
        "the state of numpy's global generator": Part(_numpy_state, _put_numpy_state),
        "numpy's handling of errors": Part(np.geterr, lambda state: _discard(np.seterr(**state))),
        **_torch_parts(),
        ENVIRONMENT: Part(lambda: dict(os.environ), _put_environment),
        "the working directory": Part(os.getcwd, os.chdir),
        "the warning filters": Part(lambda: list(warnings.filters), _put_filters),
        "the signal handlers": Part(_handlers, _put_handlers),
        "the root logger": Part(_logger, _put_logger),
    }


def _torch_parts() -> dict[str, Part]:
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    return {
        TORCH_DRAWS: Part(
            lambda: tuple(torch.get_rng_state().tolist()),
            lambda state: torch.set_rng_state(torch.tensor(state, dtype=torch.uint8)),
        ),
        "torch's default dtype": Part(torch.get_default_dtype, torch.set_default_dtype),
        "torch's number of threads": Part(torch.get_num_threads, torch.set_num_threads),
        "torch's recording of gradients": Part(
            torch.is_grad_enabled, lambda on: _discard(torch.set_grad_enabled(on))
        ),
    }


def _discard(_: Any) -> None:
    """For setters that return something."""


def _numpy_state() -> Any:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return kind, tuple(np.asarray(keys).tolist()), *rest


def _put_numpy_state(state: Any) -> None:
    np.random.set_state(state)


def _put_environment(state: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(state)


def _put_filters(state: list[Any]) -> None:
    warnings.filters[:] = state  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]


def _handlers() -> dict[signal.Signals, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _put_handlers(state: Mapping[signal.Signals, Any]) -> None:
    for number, handler in state.items():
        if handler is not None and signal.getsignal(number) != handler:
            signal.signal(number, handler)


def _logger() -> tuple[int, list[logging.Handler]]:
    root = logging.getLogger()
    return root.level, list(root.handlers)


def _put_logger(state: tuple[int, list[logging.Handler]]) -> None:
    root = logging.getLogger()
    root.setLevel(state[0])
    root.handlers[:] = state[1]
