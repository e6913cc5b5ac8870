"""What of the machine and its software decides how sums are rounded; told when a run goes on."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping

import torch

from loretta_framework.checkpoint.compare import Change

MACHINE = "machine"
"""Key of the note that holds `describe_machine`."""

_CHOICES = (MACHINE, "device", "train.precision", "train.threads")
_PACKAGES = ("torch", "numpy")


def describe_machine() -> str:
    """Processor and instructions that torch computes with: "x86_64, AVX512"."""
    parts = [platform.machine(), torch.backends.cpu.get_cpu_capability()]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)


def no_longer_bitwise(
    changes: Iterable[Change], before: Mapping[str, str], now: Mapping[str, str]
) -> str:
    """A sentence on why a resumed run differs in its last bits from what it would have been.

    Args:
        changes: from `require_resumable`.
        before: automatic choices of the run so far, key -> choice.
        now: those of this start.

    Returns:
        "" when it does not.
    """
    causes = [*_choices(before, now), *_changed(changes)]
    if not causes:
        return ""
    return (
        "from here on the run is not bit for bit what it would have been without a break: "
        + "; ".join(causes)
    )


def _choices(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for key in _CHOICES:
        if key in before and key in now and before[key] != now[key]:
            yield f"{key} was {before[key]}, but is {now[key]} (every sum)"


def _changed(changes: Iterable[Change]) -> Iterator[str]:
    for change in changes:
        name = change.key.removeprefix("versions.")
        if name in _PACKAGES and name != change.key:
            yield f"{name} was {change.old}, but is {change.new} (every sum)"
        elif change.key.endswith(") distribution"):
            part = change.key.removesuffix(" distribution")
            yield f"{change.old} is now {change.new} (what {part} makes)"
        elif change.key.startswith("plugins."):
            yield f"other files lie under {change.key.removeprefix('plugins.')}"
