"""Every way to compute a backbone against its slow reference: forward and gradient.

The reference computes each document alone, in float32, in its plain form. What is compared with it
gets the same documents in packed lines, or padded ones a line each.

B lines, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from loretta_framework.api.errors import PluginError, RecipeError, UserError
from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.registry import Builder, Registry

Check = Callable[[], dict[str, Any]]
Lines = Sequence[Sequence[int]]
"""Lengths of the documents of each line."""

PACKED: Lines = ((37, 60, 5, 26), (100, 1), (128,))
BOUNDS = {"fp32": 2e-3, "bf16": 4e-2}
"""Most ||x - reference|| / ||reference||. float32 is that of kernels that multiply in tf32."""

_TRANSFORMER = {"width": 128, "depth": 2, "heads": 2}
_SCAN = {"width": 64, "depth": 2}
FORMS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    **{
        f"attention {form}": (
            "transformer",
            {**_TRANSFORMER, "attention": form},
            {"attention": "matmul"},
        )
        for form in ("sdpa", "matmul", "flex", "varlen", "flash", "auto")
    },
    "attention sdpa, window": (
        "transformer",
        {**_TRANSFORMER, "attention": "sdpa", "window": 16},
        {"attention": "matmul"},
    ),
    "attention auto, grouped queries": (
        "transformer",
        {**_TRANSFORMER, "kv_heads": 1, "attention": "auto"},
        {"attention": "matmul"},
    ),
    "Mamba-2, plain torch": ("mamba.mamba2", {**_SCAN, "kernel": "reference"}, {"chunk": 16}),
    "Mamba-2, mamba-ssm": (
        "mamba.mamba2",
        {**_SCAN, "kernel": "mamba_ssm"},
        {"kernel": "reference"},
    ),
    "Mamba-1, plain torch": ("mamba.mamba1", {**_SCAN, "kernel": "reference"}, {"chunk": 16}),
    "Mamba-1, mamba-ssm": (
        "mamba.mamba1",
        {**_SCAN, "kernel": "mamba_ssm"},
        {"kernel": "reference"},
    ),
    "Hyena, FFT": ("hyena.hyena", {**_SCAN, "kernel": "reference"}, {"kernel": "reference"}),
    "Hyena, flash-fft-conv": (
        "hyena.hyena",
        {**_SCAN, "kernel": "flash_fft_conv"},
        {"kernel": "reference"},
    ),
}
"""Name -> kind, settings, and what the reference sets otherwise."""


def checks(device: str, dry: bool) -> dict[str, Check]:
    """Each form in float32 and bfloat16, packed and separate."""
    lines = ((7, 5), (9,)) if dry else PACKED
    separate = tuple((length,) for line in lines for length in line)
    found: dict[str, Check] = {}
    for name, form in FORMS.items():
        for precision in BOUNDS:
            for layout, laid in (("packed", lines), ("separate", separate)):
                found[f"{name}, {precision}, {layout}"] = _check(
                    form, precision, laid, lines, device
                )
    return found


def _check(
    form: tuple[str, dict[str, Any], dict[str, Any]],
    precision: str,
    laid: Lines,
    lines: Lines,
    device: str,
) -> Check:
    def check() -> dict[str, Any]:
        kind, settings, otherwise = form
        try:
            return compare(kind, settings, {**settings, **otherwise}, precision, laid, device)
        except UserError as error:
            # A kernel that is absent, or that does not fit this device; a recipe must be right.
            if isinstance(error, RecipeError | PluginError):
                raise
            return {"skipped": str(error).partition("\n")[0]}

    return check


def compare(
    kind: str,
    settings: dict[str, Any],
    reference: dict[str, Any],
    precision: str,
    laid: Lines,
    device: str,
) -> dict[str, Any]:
    """Relative errors of outputs, of the gradient of the inputs and of all weights."""
    # The fused kernels compute in half precision alone, so the weights are built once, in float32.
    slow, fast = built(kind, reference, device), built(kind, settings, device)
    fast.load_state_dict(slow.state_dict())
    documents = [
        torch.randn(length, slow.width, generator=torch.Generator().manual_seed(number)).to(device)
        for number, length in enumerate(length for line in laid for length in line)
    ]
    wanted = [_alone(slow, x_TD) for x_TD in documents]
    got = _together(fast, documents, laid, precision)
    errors = {
        name: max(_error(a, b) for a, b in zip(got[k], (w[k] for w in wanted), strict=True))
        for k, name in enumerate(("forward", "gradient"))
    }
    errors["weights"] = _error(_gradients(fast), _gradients(slow))
    bound = BOUNDS[precision]
    return {
        **{name: float(f"{error:.2e}") for name, error in errors.items()},
        "bound": bound,
        "ok": all(error <= bound for error in errors.values()),
    }


def built(kind: str, settings: dict[str, Any], device: str) -> Any:
    """A backbone in training mode with the weights of the seed 0."""
    torch.manual_seed(0)
    return Builder(_registry()).build_spec("backbone", kind, settings).to(device).train()


@lru_cache(maxsize=1)
def _registry() -> Registry:
    return Registry.discover(("mamba", "hyena"))


def _alone(backbone: Any, x_TD: Tensor) -> tuple[Tensor, Tensor]:
    x_1TD = x_TD[None].clone().requires_grad_()
    y_1TD = backbone(x_1TD, layout_of(((len(x_TD),),), str(x_TD.device)))
    _loss(y_1TD).backward()  # type: ignore[no-untyped-call]
    assert x_1TD.grad is not None
    return y_1TD[0].detach(), x_1TD.grad[0]


def _together(
    backbone: Any, documents: list[Tensor], laid: Lines, precision: str
) -> tuple[list[Tensor], list[Tensor]]:
    layout = layout_of(laid, str(documents[0].device))
    x_BTD = torch.zeros(
        *layout.documents_BT.shape, documents[0].shape[1], device=documents[0].device
    )
    here = [layout.documents_BT == number for number in range(len(documents))]
    for held_BT, x_TD in zip(here, documents, strict=True):
        x_BTD[held_BT] = x_TD
    x_BTD.requires_grad_()
    enabled = precision == "bf16"
    with torch.autocast(x_BTD.device.type, torch.bfloat16, enabled=enabled):
        y_BTD = backbone(x_BTD, layout)
    total = torch.stack([_loss(y_BTD[held_BT]) for held_BT in here]).sum()
    total.backward()  # type: ignore[no-untyped-call]
    assert x_BTD.grad is not None
    return [y_BTD[h].detach() for h in here], [x_BTD.grad[h] for h in here]


def layout_of(lines: Lines, device: str) -> SequenceLayout:
    """Lines of documents, padded on the right."""
    tokens = max(sum(line) for line in lines)
    documents_BT = torch.full((len(lines), tokens), PADDING, dtype=torch.int64)
    positions_BT = torch.zeros_like(documents_BT)
    lengths: list[int] = []
    for number, line in enumerate(lines):
        start = 0
        for length in line:
            documents_BT[number, start : start + length] = len(lengths)
            positions_BT[number, start : start + length] = torch.arange(length)
            start += length
            lengths.append(length)
    ends = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    return SequenceLayout(
        documents_BT=documents_BT.to(device),
        positions_BT=positions_BT.to(device),
        cu_lengths=ends.to(device),
        max_length=max(lengths),
        packed=any(len(line) > 1 for line in lines),
    )


def _loss(y: Tensor) -> Tensor:
    """A sum whose gradient differs from place to place."""
    weights = torch.linspace(-1, 1, y.shape[-1], device=y.device)
    return (y.float() * weights).sum() + y.float().square().mean()


def _gradients(module: Any) -> Tensor:
    return torch.cat([p.grad.flatten().float() for p in module.parameters() if p.grad is not None])


def _error(found: Tensor, wanted: Tensor) -> float:
    """||found - wanted|| / ||wanted||; infinite where anything is not finite."""
    error = (found.double() - wanted.double()).norm() / wanted.double().norm().clamp_min(1e-30)
    return float(error) if bool(torch.isfinite(found).all()) else float("inf")
