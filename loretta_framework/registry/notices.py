"""What the registry has to tell people while a command runs; each sentence once.

Nobody listens unless somebody asks: a library that prints unasked would spoil its caller's output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Hand notices to this listener inside, each text once."""
    told: set[str] = set()

    def once(text: str) -> None:
        if text not in told:
            told.add(text)
            listener(text)

    token = _listener.set(once)
    try:
        yield
    finally:
        _listener.reset(token)


def listener() -> Listener:
    """Who listens now; a function that drops the text when nobody does.

    Ask in the thread that was told to listen: another one does not see its context.
    """
    return _listener.get() or (lambda text: None)
