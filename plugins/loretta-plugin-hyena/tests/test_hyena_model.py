"""The whole model: against its formulas, packed documents, decoding with a cache, hybrid stacks.

B rows, T tokens a row, D width, O orders.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from loretta_plugin_hyena.cache import Step
from loretta_plugin_hyena.filters import FADED, Filters, distance_features
from loretta_plugin_hyena.hyena import Hyena, build_hyena
from loretta_plugin_hyena.kernels import PLAIN
from loretta_plugin_hyena.settings import TRIAL, HyenaSettings
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional

from loretta_framework.api import SequenceLayout


def small(**changes: Any) -> HyenaSettings:
    return HyenaSettings(**{**TRIAL.settings, **changes})


def built(seed: int = 0, **changes: Any) -> Hyena:
    torch.manual_seed(seed)
    return Hyena(small(**changes), PLAIN).eval()


def layout(lengths: list[int], starts: list[int] | None = None, tokens: int = 0) -> SequenceLayout:
    """One document a row, continuing at `starts`."""
    tokens = max(tokens, *lengths)
    at_BT = torch.arange(tokens).expand(len(lengths), -1)
    real_BT = at_BT < torch.tensor(lengths)[:, None]
    documents_BT = torch.arange(len(lengths))[:, None].where(real_BT, -1)
    positions_BT = (at_BT + torch.tensor(starts or [0] * len(lengths))[:, None]) * real_BT
    ends = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    return SequenceLayout(documents_BT, positions_BT, ends, max(lengths), packed=False)


def one_row(lengths: list[int], spare: int = 0) -> SequenceLayout:
    """All documents in one row, followed by padding."""
    documents_T = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    positions_T = torch.cat([torch.arange(length) for length in lengths])
    ends = torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)
    return SequenceLayout(
        functional.pad(documents_T, (0, spare), value=-1)[None],
        functional.pad(positions_T, (0, spare))[None],
        ends,
        max(lengths),
        packed=True,
    )


def slow(model: Hyena, x_TD: Tensor) -> Tensor:
    """The whole model on one document, token by token, from the formulas."""
    settings, tokens = model.settings, len(x_TD)
    features_TE = distance_features(tokens, settings, x_TD.device)
    for block in model.blocks:
        mixer = block.mixer
        projected_TC = block.norm(x_TD) @ mixer.inward.t()
        streams_TC = torch.stack(
            [
                sum(
                    mixer.short[:, -1 - back] * projected_TC[t - back]
                    for back in range(min(settings.conv, t + 1))
                )
                for t in range(tokens)
            ]
        )
        y_TD, *gates = streams_TC.split(settings.width, dim=1)
        filters = mixer.filters(features_TE).split(settings.width)
        for gate_TD, filter_DT in zip(gates, filters, strict=True):
            seen = [(filter_DT.t()[: t + 1].flip(0) * y_TD[: t + 1]).sum(0) for t in range(tokens)]
            y_TD = gate_TD * torch.stack(seen)
        x_TD = x_TD + y_TD @ mixer.outward.t()
        gate, up = (block.mlp_norm(x_TD) @ block.mlp.gate_up.weight.t()).chunk(2, dim=1)
        x_TD = x_TD + (functional.silu(gate) * up) @ block.mlp.down.weight.t()
    return model.norm(x_TD)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("lengths", [[11, 1, 19], [70, 3]], ids=["products", "transforms"])
def test_the_whole_model_equals_the_formulas(order: int, lengths: list[int]) -> None:
    model = built(order=order)
    x_TD = torch.randn(sum(lengths), 16)
    fast, reference = x_TD.clone().requires_grad_(), x_TD.clone().requires_grad_()
    got = model(functional.pad(fast, (0, 0, 0, 4), value=3.0)[None], one_row(lengths, 4))[0, :-4]
    wanted = torch.cat([slow(model, part) for part in reference.split(lengths)])
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5 * float(wanted.detach().abs().max()))
    names, parameters = zip(*model.named_parameters(), strict=True)
    weights = torch.linspace(-1, 1, got.numel()).view_as(got)
    grads = [
        torch.autograd.grad((out * weights).sum(), [leaf, *parameters])
        for out, leaf in ((got, fast), (wanted, reference))
    ]
    for name, one, other in zip(("x", *names), *grads, strict=True):
        most = 1e-5 * float(other.abs().max())
        torch.testing.assert_close(one, other, rtol=0, atol=most, msg=name)


@pytest.mark.parametrize("tokens", [40, 200], ids=["products", "transforms"])
def test_under_autocast_filters_and_transforms_stay_float32(tokens: int) -> None:
    model, x_BTD = built(), torch.randn(2, tokens, 16)
    wanted = model(x_BTD, layout([tokens, tokens]))
    seen: list[torch.dtype] = []
    for block in model.blocks:
        block.mixer.filters.register_forward_hook(lambda *given: seen.append(given[2].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        got = model(x_BTD, layout([tokens, tokens]))
    assert seen == [torch.float32] * 2
    # 2^-8 for a rounding to bfloat16, about ten of them in a row along each of two blocks.
    error = (got - wanted).detach().square().mean().sqrt() / wanted.detach().square().mean().sqrt()
    assert 0 < float(error) <= 20**0.5 * 2**-8


@pytest.mark.parametrize("lengths", [[9, 14, 1, 30], [40, 90, 70]], ids=["products", "transforms"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_document_changes_no_other_by_a_bit(lengths: list[int], precision: torch.dtype) -> None:
    model, where = built(order=3), one_row(lengths, 5)
    documents_T = where.documents_BT[0]
    before_TD = torch.randn(len(documents_T), 16)
    weights_TD = torch.randn(len(documents_T), 16)

    def outcome(x_TD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs, the loss of each token and the gradient of the loss of all documents."""
        leaf_TD = x_TD.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            out_TD = model(leaf_TD[None], where)[0]
        loss_T = (out_TD * weights_TD).square().sum(1)
        (grad_TD,) = torch.autograd.grad(loss_T[documents_T >= 0].sum(), leaf_TD)
        return out_TD.detach(), loss_T.detach(), grad_TD

    wanted = outcome(before_TD)
    for changed in [*range(len(lengths)), -1]:
        after_TD = before_TD.clone()
        after_TD[documents_T == changed] = 50 * torch.randn(int((documents_T == changed).sum()), 16)
        got = outcome(after_TD)
        for number in range(len(lengths)):
            same = all(
                torch.equal(one[documents_T == number], other[documents_T == number])
                for one, other in zip(got, wanted, strict=True)
            )
            assert same == (number != changed)


