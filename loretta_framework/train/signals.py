"""Stop between two steps when asked: SIGTERM and SIGINT become a flag."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopFlag:
    """Set when a signal asked the run to stop; a second signal stops at once."""

    def __init__(self) -> None:
        self.signal: str | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name


@contextmanager
def stop_requests() -> Iterator[StopFlag]:
    """Collect stop requests inside; the former handlers come back. Main thread only, else inert."""
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    former = [signal.signal(number, flag) for number in numbers]
    try:
        yield flag
    finally:
        for number, handler in zip(numbers, former, strict=True):
            signal.signal(number, handler)
