"""Whether the backbone's blocks are compiled for training, and how.

Compiling takes up to a minute and needs a compiler; afterwards a step is somewhat faster. So it is
left to runs that repay it several times, told by their size, never by a timing: a run repeats.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from loretta_framework.api.errors import UserError
from loretta_framework.api.layout import SequenceLayout
from loretta_framework.api.protocols import Backbone
from loretta_framework.recipe.schema import Recipe
from loretta_framework.train.numerics import Note, Numerics

KEY = "train.compile"

REPAID_FLOP = {"cpu": 1e14, "cuda": 2e17}
"""Work above which a run is compiled: about half an hour of one core, or ten minutes of a large GPU.

A core computes some 50 GFLOP/s of a small model in float32. Compiling costs it 20 s and makes steps
faster by an eighth (width 128) to a twentieth (width 384): half an hour repays it several times. A GPU
does some 300 TFLOP/s, and loses more between operations."""

_COMPILERS = ("g++", "clang++")


def choose_compile(
    recipe: Recipe,
    backbone: nn.Module,
    device: torch.device,
    tokens: int,
    note: Note,
    declared: bool = True,
) -> bool:
    """Settle `train.compile`, and note why where the recipe leaves it open.

    Args:
        recipe: with the field; and the steps.
        backbone: on its device.
        device: where it trains.
        tokens: of a step.
        note: told of the choice.
        declared: whether the backbone says that it `compiles`; without, only the recipe's "on" does.

    Raises:
        UserError: the recipe asks for it, and it cannot be done here.
    """
    if recipe.train.compile == "off":
        return False
    lacking, fix = _lacking(backbone, device)
    if recipe.train.compile == "on":
        if lacking:
            raise UserError(f"the blocks cannot be compiled: {lacking}", where=KEY, fix=fix)
        return True
    if not declared:
        note(KEY, "off", "the backbone does not declare that its blocks gain by it")
        return False
    parameters = sum(p.numel() for p in backbone.parameters())
    work, limit = 6.0 * parameters * tokens * recipe.train.steps, REPAID_FLOP[device.type]
    size = f"6 x {parameters:,} parameters x {tokens} tokens x {recipe.train.steps} steps"
    if work < limit:
        note(KEY, "off", f"{size} = {work:.1e} FLOP < {limit:.1e}: it would not be repaid")
    elif lacking:
        note(KEY, "off", lacking)
    else:
        note(KEY, "on", f"{size} = {work:.1e} FLOP >= {limit:.1e} repay it")
    return work >= limit and not lacking


def _lacking(backbone: nn.Module, device: torch.device) -> tuple[str, str]:
    """What compiling needs and is not here, and what to do; "" twice when nothing is."""
    off = "set train.compile=off"
    if not isinstance(getattr(backbone, "blocks", None), nn.ModuleList):
        return "the backbone names no `blocks`", f"{off}, or use a backbone that has them"
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "triton is not installed", f"pip install triton, or {off}"
    elif compiler() is None:
        return "there is no C++ compiler", f"install g++ or clang++, or name one by CXX, or {off}"
    elif not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "the headers of Python are missing", f"install python3-dev, or {off}"
    return "", ""


def compiler() -> str | None:
    """The C++ compiler to be used on a CPU: that of CXX, else the first one found."""
    named = os.environ.get("CXX")
    found = (shutil.which(name) for name in ([named] if named else _COMPILERS))
    return next((path for path in found if path), None)


def compile_blocks(backbone: Backbone, numerics: Numerics, shape: tuple[int, int]) -> None:
    """Compile each block's `forward` for training; in evaluation and by `extend` it stays eager.

    Args:
        backbone: has `blocks`; left in training mode.
        numerics: to compute with.
        shape: lines and tokens of a usual batch. The code is made for it, whatever comes first: what
            is rounded how must not depend on the step at which a run was resumed.
    """
    if numerics.device.type == "cpu":
        from torch._inductor import config

        config.cpp.cxx = (None, compiler() or "g++")  # by itself it looks for g++ only
    assert isinstance(backbone, nn.Module)
    blocks = backbone.blocks
    assert isinstance(blocks, nn.ModuleList)
    for block in blocks:
        compiled = torch.compile(block.forward, dynamic=True)
        block.forward = _in_training(block, block.forward, compiled)
    backbone.train()
    for packed in (False, True):
        x_BTD = torch.zeros(*shape, backbone.width, device=numerics.device, requires_grad=True)
        with numerics.autocast():
            y_BTD = backbone(x_BTD, _layout(shape, packed, numerics.device))
        y_BTD.float().sum().backward()  # type: ignore[no-untyped-call]
    backbone.zero_grad(set_to_none=True)


def _layout(shape: tuple[int, int], packed: bool, device: torch.device) -> SequenceLayout:
    """Full lines of two documents each where `packed`, else of one."""
    lines, tokens = shape
    parts = [tokens // 2, tokens - tokens // 2] if packed else [tokens]
    lengths = torch.tensor(parts * lines)
    documents_N = torch.arange(len(lengths)).repeat_interleave(lengths)
    positions_T = torch.cat([torch.arange(part) for part in parts])
    return SequenceLayout(
        documents_BT=documents_N.view(shape).to(device),
        positions_BT=positions_T.repeat(lines, 1).to(device),
        cu_lengths=functional.pad(lengths.cumsum(0), (1, 0)).to(device, torch.int32),
        max_length=max(parts),
        packed=packed,
    )


def _in_training(
    block: nn.Module, eager: Callable[..., Any], compiled: Callable[..., Any]
) -> Callable[..., Any]:
    def forward(*arguments: Any, **options: Any) -> Any:
        # Rollouts run in the midst of training, without gradients.
        chosen = compiled if block.training and torch.is_grad_enabled() else eager
        return chosen(*arguments, **options)

    return forward
