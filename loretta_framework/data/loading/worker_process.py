"""What runs in a loader process: steps come in, bytes go out. It ends with its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any, Protocol

from loretta_framework.data.loading.watch import FIELDS, Cell, Watch

STEP = struct.Struct("<Q")
"""What the parent sends: the number of a step."""

FRAME = struct.Struct("<QQ")
"""What comes back: the step, and how many bytes follow."""

_SECONDS_AFTER_STOP = 60


class Work(Protocol):
    """What the processes do; handed to each when it starts."""

    def watched(self, watch: Watch) -> None:
        """Note in `watch` what is being done."""

    def packed(self, step: int) -> bytes:
        """The result of a step. Raises nothing."""


def cell_of(cells: Any, number: int) -> Cell:
    """A process's part of the integers that all processes of a pool share with their parent."""
    numbers = memoryview(cells).cast("B").cast("q")
    return numbers[FIELDS * number : FIELDS * (number + 1)]


def serve(work: Work, tasks: Connection, results: Connection, cells: Any, number: int) -> None:
    """Steps in, results out, until the process is killed or its parent is gone.

    Args:
        work: what to do.
        tasks: gives `STEP`s.
        results: takes a `FRAME` and its bytes for each.
        cells: see `cell_of`.
        number: of this process in its pool.
    """
    _settle()
    work.watched(Watch(cell_of(cells, number)))
    parent = parent_process()
    if parent is None or not parent.is_alive():
        return  # it was gone before its death could have ended this process
    while given := os.read(tasks.fileno(), STEP.size):
        (step,) = STEP.unpack(given)
        data = work.packed(step)
        _send(results.fileno(), FRAME.pack(step, len(data)) + data)


def _settle() -> None:
    # A stop request goes to the whole process group. The parent finishes its step and saves; it
    # cannot if its workers are gone, so they stay for a while.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_SECONDS_AFTER_STOP))
    if sys.platform == "linux":
        # A parent that is killed closes nothing: processes forked later hold copies of its pipes.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    # One thread each. A library that is not loaded yet reads the variable when it is.
    os.environ["OMP_NUM_THREADS"] = "1"
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def _send(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
