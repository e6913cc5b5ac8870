"""What prompts share is read once, and the tokens do not tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from loretta_framework.api import random
from loretta_framework.api.specs import Bounds
from loretta_framework.backbones.settings import TransformerSettings
from loretta_framework.backbones.transformer import Transformer
from loretta_framework.generation.decode import generate
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.rows import Segment
from loretta_framework.sequence.vocabulary import Vocabulary

BOUNDS = {"long": Bounds(9, 20, 40), "short": Bounds(6, 1, 5), "out": Bounds(7, 3, 6)}


def model_of() -> AnyToAny:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        settings = TransformerSettings(width=32, depth=2, heads=4)
        model = AnyToAny(Vocabulary.build(BOUNDS), Transformer(settings, "sdpa"))
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def segment(name: str, number: int) -> Segment:
    bounds, draw = BOUNDS[name], random.generator(0, "prompts", name, number)
    count = int(draw.integers(bounds.min_tokens, bounds.max_tokens + 1))
    return Segment(name, draw.integers(0, bounds.vocab_size, size=count))


def watched(model: AnyToAny, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(rows, tokens) of each call of the backbone with more than one token a row."""
    shapes: list[tuple[int, int]] = []
    extend = model.backbone.extend

    def watch(x_BTD: Any, layout: Any, cache: Any) -> Any:
        if x_BTD.shape[1] > 1:
            shapes.append(tuple(x_BTD.shape[:2]))
        return extend(x_BTD, layout, cache)

    monkeypatch.setattr(model.backbone, "extend", watch)
    return shapes


def tokens(model: AnyToAny, prompts: list[list[Segment]], **more: Any) -> list[list[int]]:
    numbers = np.random.default_rng(0).random((len(prompts), 6))
    return [ids.tolist() for ids in generate(model, prompts, "out", numbers, **more)]


def one_by_one(model: AnyToAny, prompts: list[list[Segment]]) -> list[list[int]]:
    return tokens(model, prompts, batch_rows=1)


def test_equal_prompts_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompt = model_of(), [segment("long", 0), segment("short", 0)]
    alone = one_by_one(model, [prompt] * 5)
    shapes = watched(model, monkeypatch)
    assert tokens(model, [prompt] * 5) == alone
    assert [rows for rows, _ in shapes] == [1]
    assert len({tuple(ids) for ids in alone}) > 1


def test_equal_prompts_among_others_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    prompts = [[segment("short", number)] for number in (0, 1, 0, 2, 1, 0)]
    alone = one_by_one(model, prompts)
    shapes = watched(model, monkeypatch)
    assert tokens(model, prompts) == alone
    assert [rows for rows, _ in shapes] == [3]


def test_a_common_beginning_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    prompts = [[segment("long", 0), segment("short", number)] for number in range(4)]
    alone = one_by_one(model, prompts)
    shapes = watched(model, monkeypatch)
    assert tokens(model, prompts) == alone
    (first, common), (rows, rest) = shapes
    assert (first, rows) == (1, 4)
    assert common >= len(prompts[0][0].content) + 2
    assert rest <= 1 + 5 + 1 + 1


def test_a_short_common_beginning_is_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    prompts = [[segment("short", 0), segment("long", number)] for number in range(3)]
    alone = one_by_one(model, prompts)
    shapes = watched(model, monkeypatch)
    assert tokens(model, prompts) == alone
    assert [rows for rows, _ in shapes] == [3]


def test_the_prompt_without_sources_is_read_once_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of()
    prompts = [[segment("short", number)] for number in range(4)]
    shapes = watched(model, monkeypatch)
    tokens(model, prompts, guidance=2.0)
    assert [rows for rows, _ in shapes] == [5]
