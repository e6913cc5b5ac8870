"""`attention: flash`: the same numbers as the reference, told by a stand-in for the kernel.

The kernel needs a GPU; its stand-in takes the same arguments and loops over documents, so what is
tested here is all that lies around it: which tokens it is given, and where its outputs go.
"""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor

from loretta_framework.api.errors import MissingDependencyError, UserError
from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.backbones import flash
from loretta_framework.backbones.settings import TransformerSettings
from loretta_framework.backbones.transformer import Transformer

SIZES = {"width": 32, "depth": 2, "heads": 4, "kv_heads": 2}


def by_documents(
    q_NHK: Tensor,
    k_NGK: Tensor,
    v_NGK: Tensor,
    cu: Tensor,
    cu_k: Tensor,
    most: int,
    most_k: int,
    *,
    causal: bool,
) -> Tensor:
    assert causal
    assert torch.equal(cu, cu_k)
    assert cu.dtype == torch.int32
    assert most == most_k == int((cu[1:] - cu[:-1]).max())
    assert len(q_NHK) == int(cu[-1])
    outputs = []
    for start, stop in zip(cu[:-1].tolist(), cu[1:].tolist(), strict=True):
        q, k, v = (x[start:stop].float().transpose(0, 1) for x in (q_NHK, k_NGK, v_NGK))
        k, v = (x.repeat_interleave(len(q) // len(x), dim=0) for x in (k, v))
        scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        hidden = torch.ones(scores.shape[1:], dtype=torch.bool).triu(1)
        outputs.append((scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v).transpose(0, 1))
    return torch.cat(outputs).to(q_NHK.dtype)


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("flash_attn")
    module.flash_attn_varlen_func = by_documents  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flash_attn", module)


@pytest.fixture
def kernel(package: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flash, "takes", lambda x: True)  # the stand-in computes anywhere


def layout() -> SequenceLayout:
    documents = torch.tensor([[0, 0, 0, 1, 1, PADDING], [2, 2, 2, 2, PADDING, PADDING]])
    positions = torch.tensor([[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 0, 0]])
    cu = torch.tensor([0, 3, 5, 9], dtype=torch.int32)
    return SequenceLayout(documents, positions, cu, max_length=4, packed=True)


def outputs(form: str, training: bool = True) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    model = Transformer(TransformerSettings(**SIZES), form).train(training).to(torch.bfloat16)
    x_BTD = torch.randn(2, 6, 32).to(torch.bfloat16).requires_grad_()
    here = layout()
    y_BTD = model(x_BTD, here)[here.documents_BT != PADDING]
    weights = torch.randn(y_BTD.shape)  # squares of normed outputs would have no gradient
    (gradient,) = torch.autograd.grad((y_BTD.float() * weights).sum(), x_BTD)
    return y_BTD.detach().float(), gradient.float()


@pytest.mark.usefixtures("kernel")
def test_it_equals_the_reference_forward_and_gradient() -> None:
    # bf16 keeps 8 bits; four roundings on the way through two blocks.
    for ours, theirs in zip(outputs("flash"), outputs("matmul"), strict=True):
        assert (ours - theirs).abs().max() <= 4 * 2**-8 * theirs.abs().max()


def test_without_training_no_kernel_is_needed() -> None:
    ours, theirs = outputs("flash", training=False), outputs("sdpa", training=False)
    assert torch.equal(ours[0], theirs[0])


def test_an_absent_kernel_that_was_asked_for_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(MissingDependencyError, match="needs flash-attn") as error:
        outputs("flash")
    assert error.value.where == "backbone.settings.attention"
    assert "pip install --no-build-isolation 'loretta-framework[flash]'" in error.value.fix


def refusal(width: int, dtype: torch.dtype) -> UserError:
    model = Transformer(TransformerSettings(width=width, depth=1, heads=1), "flash").to(dtype)
    with pytest.raises(UserError) as error:
        model(torch.randn(2, 6, width, dtype=dtype), layout())
    assert error.value.where == "backbone.settings.attention"
    return error.value


@pytest.mark.usefixtures("kernel")
def test_float32_is_refused() -> None:
    error = refusal(32, torch.float32)
    assert "but the queries are torch.float32" in error.what
    assert error.fix == "set train.precision: bf16, or use attention: auto"


@pytest.mark.usefixtures("kernel")
def test_a_head_wider_than_the_kernels_take_is_refused() -> None:
    assert "float32" in refusal(256, torch.float32).what  # the width itself is taken
    error = refusal(258, torch.bfloat16)
    assert error.what == "flash-attn takes heads of at most 256, but width / heads is 258"
    assert error.fix == "raise heads, or use attention: auto"


@pytest.mark.usefixtures("package")
def test_training_elsewhere_than_on_a_cuda_device_is_refused() -> None:
    error = refusal(32, torch.bfloat16)
    assert error.what == "flash-attn trains on a CUDA device, but the model lies on cpu"
    assert error.fix == "use attention: auto"
