"""The Transformer keeps the backbone contract: causal, packed equals separate, cached equals full."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.backbones.settings import TransformerSettings
from loretta_framework.backbones.transformer import Transformer
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.rows import Segment, build_row
from loretta_framework.testing.small_models import small_vocabulary

VARIANTS = [
    {},
    {"kv_heads": 2},
    {"kv_heads": 1, "qk_norm": True},
]


def backbone(form: str = "sdpa", **settings: object) -> Transformer:
    torch.manual_seed(3)
    return Transformer(TransformerSettings(width=32, depth=2, heads=4, **settings), form).eval()  # type: ignore[arg-type]


def layouts(lengths: list[int]) -> tuple[SequenceLayout, SequenceLayout]:
    vocabulary = small_vocabulary()
    rows = [
        build_row(vocabulary, [Segment("speech", np.zeros(n, np.int64))], open_target="image")
        for n in lengths
    ]
    return collate(rows).layout, collate(rows, "packed").layout


@pytest.mark.parametrize("settings", VARIANTS)
def test_sdpa_equals_the_matmul_reference_forward_and_gradient(settings: dict[str, object]) -> None:
    _, packed = layouts([2, 9, 4, 5])
    x = torch.randn(*packed.documents_BT.shape, 32)
    results = []
    for form in ("sdpa", "matmul"):
        model, given = backbone(form, **settings), x.clone().requires_grad_()
        out = model(given, packed)
        (out * (packed.documents_BT != PADDING)[..., None]).square().sum().backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert len(gradients) == len(list(model.parameters()))
        results.append([out.detach(), given.grad, *gradients])
    for fast, slow in zip(*results, strict=True):
        real = fast is not results[0][0]
        keep = slice(None) if real else packed.documents_BT != PADDING
        torch.testing.assert_close(fast[keep], slow[keep], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("settings", VARIANTS)
def test_a_later_token_changes_no_earlier_output(settings: dict[str, object]) -> None:
    padded, _ = layouts([9])
    model = backbone(**settings)
    x = torch.randn(*padded.documents_BT.shape, 32)
    changed = x.clone()
    changed[:, 6] += 1.0
    before, after = model(x, padded), model(changed, padded)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


@pytest.mark.parametrize("settings", VARIANTS)
def test_packed_documents_equal_separate_ones(settings: dict[str, object]) -> None:
    padded, packed = layouts([2, 9, 4, 5])
    model = backbone(**settings)
    tokens = {n: torch.randn(int((padded.documents_BT == n).sum()), 32) for n in range(4)}

    def run(layout: SequenceLayout) -> list[torch.Tensor]:
        lengths = [len(tokens[n]) for n in range(4)]
        # document ids differ between the two forms; lengths tell which is which
        x = torch.full((*layout.documents_BT.shape, 32), 7.7)
        where = {}
        for document in range(4):
            mask = layout.documents_BT == document
            n = lengths.index(int(mask.sum()))
            x[mask], where[n] = tokens[n], mask
        out = model(x, layout)
        return [out[where[n]] for n in range(4)]

    for one, other in zip(run(padded), run(packed), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("settings", VARIANTS)
@pytest.mark.parametrize("chunks", [[11], [1] * 11, [4, 1, 6]])
def test_cached_steps_equal_the_full_pass(settings: dict[str, object], chunks: list[int]) -> None:
    padded, _ = layouts([8, 8])
    model = backbone(**settings)
    x = torch.randn(2, 11, 32)
    cache = model.new_cache(2, 11)
    parts, start = [], 0
    for size in chunks:
        here = slice(start, start + size)
        layout = SequenceLayout(
            padded.documents_BT[:, here], padded.positions_BT[:, here], padded.cu_lengths, 11, False
        )
        parts.append(model.extend(x[:, here], layout, cache))
        start += size
    torch.testing.assert_close(torch.cat(parts, 1), model(x, padded), rtol=1e-5, atol=1e-5)


def test_a_padded_prompt_and_a_selection_leave_the_other_rows_as_they_are() -> None:
    padded, _ = layouts([2, 8])
    model = backbone()
    x = torch.randn(2, 11, 32)
    cache = model.new_cache(2, 12)
    model.extend(x, padded, cache)
    cache = cache.select(torch.tensor([1, 0, 0]))
    token = torch.randn(1, 1, 32).expand(3, 1, 32)
    layout = SequenceLayout(
        torch.arange(3)[:, None], torch.tensor([[11], [5], [5]]), torch.arange(4), 1, False
    )
    out = model.extend(token, layout, cache)
    torch.testing.assert_close(out[1], out[2])
    for row, length in ((0, 11), (1, 5)):
        source = x[1 - row : 2 - row, :length]
        alone, _ = layouts([length - 2])
        whole = torch.cat([source, token[:1]], dim=1)
        torch.testing.assert_close(out[row, 0], model(whole, alone)[0, -1], rtol=1e-5, atol=1e-5)


def test_a_full_cache_is_refused() -> None:
    padded, _ = layouts([8])
    model = backbone()
    cache = model.new_cache(1, 5)
    with pytest.raises(ValueError, match="the cache has 5 slots, but 11 are needed"):
        model.extend(torch.randn(1, 11, 32), padded, cache)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"width": 30, "heads": 4},
            "width must be an even multiple of heads, but 30 is not one of 4",
        ),
        ({"heads": 4, "kv_heads": 3}, "kv_heads must divide heads, but 3 does not 4"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings: dict[str, int], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TransformerSettings(**settings)  # type: ignore[arg-type]
