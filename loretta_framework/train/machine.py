"""What of the machine and its software decides how sums are rounded; told when a run goes on."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping

import torch

from loretta_framework.checkpoint.compare import Change
from loretta_framework.recipe.plan import Plan
from loretta_framework.train.numerics import Numerics

MACHINE = "machine"
"""Key of the note that holds `describe_machine`."""

_CHOICES = (MACHINE, "device", "train.precision", "train.threads", "train.compile")
_BACKBONE = "backbone."
"""What a backbone notes under such keys is what it computes with: its attention, its kernels."""
_PACKAGES = ("torch", "numpy")


def describe_machine() -> str:
    """Processor and instructions that torch computes with: "x86_64, AVX512"."""
    parts = [platform.machine(), torch.backends.cpu.get_cpu_capability()]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)


def effective_numerics(plan: Plan, numerics: Numerics) -> dict[str, str]:
    """What a start really computes with, chosen automatically or not; a checkpoint holds it.

    Args:
        plan: with the reasons of this start among its own.
        numerics: of this start.
    """
    backbone = {
        f"{_BACKBONE}settings.{key}": value
        for key, value in plan.backbone.settings.items()
        if isinstance(value, str) and value != "auto"
    }
    noted = {r.key: r.choice for r in plan.reasons if r.key.startswith(_BACKBONE)}
    return {
        MACHINE: describe_machine(),
        "device": str(numerics.device),
        "train.precision": "bf16" if numerics.bf16 else "fp32",
        "train.threads": str(numerics.threads),
        "train.compile": "on" if numerics.compiled else "off",
        **{name: plan.versions[name] for name in _PACKAGES if name in plan.versions},
        **backbone,
        **noted,
    }


def no_longer_bitwise(
    changes: Iterable[Change], before: Mapping[str, str], now: Mapping[str, str]
) -> str:
    """A sentence on why a resumed run differs in its last bits from what it would have been.

    Args:
        changes: from `require_resumable`.
        before: `effective_numerics` of the checkpoint that the run goes on from.
        now: those of this start.

    Returns:
        "" when it does not.
    """
    # A package may be named by both: each says only what the other may not know.
    causes = list(dict.fromkeys([*_choices(before, now), *_changed(changes)]))
    if not causes:
        return ""
    return (
        "from here on the run is not bit for bit what it would have been without a break: "
        + "; ".join(causes)
    )


def _choices(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    for key in (*_CHOICES, *_PACKAGES, *(key for key in now if key.startswith(_BACKBONE))):
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
