"""Guided generation against logits computed one prompt at a time, without a cache."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from loretta_framework.api import random
from loretta_framework.generation.decode import generate
from loretta_framework.generation.guidance import variants_of
from loretta_framework.generation.sampling import Sampling, sample
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.groups import segment_groups
from loretta_framework.sequence.rows import Segment, build_row
from loretta_framework.testing.small_models import small_model, small_prompts

Prompt = list[Segment]


def uniforms(count: int) -> np.ndarray:
    return np.stack([random.generator(2, "guided", i).random(9) for i in range(count)])


@torch.no_grad()
def logits_after(model: AnyToAny, prompt: Prompt, target: str, made: list[int]) -> torch.Tensor:
    """A whole row through the backbone: the segments, then the target's first tokens as an input."""
    group = int(segment_groups(model.vocabulary, target)[len(made)])
    block = model.vocabulary[target]
    row = build_row(model.vocabulary, prompt, open_target=target)
    ids = torch.tensor([[*row.ids_T, *(i + block.content.start for i in made)]])
    more = row.places_T[-1] + 1 + np.arange(len(made))
    places = torch.tensor(np.concatenate([row.places_T, more]))[None]
    layout = collate([row]).layout
    count = ids.shape[1]
    layout = type(layout)(
        torch.zeros(1, count, dtype=torch.int64),
        torch.arange(count)[None],
        torch.tensor([0, count], dtype=torch.int32),
        count,
        False,
    )
    return model.logits(model.backbone(model.embed(ids, places), layout)[:, -1], group)


def slow_guided(
    model: AnyToAny, prompt: Prompt, target: str, numbers: np.ndarray, weights: Mapping[str, float]
) -> list[int]:
    """u + sum_i w_i (c_i - u), as it is written."""
    block, made = model.vocabulary[target], []
    for step in range(block.max_tokens):
        others = [s for s in prompt if s.modality not in weights]
        base = [] if "" in weights else others
        u = logits_after(model, base, target, made)
        logits = u.clone()
        for name, weight in weights.items():
            given = prompt
            if name:
                given = [s for s in prompt if s.modality not in weights or s.modality == name]
            logits += weight * (logits_after(model, given, target, made) - u)
        if block.variable and step < block.min_tokens:
            logits[:, 0] = float("-inf")
        token = int(sample(logits, torch.tensor(numbers[step : step + 1]), Sampling()))
        token -= int(block.variable)
        if token < 0:
            break
        made.append(token)
    return made


@pytest.mark.parametrize(
    ("guidance", "sources", "target"),
    [
        (2.0, ("text",), "image"),
        (1.7, ("image", "text"), "speech"),
        (-0.5, ("image",), "text"),
        ({"image": 1.5, "text": 0.5}, ("image", "text"), "speech"),
        ({"image": 2.0}, ("image", "text"), "speech"),  # the text stands in both prompts
        ({"image": 1.5, "speech": -0.4}, ("speech", "image"), "text"),
    ],
)
def test_guided_tokens_are_those_of_the_mixed_logits(
    guidance: float | dict[str, float], sources: tuple[str, ...], target: str
) -> None:
    model = small_model().eval()
    given, numbers = small_prompts(9, *sources), uniforms(9)
    weights = guidance if isinstance(guidance, dict) else {"": guidance}
    fast = generate(model, given, target, numbers, guidance=guidance, batch_rows=8)
    slow = [slow_guided(model, p, target, n, weights) for p, n in zip(given, numbers, strict=True)]
    assert [ids.tolist() for ids in fast] == slow
    plain = generate(model, given, target, numbers)
    assert [ids.tolist() for ids in plain] != slow


def test_weight_one_is_plain_and_weight_zero_ignores_the_source() -> None:
    model = small_model().eval()
    given, numbers = small_prompts(12, "text"), uniforms(12)
    plain = generate(model, given, "speech", numbers)
    alone = generate(model, [[]] * 12, "speech", numbers)
    for one in (1.0, {"text": 1.0}):
        found = generate(model, given, "speech", numbers, guidance=one)
        assert [x.tolist() for x in found] == [x.tolist() for x in plain]
    for none in (0.0, {"text": 0.0}):
        found = generate(model, given, "speech", numbers, guidance=none)
        assert [x.tolist() for x in found] == [x.tolist() for x in alone]


def test_a_prompt_without_weight_is_not_computed() -> None:
    assert [v.factor for v in variants_of(1.0)] == [1.0]
    assert [v.factor for v in variants_of(0.0)] == [1.0]
    assert [v.factor for v in variants_of({"a": 0.75, "b": 0.25})] == [0.75, 0.25]
    assert [v.factor for v in variants_of(3.0)] == [3.0, -2.0]


@pytest.mark.parametrize(
    ("guidance", "sources", "words"),
    [
        (float("nan"), ("text",), "the guidance must be finite, but is nan"),
        ({"text": float("inf")}, ("text",), "the guidance of 'text' must be finite, but is inf"),
        ({}, ("text",), "guidance must have a weight for at least one source, but has none"),
        ({"image": 2.0}, ("text",), "guidance must name sources, but 'image' is none"),
        (2.0, (), "guidance must have a source to be guided by, but there is none"),
    ],
)
def test_what_cannot_guide_is_refused(
    guidance: float | dict[str, float], sources: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        generate(
            small_model(),
            small_prompts(1, *sources) or [[]],
            "speech",
            uniforms(1),
            guidance=guidance,
        )
