"""The loop over positions: nothing waits where the length is known, ended rows cost little."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from loretta_framework.api import random
from loretta_framework.generation import block
from loretta_framework.generation.decode import generate, start_decoding
from loretta_framework.generation.guidance import variants_of
from loretta_framework.generation.sampling import Sampling
from loretta_framework.generation.steps import steps_of
from loretta_framework.sequence.rows import Segment
from loretta_framework.testing.small_models import small_model, small_sample

WAITING = (
    "__bool__",
    "__int__",
    "__float__",
    "__index__",
    "item",
    "tolist",
    "nonzero",
    "cpu",
    "numpy",
)
"""Methods of a tensor that wait for the device."""


def prompts(count: int) -> list[list[Segment]]:
    return [[Segment(*small_sample(i, "text").parts[0])] for i in range(count)]


def uniforms(count: int) -> np.ndarray:
    return np.stack([random.generator(4, "block", i).random(9) for i in range(count)])


def waits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    called: list[str] = []
    for name in WAITING:
        method = getattr(torch.Tensor, name)

        def watch(self: Any, *args: Any, _name: str = name, _method: Any = method) -> Any:
            called.append(_name)
            return _method(self, *args)

        monkeypatch.setattr(torch.Tensor, name, watch)
    return called


@pytest.mark.parametrize(
    "how", [Sampling(), Sampling(0.0), Sampling(0.7, top_k=3, top_p=0.9, min_p=0.01)]
)
@pytest.mark.parametrize("guidance", [None, 2.0])
def test_a_block_of_known_length_never_waits(
    how: Sampling, guidance: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small_model().eval()
    draw = block.Draw(steps_of(model.vocabulary, "image"), how, variants_of(guidance))
    with torch.no_grad():
        decoding = start_decoding(model, prompts(5), draw, uniforms(5))
        called = waits(monkeypatch)
        decoding.run()
    assert called == []
    assert decoding.finished


def test_a_block_of_varying_length_waits_to_see_who_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So the check above can fail."""
    model = small_model().eval()
    draw = block.Draw(steps_of(model.vocabulary, "text"), Sampling())
    with torch.no_grad():
        decoding = start_decoding(model, prompts(5), draw, uniforms(5))
        called = waits(monkeypatch)
        decoding.run()
    assert called


def test_looking_rarely_at_who_has_ended_changes_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    for guidance in (None, 1.5):
        wanted = generate(model, prompts(40), "speech", uniforms(40), guidance=guidance)
        assert len({len(ids) for ids in wanted}) > 3
        for every, worth in ((3, 0.75), (1, 1.0), (1, 0.0), (100, 1.0)):
            monkeypatch.setattr(block, "ASK_EVERY", every)
            # As on a device whose answers must be waited for.
            monkeypatch.setattr(block, "NEAR", ())
            monkeypatch.setattr(block, "WORTH", worth)
            found = generate(model, prompts(40), "speech", uniforms(40), guidance=guidance)
            assert [x.tolist() for x in found] == [x.tolist() for x in wanted]
            monkeypatch.undo()


def test_ended_rows_leave_the_cache_and_the_end_of_all_ends_the_loop() -> None:
    model = small_model().eval()
    draw = block.Draw(steps_of(model.vocabulary, "text"), Sampling())
    numbers = np.full((8, 6), 0.999)
    numbers[:7, 1:] = 0.0  # the end id comes first: seven rows end at their second position
    numbers[7, 3:] = 0.0
    rows: list[int] = []
    extend = model.backbone.extend
    with torch.no_grad(), pytest.MonkeyPatch.context() as patch:
        decoding = start_decoding(model, prompts(8), draw, numbers)

        def watch(x_BTD: Any, layout: Any, cache: Any) -> Any:
            rows.append(len(x_BTD))
            return extend(x_BTD, layout, cache)

        patch.setattr(model.backbone, "extend", watch)
        decoding.run()
    assert [len(ids) for ids in decoding.tokens()] == [1] * 7 + [3]
    assert rows == [8, 1, 1]
    assert decoding.step == 4


def test_decoding_may_pause_anywhere() -> None:
    model = small_model().eval()
    for target in ("image", "speech"):
        wanted = generate(model, prompts(6), target, uniforms(6))
        draw = block.Draw(steps_of(model.vocabulary, target), Sampling())
        with torch.no_grad():
            decoding = start_decoding(model, prompts(6), draw, uniforms(6))
            while not decoding.finished:
                before = decoding.step
                decoding.run(before + 2)
                assert decoding.step <= before + 2
                for part, whole in zip(decoding.tokens(), wanted, strict=True):
                    assert part.tolist() == whole[: len(part)].tolist()
        assert [x.tolist() for x in decoding.tokens()] == [x.tolist() for x in wanted]
