"""Work beside a step: rows of the next one are generated while this one's gradients are computed.

On a CUDA device that work has a stream of its own. It starts where the last update ended and the
next update waits for it, so it reads weights that nothing writes meanwhile: what it makes does not
depend on which of the two is faster. Elsewhere it runs in line, with the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")


class Beside:
    """A stream beside the current one of a device; nothing of the kind where it is no CUDA device.

    Args:
        device: where the model lives.
    """

    def __init__(self, device: torch.device) -> None:
        cuda = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]
        self._begun: torch.cuda.Event | None = None

    def mark(self) -> None:
        """What is queued until now, the last update, comes before the work beside."""
        if self._stream is not None:
            self._begun = torch.cuda.current_stream(self._stream.device).record_event()

    @contextmanager
    def work(self) -> Iterator[None]:
        """Work inside runs beside what was queued since `mark`; what is queued after waits for it."""
        if self._stream is None:
            yield
            return
        current = torch.cuda.current_stream(self._stream.device)
        if self._begun is not None:
            self._stream.wait_event(self._begun)
        try:
            with torch.cuda.stream(self._stream):
                yield
        finally:
            current.wait_stream(self._stream)


def with_next(items: Iterator[T], early: bool) -> Iterator[tuple[T, T | None]]:
    """Each item and the one after it, None at the end; not `early`: always None, nothing is read
    ahead."""
    if not early:
        for item in items:
            yield item, None
        return
    held: list[T] = []
    for item in items:
        if held:
            yield held.pop(), item
        held.append(item)
    if held:
        yield held.pop(), None
