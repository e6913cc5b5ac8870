"""What the device can do at most: a matrix product and a copy."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

Check = Callable[[], dict[str, Any]]


def checks(device: str, dry: bool) -> dict[str, Check]:
    """An 8192^3 product in bfloat16 and a copy of 8 GB, both on random data."""
    return {
        "product, bf16": lambda: product(device, 64 if dry else 8192),
        "copy": lambda: copy(device, 1 << (12 if dry else 31)),
    }


def product(device: str, size: int) -> dict[str, Any]:
    """TFLOP/s of size^3."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = timed(lambda: a @ b, device)
    return {"size": size, "tflops": round(2 * size**3 / seconds / 1e12, 1)}


def copy(device: str, count: int) -> dict[str, Any]:
    """Terabytes read and written a second, between two tensors of float32."""
    source = torch.randn(count, device=device)
    target = torch.empty_like(source)
    seconds = timed(lambda: target.copy_(source), device)
    return {"gigabytes": count * 4 / 1e9, "tb_per_s": round(2 * count * 4 / seconds / 1e12, 3)}


def timed(work: Callable[[], Any], device: str, repeats: int = 20) -> float:
    """Median seconds, after three that do not count; by the device's own clock where it has one."""
    for _ in range(3):
        work()
    if device.startswith("cuda"):
        return _by_events(work, repeats)
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _by_events(work: Callable[[], Any], repeats: int) -> float:
    taken: list[float] = []
    for _ in range(repeats):
        began: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        ended: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        began.record()
        work()
        ended.record()
        ended.synchronize()
        taken.append(began.elapsed_time(ended) / 1e3)
    return statistics.median(taken)
