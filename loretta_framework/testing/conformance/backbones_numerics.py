"""Checks that concern backbones: gradients, finite numbers, bfloat16, float32 islands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from loretta_framework.testing.conformance.backbone_rows import (
    BF16_ERROR,
    LENGTHS,
    Rows,
    capabilities,
    documents,
    fresh,
    gradients,
    run,
    stirred,
)
from loretta_framework.testing.conformance.backbones_cache import extend
from loretta_framework.testing.conformance.checks import NotApplicable, check, require
from loretta_framework.testing.conformance.subject import Subject

LONG = 512
"""Tokens of the long document, where the backbone declares no `max_length`."""

LONGEST = 4096
"""The most tokens that are tried where it declares one."""


@check("backbone")
def every_parameter_gets_a_gradient(subject: Subject) -> None:
    """Every trained parameter gets a finite gradient, not all zero, from a batch of any documents.

    A parameter that no output depends on is never trained, and makes ranks wait for each other: use
    it, or remove it. A gradient is cut off by `detach`, `.data`, `no_grad`, `.item()`, an in-place
    copy into a buffer, or a clamp that is always at its limit.
    """
    backbone = stirred(subject)
    rows = Rows.alone(LENGTHS)
    found, x_grad = gradients(backbone, rows, rows.fill(documents(backbone, LENGTHS)))
    for name, parameter in backbone.named_parameters():
        if parameter.requires_grad:
            gradient = found.get(name)
            require(gradient is not None, f"no gradient reaches '{name}'")
            assert gradient is not None
            require(bool(gradient.isfinite().all()), f"the gradient of '{name}' is not finite")
            require(bool(gradient.any()), f"the gradient of '{name}' is zero everywhere")
    require(bool(x_grad.isfinite().all()), "the gradient of the input is not finite")


@check("backbone")
def is_finite(subject: Subject) -> None:
    """With fresh weights outputs and gradients are finite, for odd inputs and for long documents.

    Tried are inputs of zeros, tiny and large ones, and a document of `max_length` tokens (512 where
    none is declared). Look at divisions and square roots without an epsilon, at `exp` of
    something that grows with the position, at `0 * inf`, and at tables that are too short.
    """
    backbone = fresh(subject)
    parts = documents(backbone, LENGTHS)
    rows = Rows.alone(LENGTHS)
    for factor, what in ((0.0, "zeros"), (1e-6, "tiny inputs"), (1.0, "inputs"), (30.0, "large")):
        _require_finite(backbone, rows, [part * factor for part in parts], what)
    declared = capabilities(subject).max_length
    tokens = min(declared or LONG, LONGEST)
    long = Rows.alone([tokens])
    _require_finite(backbone, long, documents(backbone, [tokens]), f"a document of {tokens} tokens")


@check("backbone")
def reaches_its_max_length(subject: Subject) -> None:
    """A document of `capabilities.max_length` tokens works, at once and with the cache.

    Declare the longest that really works; recipes with longer sequences are refused before they
    start. Without a limit declare None. Learned positions need `max_length` rows, one for each.
    """
    declared = capabilities(subject).max_length
    if declared is None:
        raise NotApplicable("it declares no limit")
    require(declared > 0, f"max_length must be positive, but is {declared}")
    backbone = fresh(subject)
    (part,) = documents(backbone, [min(declared, LONGEST)])
    try:
        run(backbone, Rows.alone([len(part)]), [part])
        if capabilities(subject).cache != "none" and len(part) > 1:
            cache = backbone.new_cache(1, len(part))
            extend(backbone, cache, [part[:-1]], [0])
            extend(backbone, cache, [part[-1:]], [len(part) - 1])
    except Exception as error:
        require(False, f"{len(part)} tokens fail with {type(error).__name__}: {error}")


@check("backbone")
def works_in_bfloat16(subject: Subject) -> None:
    """Under autocast to bfloat16 it trains and decodes, and stays near its float32 outputs.

    Weights stay float32 and products are computed in bfloat16. Compute norms, softmaxes, sums over
    time and recurrent state in float32 (`.float()`) and go back to the input's dtype; make caches
    in the dtype in which their contents arrive. The root mean square of the difference may be 10 %
    of the outputs'.
    """
    backbone = stirred(subject)
    parts, rows = documents(backbone, LENGTHS), Rows.alone(LENGTHS)
    wanted = run(backbone, rows, parts)
    with torch.autocast("cpu", torch.bfloat16):
        _require_near(run(backbone, rows, parts), wanted, "outputs")
        found, _ = gradients(backbone, rows, rows.fill(parts))
        for name, gradient in found.items():
            require(bool(gradient.isfinite().all()), f"the gradient of '{name}' is not finite")
        if capabilities(subject).cache == "none":
            return
        cache = backbone.new_cache(len(parts), max(LENGTHS) + 1)
        starts = [max(len(part) - 1, 1) for part in parts]
        heads = [part[:start] for part, start in zip(parts, starts, strict=True)]
        tails = [part[start:] for part, start in zip(parts, starts, strict=True)]
        first = extend(backbone, cache, heads, [0] * len(parts))
        second = extend(backbone, cache, tails, starts)
    made = [torch.cat(pair) for pair in zip(first, second, strict=True)]
    _require_near(made, wanted, "outputs with a cache")


@check("backbone")
def keeps_float32_islands(subject: Subject) -> None:
    """Parameters that match `float32_parameters` are float32 and are used as float32.

    Each pattern must match a parameter's name (`fnmatch`, "blocks.*.decay"). Use such a parameter
    with `.float()` and outside of what autocast casts (linear, matmul, einsum, convolutions), and
    bring the result back to the input's dtype: with all other weights cast to bfloat16 the
    backbone must still run. What is computed from the parameter may be cast; it itself may not.
    """
    patterns = capabilities(subject).float32_parameters
    if not patterns:
        raise NotApplicable("it declares no float32 parameters")
    backbone = stirred(subject)
    names = [name for name, _ in backbone.named_parameters()]
    for pattern in patterns:
        matches = [name for name in names if fnmatchcase(name, pattern)]
        require(bool(matches), f"'{pattern}' matches no parameter; there are {', '.join(names)}")
    islands = {
        name: parameter
        for name, parameter in backbone.named_parameters()
        if any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    for name, parameter in islands.items():
        require(parameter.dtype == torch.float32, f"'{name}' must be float32, is {parameter.dtype}")
    parts, rows = documents(backbone, LENGTHS), Rows.alone(LENGTHS)
    watch = Casts(islands)
    with torch.autocast("cpu", torch.bfloat16), watch:
        run(backbone, rows, parts)
    cast = ", ".join(sorted(watch.cast))
    require(not cast, f"under autocast these are cast to a shorter format: {cast}")
    wanted = run(backbone, rows, parts)
    for name, parameter in backbone.named_parameters():
        if name not in islands:
            parameter.data = parameter.data.bfloat16()
    with torch.no_grad():
        out = backbone(rows.fill(parts).bfloat16(), rows.layout)
    _require_near(rows.split(out), wanted, "outputs with all else cast to bfloat16")


class Casts(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees which parameters, or views of them, are cast to a shorter format meanwhile.

    Attributes:
        cast: their names.
    """

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cast: set[str] = set()
        self._names = {
            parameter.untyped_storage().data_ptr(): name for name, parameter in parameters.items()
        }

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Called by torch for every operation."""
        options = kwargs or {}
        short = (torch.bfloat16, torch.float16)
        if func is torch.ops.aten._to_copy.default and options.get("dtype") in short:
            name = self._names.get(args[0].untyped_storage().data_ptr())
            self.cast |= {name} if name else set()
        return func(*args, **options)


def _require_finite(backbone: Any, rows: Rows, parts: list[Tensor], what: str) -> None:
    for out in run(backbone, rows, parts):
        require(bool(out.isfinite().all()), f"outputs are not finite for {what}")
    found, x_grad = gradients(backbone, rows, rows.fill(parts))
    for name, gradient in {**found, "the input": x_grad}.items():
        require(bool(gradient.isfinite().all()), f"gradient of {name} not finite for {what}")


def _require_near(made: list[Tensor], wanted: list[Tensor], what: str) -> None:
    got, right = (torch.cat(list(parts)).float() for parts in (made, wanted))
    require(bool(got.isfinite().all()), f"{what} are not finite")
    error = float((got - right).square().mean().sqrt() / right.square().mean().sqrt())
    text = f"{what} differ by {error:.2g} of their root mean square; {BF16_ERROR} is the bound"
    require(error <= BF16_ERROR, text)