def test_a_filter_does_not_know_how_long_the_sequence_is() -> None:
    settings = small()
    torch.manual_seed(0)
    filters = Filters(settings)
    device = torch.device("cpu")
    longest_CL = filters(distance_features(5000, settings, device))
    for tokens in (1, 7, 32, 700):
        made_CL = filters(distance_features(tokens, settings, device))
        torch.testing.assert_close(made_CL, longest_CL[:, :tokens], rtol=0, atol=1e-5)
    assert longest_CL.isfinite().all()


def test_windows_fade_at_many_rates_and_have_one_energy() -> None:
    settings = small(width=32, filter_tokens=256)
    filters = Filters(settings)
    nn.init.zeros_(filters.skip)
    filters.first.register_forward_hook(lambda *_: torch.full((4096, 16), torch.pi / 2))
    filters.second.register_forward_hook(lambda *_: torch.full((4096, 16), torch.pi / 2))
    nn.init.constant_(filters.last.weight, 1 / 16)  # the network says 1 at every distance
    window_CL = filters(distance_features(4096, settings, torch.device("cpu"))).detach()
    torch.testing.assert_close(window_CL.square().sum(1), torch.ones(64), rtol=1e-3, atol=0)
    reach_C = (window_CL > FADED * window_CL[:, :1]).sum(1)
    assert (reach_C[:31] <= reach_C[1:32]).all()
    assert (int(reach_C[0]), int(reach_C[31])) == (4, 256)


def test_there_is_no_longest_document() -> None:
    model = built()
    assert model(torch.randn(1, 3000, 16), layout([3000])).isfinite().all()


