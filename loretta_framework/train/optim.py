"""AdamW in named parameter groups, and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from loretta_framework.api.errors import Problem, RecipeError
from loretta_framework.recipe.schema import Optimizer


def learning_rate_factor(step: int, steps: int, settings: Optimizer) -> float:
    """Linear warm-up from 0, then cosine decay to `final_lr_fraction`, for the step about to run.

    Args:
        step: from 0.
        steps: length of the run.
        settings: warm-up is cut to a tenth of the run.
    """
    warmup = min(settings.warmup_steps, steps // 10)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return settings.final_lr_fraction + (1 - settings.final_lr_fraction) * cosine


def freeze(model: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Take the parameters whose names match out of training; returns their names.

    Raises:
        RecipeError: a pattern matches nothing, or everything is frozen.
    """
    names = [name for name, _ in model.named_parameters()]
    problems = [
        Problem(
            f"the pattern '{pattern}' matches no parameter",
            "freeze",
            f"names look like '{names[0]}'",
        )
        for pattern in patterns
        if not any(fnmatchcase(name, pattern) for name in names)
    ]
    frozen = [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if len(frozen) == len(names):
        problems.append(Problem("every parameter is frozen", "freeze", "leave some to train"))
    if problems:
        raise RecipeError(problems)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    return frozen


def build_optimizer(model: nn.Module, settings: Optimizer) -> torch.optim.AdamW:
    """AdamW; each parameter is its own group entry under the first pattern that matches it.

    Vectors (norms, biases) get no weight decay: it would pull scales to zero.

    Raises:
        RecipeError: a group's pattern matches nothing.
    """
    used: set[str] = set()
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        lr, decay = settings.lr, settings.weight_decay
        match = next((g for g in settings.groups if fnmatchcase(name, g.match)), None)
        if match is not None:
            used.add(match.match)
            lr = lr if match.lr is None else match.lr
            decay = decay if match.weight_decay is None else match.weight_decay
        groups.setdefault((lr, decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    unused = [group.match for group in settings.groups if group.match not in used]
    if unused:
        where = "optimizer.groups"
        raise RecipeError(
            [
                Problem(f"the pattern '{match}' matches no trained parameter", where)
                for match in unused
            ]
        )
    parameters: list[dict[str, Any]] = [
        {"params": members, "lr": lr, "peak_lr": lr, "weight_decay": decay}
        for (lr, decay), members in groups.items()
    ]
    betas = (settings.betas[0], settings.betas[1])
    return torch.optim.AdamW(
        parameters, lr=settings.lr, betas=betas, eps=settings.eps, fused=_fusible(model) or None
    )


def _fusible(model: nn.Module) -> bool:
    """Whether the update can be one kernel; where it cannot, torch chooses."""
    return all(
        p.device.type in ("cpu", "cuda") and torch.is_floating_point(p)
        for p in model.parameters()
        if p.requires_grad
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Each group's peak times the factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak_lr"] * factor


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state by parameter name: "<name>/exp_avg" and so on."""
    return {
        f"{name}/{key}": value if isinstance(value, Tensor) else torch.tensor(value)
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    """Put back what `optimizer_tensors` gave."""
    for name, parameter in model.named_parameters():
        prefix = f"{name}/"
        state = {
            # The fused update takes its step count from where the parameter lies too.
            key.removeprefix(prefix): value.to(parameter.device, copy=True)
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        if state:
            optimizer.state[parameter] = state
