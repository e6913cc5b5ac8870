"""Windows, isolation, derivatives by hand, caches of fixed shape, hybrid parts, compiled blocks."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from slow_attention import PACKED, layout, present
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.api.norms import RMSNorm
from loretta_framework.backbones.forms import flash
from loretta_framework.backbones.mlp import gated
from loretta_framework.backbones.rotary import rotary_angles, rotate
from loretta_framework.backbones.settings import TransformerSettings
from loretta_framework.backbones.transformer import Block, Transformer, build_transformer


def backbone(form: str = "sdpa", **settings: Any) -> Transformer:
    torch.manual_seed(3)
    return Transformer(TransformerSettings(width=32, depth=2, heads=4, **settings), form)


@pytest.mark.parametrize("window", [None, 2])
@pytest.mark.parametrize("form", ["sdpa", "matmul"])
def test_what_one_document_holds_changes_no_bit_of_another(form: str, window: int | None) -> None:
    here = layout(PACKED)
    x_BTD = torch.randn(2, 12, 32)
    changed_BTD = x_BTD.clone()
    changed_BTD[here.documents_BT == 1] += 1.0
    model = backbone(form, window=window, kv_heads=2)
    others = (here.documents_BT != 1) & (here.documents_BT != PADDING)
    weights = torch.randn(int(others.sum()), 32)
    results = []
    for given in (x_BTD, changed_BTD):
        leaf = given.clone().requires_grad_()
        y_ND = model(leaf, here)[others]
        (gradient,) = torch.autograd.grad((y_ND * weights).sum(), leaf)
        results.append((y_ND, gradient[others]))
        assert not gradient[here.documents_BT == 1].any()
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("form", ["sdpa", "matmul"])
def test_a_window_reaches_one_token_further_with_each_block(form: str) -> None:
    here = layout(([12],))
    x_BTD = torch.randn(1, 13, 32, requires_grad=True)
    y_BTD = backbone(form, window=3)(x_BTD, here)
    (gradient,) = torch.autograd.grad(y_BTD[0, 9].square().sum() + y_BTD[0, 9].sum(), x_BTD)
    reached = gradient[0].abs().sum(-1) > 0
    assert reached.tolist() == [False] * 5 + [True] * 5 + [False] * 3  # two blocks: 2 x 2 back


def steps(here: SequenceLayout, first: int, stop: int) -> SequenceLayout:
    at = slice(first, stop)
    return SequenceLayout(
        here.documents_BT[:, at], here.positions_BT[:, at], here.cu_lengths, here.max_length, False
    )


@pytest.mark.parametrize("form", ["sdpa", "matmul"])
@pytest.mark.parametrize("window", [None, 3])
def test_decoding_behind_prompts_of_many_lengths_equals_the_full_pass(
    form: str, window: int | None
) -> None:
    lengths, more = [5, 2, 4], 4
    model = backbone(form, window=window, kv_heads=2).eval()
    prompts = layout(tuple([n] for n in lengths))
    x_BTD = torch.randn(3, prompts.documents_BT.shape[1] + more, 32)
    width = prompts.documents_BT.shape[1]
    with torch.no_grad():
        cache = model.new_cache(3, width + more + 2)
        model.extend(x_BTD[:, :width], prompts, cache)
        cache = cache.select(torch.tensor([2, 0, 1]))
        order = [2, 0, 1]
        got = []
        for step in range(more):
            positions = torch.tensor([[lengths[row] + step] for row in order])
            here = SequenceLayout(
                torch.arange(3)[:, None], positions, torch.arange(4, dtype=torch.int32), 1, False
            )
            x_B1D = x_BTD[order, width + step : width + step + 1]
            got.append(model.extend(x_B1D, here, cache)[:, 0])
        for place, row in enumerate(order):
            whole = torch.cat((x_BTD[row, : lengths[row]], x_BTD[row, width:]))
            alone = layout(([len(whole)],))
            y_BTD = model(functional.pad(whole, (0, 0, 0, 1))[None], alone)
            ours = torch.stack([y[place] for y in got])
            torch.testing.assert_close(
                ours, y_BTD[0, lengths[row] : lengths[row] + more], rtol=1e-5, atol=1e-5
            )


def test_full_rows_need_no_mask_for_one_token_and_for_a_prompt() -> None:
    cache = backbone().new_cache(2, 9)
    prompt = torch.ones(2, 4, dtype=torch.bool)
    slots = cache.reserve(prompt)
    assert cache.mask(slots, prompt, None) is None
    one = torch.ones(2, 1, dtype=torch.bool)
    slots = cache.reserve(one)
    assert cache.mask(slots, one, None) is None
    assert cache.mask(slots, one, 5) is None
    assert cache.mask(slots, one, 4) is not None
    two = torch.ones(2, 2, dtype=torch.bool)
    assert cache.mask(cache.reserve(two), two, None) is not None
    uneven = torch.tensor([[True], [False]])
    assert cache.mask(cache.reserve(uneven), uneven, None) is not None


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def test_derivatives_by_hand_are_those_of_the_formulas() -> None:
    torch.manual_seed(0)
    norm = RMSNorm(6).double()
    assert torch.autograd.gradcheck(
        lambda x, w: torch.func.functional_call(norm, {"weight": w}, x),
        (double(2, 3, 6), double(6)),
    )
    assert torch.autograd.gradcheck(gated, (double(3, 8),))
    rotary = rotary_angles(torch.arange(3)[None].expand(2, 3), 4, 100.0)
    assert torch.autograd.gradcheck(lambda x: rotate(x, 1, rotary), (double(2, 3, 4, 4),))


def test_formulas_by_hand_give_what_torch_gives() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 6)
    norm = RMSNorm(6)
    nn.init.normal_(norm.weight)
    torch.testing.assert_close(norm(x), functional.rms_norm(x, (6,), norm.weight, 1e-6))
    gate, up = x.chunk(2, -1)
    torch.testing.assert_close(gated(x), functional.silu(gate) * up)
    angles = torch.rand(2, 5, 1, 2)
    turned = torch.polar(torch.ones(2, 5, 1, 2), angles)
    qkv = torch.randn(2, 5, 4, 4)
    rotary = (torch.cat((angles.cos(), angles.cos()), -1), angles.sin())
    q, k, v = rotate(qkv, 1, rotary)
    pairs = torch.complex(*qkv[:, :, :3].chunk(2, -1)) * turned
    torch.testing.assert_close(torch.cat((q, k), 2), torch.cat((pairs.real, pairs.imag), -1))
    assert torch.equal(v, qkv[:, :, 3:])


def test_without_the_final_norm_one_block_is_a_plain_block() -> None:
    here = layout(([6],))
    torch.manual_seed(3)
    model = Transformer(TransformerSettings(width=32, depth=1, heads=4, final_norm=False), "sdpa")
    assert not [name for name, _ in model.named_parameters() if name.startswith("norm")]
    (block,) = model.blocks
    assert isinstance(block, Block)
    x = torch.randn(1, 7, 32)
    handed = []
    block.register_forward_hook(lambda module, given, out: handed.append(out))
    assert torch.equal(model(x, here), handed[0])
    cache = model.new_cache(1, 7)
    torch.testing.assert_close(model.extend(x, here, cache), handed[0])


def test_cached_steps_run_the_hooks_of_the_blocks() -> None:
    model = backbone()
    calls: list[nn.Module] = []
    for block in model.blocks:
        block.register_forward_pre_hook(lambda module, given: calls.append(module))
    with torch.no_grad():
        model.extend(torch.randn(1, 7, 32), layout(([6],)), model.new_cache(1, 7))
    assert calls == list(model.blocks)


def test_what_is_generated_in_training_is_not_thinned_out() -> None:
    here, x = layout(([6],)), torch.randn(1, 7, 32)
    model = backbone(dropout=0.5).train()
    with torch.no_grad():
        first, second = (model.extend(x, here, model.new_cache(1, 7)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(model(x, here), model(x, here))


@pytest.mark.parametrize("asked", ["auto", "matmul", "flash"])
def test_the_choice_is_noted_with_its_reason(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    present(monkeypatch, "flash_attn")
    monkeypatch.setattr(flash, "found", lambda: flash.build_for((8, 0)))
    notes: list[tuple[str, str, str]] = []

    class Context:
        def note(self, *told: str) -> None:
            notes.append(told)  # type: ignore[arg-type]

    settings = TransformerSettings(width=32, depth=1, heads=4, attention=asked)  # type: ignore[arg-type]
    assert build_transformer(settings, Context()).form == asked
    ((key, chosen, why),) = notes
    assert (key, chosen) == ("backbone.settings.attention", asked)
    assert ("below 384 keys" in why) == (asked == "auto")
    assert why.endswith("flash-attn 2 can be imported and fits") == (asked == "flash")


@pytest.mark.parametrize("form", ["sdpa", "matmul"])
def test_recomputed_activations_give_the_same_gradient_bit_for_bit(form: str) -> None:
    here, x = layout(PACKED), torch.randn(2, 12, 32)
    results = []
    for recomputed in (False, True):
        model = backbone(form)
        for block in model.blocks if recomputed else ():
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]
        y = model(x, here)[here.documents_BT != PADDING]
        results.append(
            torch.autograd.grad((y * torch.ones_like(y).cumsum(1)).sum(), model.parameters())
        )
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("form", ["sdpa", "matmul"])
def test_a_block_is_one_graph_for_a_compiler(form: str) -> None:
    results = []
    for compiled in (False, True):
        model = backbone(form, window=2, kv_heads=2, qk_norm=True)
        for block in model.blocks if compiled else ():
            block.compile(fullgraph=True, backend="aot_eager")
        torch.manual_seed(7)
        x = torch.randn(2, 12, 32, requires_grad=True)
        y = model(x, layout(PACKED))
        weights = torch.randn(y.shape)
        results.append([y, *torch.autograd.grad((y * weights).sum(), [x, *model.parameters()])])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