@pytest.mark.parametrize("look", [True, False], ids=["cpu", "without looking"])
@pytest.mark.parametrize("order", [2, 3])
def test_ragged_prompts_that_are_transformed(
    order: int, look: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not look:  # as on a GPU, where nobody may ask whether a row lacks tokens
        monkeypatch.setattr(
            Step, "of", lambda first, real_BT: Step(first, real_BT, (~real_BT).sum(1))
        )
    model, prompts, chunks = built(order=order), [80, 3, 70], [(1, 1, 1), (1, 0, 1), (2, 75, 0)]
    chunks += [(1, 1, 1)] * 3
    totals = [sum(counts) for counts in zip(prompts, *chunks, strict=True)]
    x_BTD = torch.randn(3, max(totals), 16)
    with torch.no_grad():
        wanted_BTD = model(x_BTD, layout(totals))
        cache, done = model.new_cache(3, 200), [0, 0, 0]
        for counts in (prompts, *chunks):
            part_BTD = 9 * torch.randn(3, max(counts), 16)
            for row, count in enumerate(counts):
                part_BTD[row, :count] = x_BTD[row, done[row] : done[row] + count]
            out_BTD = model.extend(part_BTD, layout(list(counts), done), cache)
            for row, count in enumerate(counts):
                torch.testing.assert_close(
                    out_BTD[row, :count],
                    wanted_BTD[row, done[row] : done[row] + count],
                    rtol=0,
                    atol=1e-5 * float(wanted_BTD.abs().max()),
                )
            done = [start + count for start, count in zip(done, counts, strict=True)]
    assert done == totals


def test_whole_rows_are_appended_without_being_moved() -> None:
    whole_BT = torch.ones(2, 3, dtype=torch.bool)
    assert Step.of(4, whole_BT).late_B is None
    late_B = Step.of(4, whole_BT.clone().index_fill_(1, torch.tensor([2]), False)).late_B
    assert late_B is not None
    assert late_B.tolist() == [1, 1]


def test_selected_rows_share_filters_and_nothing_else() -> None:
    model = built()
    cache = model.new_cache(2, 8)
    chosen = cache.select(torch.tensor([1, 1]))
    for own, other in zip(cache.layers, chosen.layers, strict=True):
        assert own.reversed_OCS is other.reversed_OCS
        assert own.long_OCBS.data_ptr() != other.long_OCBS.data_ptr()
    model.extend(torch.randn(2, 4, 16), layout([4, 4]), chosen)
    assert (cache.used, chosen.used) == (0, 4)
    assert not any(layer.long_OCBS.any() for layer in cache.layers)


def test_a_cache_that_is_full_says_so() -> None:
    model = built()
    cache = model.new_cache(1, 4)
    model.extend(torch.randn(1, 3, 16), layout([3]), cache)
    with pytest.raises(ValueError, match="the cache has 4 slots, but 5 are needed"):
        model.extend(torch.randn(1, 2, 16), layout([2], [3]), cache)


def test_no_tokens() -> None:
    model, nothing = built(), torch.zeros(2, 0, dtype=torch.int64)
    none = SequenceLayout(nothing, nothing, torch.zeros(1, dtype=torch.int32), 0, packed=False)
    assert model(torch.zeros(2, 0, 16), none).shape == (2, 0, 16)
    cache = model.new_cache(2, 4)
    assert model.extend(torch.zeros(2, 0, 16), none, cache).shape == (2, 0, 16)


def test_dropout_acts_in_training_alone() -> None:
    model, x_BTD = built(dropout=0.5), torch.randn(1, 9, 16)
    assert torch.equal(model(x_BTD, layout([9])), model(x_BTD, layout([9])))
    model.train()
    assert not torch.equal(model(x_BTD, layout([9])), model(x_BTD, layout([9])))


def test_filters_are_float32_whatever_the_default() -> None:
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = built()
    finally:
        torch.set_default_dtype(default)
    mixer = model.blocks[0].mixer
    assert mixer.inward.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in mixer.filters.parameters()} == {torch.float32}


class Context:
    """Keeps what it is asked to build and told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.told: list[tuple[str, str, str]] = []

    def build(self, kind: str, settings: dict[str, Any]) -> nn.Module:
        self.asked.append((kind, settings))
        return nn.Identity()

    def note(self, key: str, choice: str, reason: str) -> None:
        self.told.append((key, choice, reason))


def test_every_kth_layer_is_attention() -> None:
    context = Context()
    node = {"kind": "other.attention", "settings": {"heads": 2}}
    settings = HyenaSettings.model_validate(
        {**TRIAL.settings, "depth": 7, "attention_every": 3, "attention": node}
    )
    model = build_hyena(settings, context)  # type: ignore[arg-type]
    kinds = [type(block).__name__ for block in model.blocks]
    assert kinds == ["Block", "Block", "Identity", "Block", "Block", "Identity", "Block"]
    wanted = {"heads": 2, "width": 16, "depth": 1, "final_norm": False}
    assert context.asked == [("other.attention", wanted)] * 2


def test_attention_that_would_never_come_is_refused() -> None:
    text = "attention_every must be at most depth, but 3 is more than 2"
    with pytest.raises(ValidationError, match=text):
        small(attention_every=3)
    with pytest.raises(ValidationError, match="attention_every"):
        small(attention_every=1)
