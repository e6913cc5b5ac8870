"""What damaged and hostile files do to a decoder: run in a process of its own, which may be lost."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def in_a_child(script: str, *arguments: str) -> str:
    """What a script prints; an `AssertionError` with its last words when it crashes or fails."""
    command = [sys.executable, script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def peak_mb() -> float:
    """Peak resident MB of this process (Linux).

    `ru_maxrss` would be that of the process it was forked from, where that was larger.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def cost_of(read: Callable[[bytes, str], Any], data: bytes) -> dict[str, Any]:
    """Read a file: the `error` it was refused with, the `rise_mb` of memory and `cpu_seconds`."""
    before, start, error = peak_mb(), time.process_time(), ""
    try:
        read(data, "")
    except ValueError as refused:
        error = str(refused)
    seconds = time.process_time() - start
    return {"error": error, "rise_mb": peak_mb() - before, "cpu_seconds": seconds}


def read_damaged(
    read: Callable[[bytes, str], Any],
    data: bytes,
    extension: str,
    mutated: Callable[[bytes, random.Random], bytes],
    check: Callable[[Any], None],
    count: int,
) -> tuple[int, int]:
    """(read, refused with a `ValueError`) of so many mutations; other exceptions are let through.

    Args:
        read: the modality's.
        data: a sound file.
        extension: of the file; the key of the draws too.
        mutated: changes it by a generator.
        check: asserts what must be true of a value.
        count: mutations.
    """
    draw = random.Random(extension)
    done = 0
    for _ in range(count):
        try:
            value = read(mutated(data, draw), extension)
        except ValueError:
            continue
        check(value)
        done += 1
    return done, count - done
