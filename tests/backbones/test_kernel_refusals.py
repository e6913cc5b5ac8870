"""What is said where a kernel that was asked for is absent or does not fit."""

from __future__ import annotations

import pytest
import torch
from slow_attention import FLASH, PACKED, layout, present, stand_in

from loretta_framework.api.errors import MissingDependencyError, UserError
from loretta_framework.backbones.forms import flash
from loretta_framework.backbones.settings import TransformerSettings
from loretta_framework.backbones.transformer import Transformer


def train(form: str, width: int = 32, heads: int = 1, dtype: torch.dtype = torch.bfloat16) -> None:
    settings = TransformerSettings(width=width, depth=1, heads=heads)
    model = Transformer(settings, form).to(dtype)
    model(torch.randn(2, 12, width, dtype=dtype), layout(PACKED))


def refusal(form: str, width: int = 32, dtype: torch.dtype = torch.bfloat16) -> UserError:
    with pytest.raises(UserError) as error:
        train(form, width, dtype=dtype)
    assert error.value.where == "backbone.settings.attention"
    return error.value


@pytest.mark.parametrize(
    ("form", "name"),
    [("flex", "FlexAttention"), ("varlen", "torch's varlen attention"), ("flash", "flash-attn")],
)
def test_training_elsewhere_than_on_a_cuda_device_is_refused(
    form: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    present(monkeypatch, "flash_attn")
    monkeypatch.setattr(flash, "found", lambda: flash.build_for((8, 0)))
    error = refusal(form)
    assert error.what == f"{name} trains on a CUDA device, but the model lies on cpu"
    assert error.fix == "use attention: auto"


@pytest.mark.parametrize("form", ["varlen", "flash_attn"])
def test_float32_is_refused(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refusal(stand_in(form, monkeypatch), dtype=torch.float32)
    assert "computes in bfloat16 or float16, but the queries are torch.float32" in error.what
    assert error.fix == "set train.precision: bf16, or use attention: auto"


@pytest.mark.parametrize(
    ("form", "widest"), [("varlen", 256), ("flash_attn", 256), ("flash_attn.cute", 128)]
)
def test_a_head_wider_than_the_kernel_takes_is_refused(
    form: str, widest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = stand_in(form, monkeypatch)
    train(asked, widest)
    error = refusal(asked, widest + 2)
    wider = f"takes heads of at most {widest}, but width / heads is {widest + 2}"
    assert error.what.endswith(wider)
    assert error.fix == "raise heads, or use attention: auto"


def test_absent_kernels_that_were_asked_for_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    present(monkeypatch)
    flash.found.cache_clear()
    with pytest.raises(MissingDependencyError) as error:
        train("flash")
    assert error.value.where == "backbone.settings.attention"
    assert "pip install --no-build-isolation 'loretta-framework[flash]'" in error.value.fix
    with pytest.raises(MissingDependencyError) as error:
        flash.build_for((9, 0))
    for name, _, _ in FLASH.values():
        assert f"{name} cannot be imported: " in error.value.what


def test_the_newest_build_that_fits_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    present(monkeypatch, *FLASH)
    names = [flash.build_for((major, 0))[0].name for major in (8, 9, 10, 12)]
    newest = "flash-attn (CuTe)"
    assert names == ["flash-attn 2", newest, newest, "flash-attn 2"]
    present(monkeypatch, "flash_attn", "flash_attn_interface")
    build, _, why = flash.build_for((9, 0))
    assert build.name == "flash-attn 3"
    assert why.startswith("flash-attn (CuTe) cannot be imported: ")
    assert why.endswith("; flash-attn 3 can be imported and fits")
    assert "not made for compute capability 8" in flash.build_for((8, 6))[2]


@pytest.mark.parametrize("form", ["flex", "varlen", "flash"])
def test_without_training_no_kernel_is_needed(form: str) -> None:
    outputs = []
    for asked in (form, "sdpa"):
        torch.manual_seed(0)
        model = Transformer(TransformerSettings(width=16, depth=2, heads=2), asked).eval()
        outputs.append(model(torch.ones(2, 12, 16), layout(PACKED)))
    assert torch.equal(*outputs)
