"""Ends an import that does not end by itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from loretta_framework.registry.switches import IMPORT_TIMEOUT, import_seconds


class ImportTimeout(BaseException):
    """No `Exception`: a plugin that catches those must not catch this."""


@contextmanager
def time_limit() -> Iterator[None]:
    """Allow what is inside `LORETTA_IMPORT_TIMEOUT` seconds.

    Works in the main thread where the system has timers and nobody else uses the one there is;
    elsewhere there is no limit.

    Raises:
        ImportTimeout: they are over.
        InputError: the variable holds no number of seconds.
    """
    seconds = import_seconds()
    main = threading.current_thread() is threading.main_thread()
    if not main or not hasattr(signal, "setitimer") or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise ImportTimeout(
            f"it did not end within {seconds:g} s ({IMPORT_TIMEOUT} sets the limit)"
        )

    former = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
