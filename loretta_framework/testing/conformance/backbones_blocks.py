"""Checks that concern backbones: blocks, optional kernels, sharding over ranks."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from loretta_framework.api import random
from loretta_framework.registry import Builder
from loretta_framework.testing.conformance.backbone_ranks import on_two_ranks, trained
from loretta_framework.testing.conformance.backbone_rows import (
    LENGTHS,
    Rows,
    documents,
    gradients,
    require_close,
    require_close_gradients,
    run,
    stirred,
)
from loretta_framework.testing.conformance.checks import NotApplicable, check, require
from loretta_framework.testing.conformance.subject import SEED, Subject


@check("backbone")
def blocks_are_units(subject: Subject) -> None:
    """Each module of `blocks` is called once in a pass, and may be computed again for its gradient.

    `blocks`, an `nn.ModuleList` of the repeated layers, is what is sharded over ranks and
    recomputed in the backward pass to save memory. Both act when a block is called: write
    `block(x, ...)`, not `block.forward(...)` or a method of another name. A block takes and returns
    tensors, and changes nothing else.
    """
    backbone = stirred(subject)
    blocks = _blocks(backbone)
    calls = dict.fromkeys(range(len(blocks)), 0)

    def count(number: int) -> Any:
        def called(*_: Any) -> None:
            calls[number] += 1

        return called

    hooks = [block.register_forward_pre_hook(count(n)) for n, block in enumerate(blocks)]
    rows, parts = Rows.alone(LENGTHS), documents(backbone, LENGTHS)
    run(backbone, rows, parts)
    for hook in hooks:
        hook.remove()
    wrong = {number: times for number, times in calls.items() if times != 1}
    require(not wrong, f"blocks must be called once, but were (number: times): {wrong}")
    wanted, _ = gradients(backbone, rows, rows.fill(parts))
    for block in blocks:
        _recompute(block)
    got, _ = gradients(backbone, rows, rows.fill(parts))
    require_close_gradients(got, wanted, sum(LENGTHS), "with blocks computed again")


@check("backbone")
def works_without_its_kernels(subject: Subject) -> None:
    """Where the packages of its optional kernels are absent it works all the same, and says so.

    Import a kernel's package inside a function, catch `ImportError` (compiled code may also raise
    `OSError` and `RuntimeError`), take the plain form instead, and tell by
    `context.note("backbone.settings.kernel", "reference", "mamba-ssm is not installed")`: a reason
    that names the package.
    """
    kernels = subject.spec.kernels
    if not kernels:
        raise NotApplicable("its spec names no kernels")
    packages = [kernel.package for kernel in kernels]
    with hidden([name for package in packages for name in import_names(package)]):
        builder = Builder(subject.registry)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random.key(SEED, "conformance/kernels") % 2**63)
            backbone = subject.spec.build(subject.settings, builder)
        run(backbone.eval(), Rows.alone(LENGTHS), documents(backbone, LENGTHS))
    told = " ".join(" ".join(note) for note in builder.reasons)
    silent = [package for package in packages if package not in told]
    require(not silent, f"no note names the absent {', '.join(silent)}; notes: {told or 'none'}")


@check("backbone")
def two_ranks_equal_one(subject: Subject) -> None:
    """Sharded over two ranks (FSDP2) it is trained as on one: the same weights after two steps.

    A module's weights are whole only while it runs: use a parameter in the `forward` of the module
    that owns it, and keep nothing derived from it. Parameters have at least one axis (FSDP2 takes
    no scalars). If the backbone has `blocks`, each is sharded on its own. Takes seconds: two
    processes are started.
    """
    if not torch.distributed.is_available():
        raise NotApplicable("this torch was built without torch.distributed")
    backbone = stirred(subject)
    start = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    made = on_two_ranks(subject, start)
    wanted = trained(backbone, 0, 1)
    for name, tensor in wanted.items():
        scale = max(float(tensor.abs().max()), 1e-3)
        require_close(made[name], tensor, sum(LENGTHS), f"'{name}' after two steps", scale)


@contextmanager
def hidden(names: Sequence[str]) -> Iterator[None]:
    """Importing these packages raises `ImportError` meanwhile, as if they were absent."""
    kept = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in names}
    for name in kept:
        del sys.modules[name]
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: not importable
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] in names]:
            del sys.modules[name]
        sys.modules.update(kept)


def import_names(package: str) -> list[str]:
    """Top-level modules of a distribution; where it is absent, the name that is usual."""
    try:
        listed = metadata.distribution(package).read_text("top_level.txt") or ""
    except metadata.PackageNotFoundError:
        listed = ""
    return sorted({package.replace("-", "_"), *listed.split()})


def _blocks(backbone: nn.Module) -> nn.ModuleList:
    blocks = getattr(backbone, "blocks", None)
    if blocks is None:
        raise NotApplicable("it has no `blocks`")
    require(
        isinstance(blocks, nn.ModuleList) and len(blocks) > 0,
        f"`blocks` must be an nn.ModuleList that is not empty, but is {type(blocks).__name__}",
    )
    assert isinstance(blocks, nn.ModuleList)
    return blocks


def _recompute(block: nn.Module) -> None:
    """Have a block forget what it computed until its gradient is asked for."""
    forward = block.forward

    def again(*args: Any, **options: Any) -> Any:
        return checkpoint(forward, *args, use_reentrant=False, **options)

    block.forward = again
