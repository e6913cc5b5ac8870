"""Each form of attention against the slow reference: forward and gradient, packed and separate.

The bound: every output is a mean of values, whose rounding is a few units of the dtype, and whose
weights err by the rounding of a sum over the document's tokens; gradients pass that way twice.
"""

from __future__ import annotations

import hypothesis
import pytest
import torch
from hypothesis import strategies as st
from slow_attention import FLASH, PACKED, SEPARATE, layout, reference, stand_in
from torch import Tensor

from loretta_framework.api.layout import PADDING
from loretta_framework.backbones.forms import choice, flex
from loretta_framework.backbones.forms.dispatch import Sight, attend, look
from loretta_framework.backbones.forms.lines import line_length
from loretta_framework.backbones.forms.matmul import matmul_attend
from loretta_framework.backbones.forms.sdpa import sdpa_attend
from loretta_framework.backbones.rotary import rotary_angles

SINGLE, HALF = torch.float32, torch.bfloat16
FORMS = [
    *((form, dtype) for form in ("sdpa", "matmul", "lines", "flex") for dtype in (SINGLE, HALF)),
    *((form, HALF) for form in ("varlen", *FLASH)),  # these kernels compute in half precision
]
ROWS = {"packed": PACKED, "separate": SEPARATE}


def bound(dtype: torch.dtype, tokens: int) -> float:
    return 4 * torch.finfo(dtype).eps * tokens**0.5


def drawn(batch: int, tokens: int, heads: int, dtype: torch.dtype) -> Tensor:
    return torch.randn(batch, heads, tokens, 8).to(dtype).requires_grad_()


def sight(form: str, rows: tuple[list[int], ...], window: int | None) -> Sight:
    here = layout(rows)
    return look(form, rotary_angles(here.positions_BT, 8, 100.0), here, window)


