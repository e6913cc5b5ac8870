"""When two values are the same, and when they are near enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from loretta_framework.api.specs import ModalitySpec
from loretta_framework.testing.conformance.checks import CheckFailure, require
from loretta_framework.testing.conformance.subject import Subject


def same(first: Any, second: Any) -> bool:
    """Whether two values are equal in type and content; arrays may hold NaN at the same places."""
    if first is second:
        return True
    if type(first) is not type(second):
        return False
    if isinstance(first, np.ndarray):
        return _same_arrays(first, second)
    if is_dataclass(first):
        return all(same(getattr(first, f.name), getattr(second, f.name)) for f in fields(first))
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if getattr(type(first), "__eq__", None) is object.__eq__ and hasattr(first, "__dict__"):
        return same(vars(first), vars(second))
    # Tables and tensors compare element by element.
    return bool(np.all(np.asarray(first == second))) or _both_nan(first, second)


def _both_nan(first: Any, second: Any) -> bool:
    return isinstance(first, float) and first != first and second != second


def _same_arrays(first: Any, second: Any) -> bool:
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    return bool(np.all((first == second) | ((first != first) & (second != second))))


def shown(value: Any) -> str:
    """A value in at most 80 characters, on one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def promises(subject: Subject) -> bool:
    """Whether the modality says how near a value comes back."""
    assert isinstance(subject.spec, ModalitySpec)
    return not subject.spec.capabilities.lossy or subject.trial.max_distance is not None


def require_near(subject: Subject, value: Any, restored: Any, way: str) -> None:
    """Fail unless `restored` is `value`, or as near to it as the trial says.

    Args:
        subject: promises something (see `promises`).
        value: the original.
        restored: what came back.
        way: by which it came back, for the message.
    """
    assert isinstance(subject.spec, ModalitySpec)
    if not subject.spec.capabilities.lossy:
        text = f"{way} must give the value back (`lossy` is False), but of {shown(value)}"
        require(same(value, restored), f"{text} it made {shown(restored)}")
        return
    most, distance = subject.trial.max_distance, subject.trial.distance
    if distance is None or most is None:
        raise CheckFailure("a trial with `max_distance` must have `distance`, and the reverse")
    lost = float(distance(value, restored))
    text = f"{way} may lose {most:g} (`max_distance`), but loses {lost:g} of {shown(value)}"
    require(lost <= most, text)
