"""Errors on their way from a loader process to its parent, as plain data.

Not pickled: a class of a plugin may not survive that, and what cannot be unpickled is lost.
"""

from __future__ import annotations

import builtins
import traceback
from collections.abc import Sequence

from loretta_framework.api import errors
from loretta_framework.api.errors import LorettaError

_KINDS = {
    kind.__name__: kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, LorettaError)
    and kind.__init__ is LorettaError.__init__
}


def to_json(error: Exception) -> Sequence[str]:
    """Name of the nearest class that the parent is sure to know, its texts, and the traceback."""
    if isinstance(error, LorettaError):
        name = next(k.__name__ for k in type(error).__mro__ if k.__name__ in _KINDS)
        return [name, error.what, error.where, error.fix]
    built_in = next(k for k in type(error).__mro__ if k.__module__ == "builtins")
    return [built_in.__name__, str(error), "".join(traceback.format_exception(error))]


def from_json(told: Sequence[str]) -> Exception:
    """The error to raise. One that is not ours is a bug: it carries its first traceback as a note."""
    name, what, *rest = told
    if name in _KINDS:
        return _KINDS[name](what, where=rest[0], fix=rest[1])
    try:
        error: Exception = getattr(builtins, name)(what)
    except TypeError:  # UnicodeDecodeError and the like want more than a text
        error = RuntimeError(f"{name}: {what}")
    error.add_note(f"In a loader process:\n{rest[0]}")
    return error