@pytest.mark.parametrize("groups", [4, 2, 1])
@pytest.mark.parametrize("window", [None, 1, 3, 50])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize(("form", "dtype"), FORMS)
def test_it_equals_the_reference_forward_and_gradient(
    form: str,
    rows: str,
    dtype: torch.dtype,
    window: int | None,
    groups: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(1)
    here = layout(ROWS[rows])
    batch, tokens = here.documents_BT.shape
    given = [drawn(batch, tokens, heads, dtype) for heads in (4, groups, groups)]
    real_B1T1 = (here.documents_BT != PADDING)[:, None, :, None]
    weights = torch.randn(batch, 4, tokens, 8) * real_B1T1
    wanted = reference(*given, here, window)
    slow = torch.autograd.grad((wanted * weights).sum(), given)
    got = attend(*given, sight(stand_in(form, monkeypatch), ROWS[rows], window))
    assert got.dtype == dtype
    fast = torch.autograd.grad((got.double() * weights).sum(), given)
    limit = bound(dtype, here.max_length)
    for one, other in zip((got * real_B1T1, *fast), (wanted, *slow), strict=True):
        # A gradient may be 0 where terms cancel: what is summed is of size 1, as the tensors drawn.
        assert (one.double() - other).abs().max() <= limit * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("tokens", [63, 64, 65, 130, 300])
def test_blocks_of_plain_products_join_without_a_seam(tokens: int, window: int | None) -> None:
    torch.manual_seed(tokens)
    here = layout(([tokens],))
    given = [drawn(1, tokens + 1, heads, torch.float32) for heads in (4, 2, 2)]
    weights = torch.randn(1, 4, tokens + 1, 8)
    results = []
    for form in ("sdpa", "matmul"):
        got = attend(*given, sight(form, ([tokens],), window))
        results.append([got, *torch.autograd.grad((got * weights).sum(), given)])
    for one, other in zip(*results, strict=True):
        limit = bound(torch.float32, here.max_length) * other.abs().max()
        assert (one - other).abs().max() <= limit


@pytest.mark.parametrize("window", [None, 2])
def test_the_gradient_of_plain_products_is_that_of_the_formula(window: int | None) -> None:
    torch.manual_seed(0)
    given = [drawn(2, 12, heads, torch.float64) for heads in (2, 1, 1)]
    mask = sight("matmul", PACKED, window).mask
    assert torch.autograd.gradcheck(lambda *x: matmul_attend(*x, mask), given)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("attend_one", [sdpa_attend, matmul_attend])
def test_one_query_over_many_keys_shares_them_without_copies(
    attend_one: object, masked: bool
) -> None:
    torch.manual_seed(2)
    q, k, v = (torch.randn(3, heads, tokens, 8) for heads, tokens in ((4, 1), (2, 9), (2, 9)))
    mask = torch.rand(3, 1, 1, 9) < 0.5 if masked else None
    if mask is not None:
        mask[..., 0] = True
    got = attend_one(q, k, v, mask)  # type: ignore[operator]
    scores = q @ k.repeat_interleave(2, 1).mT / 8**0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    torch.testing.assert_close(got, scores.softmax(-1) @ v.repeat_interleave(2, 1))


@pytest.mark.parametrize("window", [None, 2])
def test_torchs_own_flex_attention_sees_what_the_block_mask_says(window: int | None) -> None:
    from torch.nn.attention.flex_attention import flex_attention

    torch.manual_seed(3)
    here = layout(PACKED)
    q, k, v = (torch.randn(2, heads, 12, 16) for heads in (4, 2, 2))
    blocks = flex.block_mask(here, window)
    got = flex_attention(q, k, v, block_mask=blocks, enable_gqa=True)
    real_B1T1 = (here.documents_BT != PADDING)[:, None, :, None]
    wanted = reference(q, k, v, here, window)
    limit = bound(torch.float32, here.max_length) * wanted.abs().max()
    assert (got * real_B1T1 - wanted).abs().max() <= limit


def chosen(device: str, dtype: torch.dtype, keys: int, **options: object) -> str:
    given = {"packed": False, "training": True, "head_width": 64, **options}
    return choice.choose("auto", torch.device(device), dtype, keys, **given)  # type: ignore[arg-type]


def test_auto_is_a_constant_rule() -> None:
    half, single = HALF, SINGLE
    assert [chosen("cpu", half, keys) for keys in (1, 383, 384)] == ["matmul", "matmul", "sdpa"]
    assert {chosen("cpu", single, keys) for keys in (1, 128, 1024)} == {"sdpa"}
    packed = [chosen("cpu", single, keys, packed=True) for keys in (1, 255, 256, 1024)]
    assert packed == ["sdpa", "sdpa", "lines", "lines"]
    assert [chosen("cpu", half, keys, packed=True) for keys in (383, 384)] == ["matmul", "lines"]
    assert chosen("cuda", half, 256) == "sdpa"
    assert chosen("cuda", single, 256, packed=True) == "sdpa"


@pytest.mark.parametrize(
    ("capability", "head_width", "form"),
    [((9, 0), 64, "varlen"), ((7, 5), 64, "sdpa"), ((9, 0), 264, "sdpa"), ((9, 0), 20, "sdpa")],
)
def test_packed_rows_on_a_gpu_take_the_kernel_for_documents(
    capability: tuple[int, int], head_width: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert chosen("cuda", torch.bfloat16, 512, packed=True, head_width=head_width) == form


@pytest.mark.parametrize(("device", "packed"), [("cpu", False), ("cuda", True)])
def test_lines_are_for_packed_documents_on_a_cpu(device: str, packed: bool) -> None:
    given = {"packed": packed, "training": True, "head_width": 8}
    found = choice.choose("lines", torch.device(device), SINGLE, 512, **given)  # type: ignore[arg-type]
    assert found == "sdpa"


@hypothesis.given(st.integers(1, 5000))
def test_a_line_is_at_most_a_quarter_longer_than_its_document_and_one_of_few(tokens: int) -> None:
    length = line_length(tokens)
    assert tokens <= length <= max(16, 1.25 * tokens)
    assert line_length(length) == length
    assert len({line_length(n) for n in range(1, 4097)}) <= 4 * 8 + 1  # four an octave from 16 on


@pytest.mark.parametrize("asked", ["flex", "varlen", "flash"])
def test_what_needs_a_gpu_to_train_computes_as_sdpa_otherwise(asked: str) -> None:
    for training, form in ((True, asked), (False, "sdpa")):
        got = choice.choose(
            asked,
            torch.device("cpu"),
            torch.float32,
            8,
            packed=True,
            training=training,
            head_width=8,
        )
        assert got == form
