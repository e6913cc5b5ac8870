"""A world with known answers: patterns of ten classes, and models built by hand.

A segment has four ids, `2 * class + bit`; the class is drawn once, the four bits are free. The model
adds up evidence for classes over the tokens that it has seen, so what it knows is what its head is
given: the oracle uses all evidence, the commutative one cannot use an image's for speech nor
speech's for an image, the ignorant one uses none.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from loretta_framework.api.protocols import Artifact
from loretta_framework.api.random import generator
from loretta_framework.api.specs import Bounds
from loretta_framework.data.values import ValueSample
from loretta_framework.evaluate.context import EvaluationContext
from loretta_framework.evaluate.judge import Judge, train_judge
from loretta_framework.graph import ModalityGraph
from loretta_framework.inference import LoadedModel
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.recipe.plan import ComponentPlan, ModalityPlan, Plan
from loretta_framework.sequence.rows import TokenizedSample
from loretta_framework.sequence.vocabulary import Vocabulary

NAMES = ("image", "text", "speech")
CLASSES = 10
LENGTH = 4
STRENGTH = 40.0
COMPONENT = ComponentPlan("toy.pattern", 1, "toy 1.2", {})
PROTOTYPES = np.repeat(
    np.repeat(generator(0, "prototypes").normal(size=(CLASSES, 4, 4)), 2, axis=1), 2, axis=2
)
QUADRANTS = [np.s_[:4, :4], np.s_[:4, 4:], np.s_[4:, :4], np.s_[4:, 4:]]
STEP = 0.2


class Pattern:
    """Values (8, 8): a class's prototype, each quadrant a little raised or not. Lossless."""

    def read(self, data: bytes, extension: str) -> np.ndarray:
        return np.frombuffer(data, np.float32).reshape(8, 8)

    def write(self, value: np.ndarray) -> tuple[bytes, str]:
        return value.astype(np.float32).tobytes(), "raw"

    def show(self, value: np.ndarray) -> list[Artifact]:
        from PIL import Image

        pixels = np.clip(128 + 50 * value, 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return [Artifact(buffer.getvalue(), "png")]

    def parse(self, value: Any) -> np.ndarray:
        return np.asarray(value, np.float32)

    def encode(self, value: np.ndarray) -> np.ndarray:
        label = int(np.argmin(((PROTOTYPES + STEP / 2 - value) ** 2).sum((1, 2))))
        raised = [(value - PROTOTYPES[label])[quadrant].mean() > STEP / 2 for quadrant in QUADRANTS]
        return 2 * label + np.array(raised, np.int64)

    def decode(self, ids: np.ndarray) -> np.ndarray:
        value = np.zeros((8, 8), np.float32)
        for quadrant, token in zip(QUADRANTS, ids, strict=True):
            value[quadrant] = PROTOTYPES[token // 2][quadrant] + STEP * (token % 2)
        return value

    def features(self, value: np.ndarray) -> np.ndarray:
        return value.astype(np.float32)[None]


class Plain(Pattern):
    """The same without features: nothing to judge."""

    features = None  # type: ignore[assignment]


class Running:
    """Cache of `Evidence`: the sum so far."""

    def __init__(self, sums_BD: Tensor) -> None:
        self.sums_BD = sums_BD

    def select(self, rows: Tensor) -> Running:
        return Running(self.sums_BD[rows])


class Evidence(nn.Module):
    """A backbone that adds up its inputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, x_BTD: Tensor, layout: Any) -> Tensor:
        assert not layout.packed
        return x_BTD.cumsum(1)

    def new_cache(self, batch: int, max_tokens: int) -> Running:
        return Running(torch.zeros(batch, self.width))

    def extend(self, x_BTD: Tensor, layout: Any, cache: Running) -> Tensor:
        outputs_BTD = x_BTD.cumsum(1) + cache.sums_BD[:, None]
        cache.sums_BD = outputs_BTD[:, -1]
        return outputs_BTD


def build_model(knowledge: str) -> AnyToAny:
    """ "oracle", "commutative" or "ignorant"; see the module's docstring."""
    vocabulary = Vocabulary.build({name: Bounds(2 * CLASSES, LENGTH, LENGTH) for name in NAMES})
    width = CLASSES * len(NAMES)
    model = AnyToAny(vocabulary, Evidence(width), segment_positions=False)  # type: ignore[arg-type]
    heard = {
        "oracle": {name: set(NAMES) for name in NAMES},
        "commutative": {
            "image": {"image", "text"},
            "text": set(NAMES),
            "speech": {"speech", "text"},
        },
        "ignorant": {name: set() for name in NAMES},
    }[knowledge]
    assert model.head is not None
    with torch.no_grad():
        model.embedding.weight.zero_()
        model.head.weight.zero_()
        for place, name in enumerate(NAMES):
            for token in range(2 * CLASSES):
                row = vocabulary[name].content[token]
                model.embedding.weight[row, place * CLASSES + token // 2] = 1.0
                for other in heard[name]:
                    column = NAMES.index(other) * CLASSES + token // 2
                    model.head.weight[row, column] = STRENGTH
    return model.eval()


def make_plan(observed: tuple[tuple[str, str], ...]) -> Plan:
    graph = ModalityGraph.from_combinations(NAMES, {frozenset(pair): 50 for pair in observed})
    return Plan(
        name="patterns",
        seed=0,
        steps=1,
        batch_tokens=100,
        shuffle_rows=65_536,
        modalities=tuple(ModalityPlan(name, COMPONENT, False) for name in NAMES),
        vocabulary=Vocabulary.build({n: Bounds(2 * CLASSES, LENGTH, LENGTH) for n in NAMES}),
        graph=graph,
        components=graph.components(),
        bridges=graph.bridges(),
        sets=(),
        tasks=(),
        backbone=COMPONENT,
        recipe_hash="recipe",
        data_hash="data",
        reasons=(),
        versions={},
    )


LINKS = (("image", "text"), ("text", "speech"))


def make_samples(
    count: int, prefix: str, modalities: tuple[str, ...] = NAMES, labelled: bool = True
) -> list[ValueSample]:
    """`count` samples, class `index % 10`, with free bits."""
    pattern = Pattern()
    found = []
    for index in range(count):
        label = index % CLASSES
        draw = generator(1, "samples", prefix, index)
        tokens = {name: 2 * label + draw.integers(0, 2, LENGTH) for name in modalities}
        key, shown = f"{prefix}/{index:04d}", str(label) if labelled else None
        found.append(
            ValueSample(
                key,
                shown,
                tuple((name, pattern.decode(ids)) for name, ids in tokens.items()),
                TokenizedSample(key, tuple(tokens.items()), label=shown),
            )
        )
    return found


@pytest.fixture(autouse=True, scope="session")
def judges_are_quick() -> Iterator[None]:
    """Training is a function of its arguments (see test_judge.py), so equal ones share it."""
    known: dict[tuple[Any, ...], Judge] = {}

    def remembered(
        features: np.ndarray, labels: list[str], keys: list[str], seed: int, members: int = 1
    ) -> Judge:
        place = (features.tobytes(), tuple(labels), tuple(keys), seed, members)
        if place not in known:
            known[place] = train_judge(features, labels, keys, seed, members)
        return known[place]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("loretta_framework.evaluate.judging.train_judge", remembered)
        patch.setattr("loretta_framework.evaluate.judge.STEPS", (80, 80))  # these worlds are easy
        yield


@pytest.fixture
def world(tmp_path: Path) -> SimpleNamespace:
    """`world.context("oracle", samples)` and what it is made of."""

    def context(
        knowledge: str = "oracle",
        samples: list[ValueSample] | None = None,
        observed: tuple[tuple[str, str], ...] = LINKS,
        training: Callable[[str, int], list[ValueSample]] | None = None,
        **changes: Any,
    ) -> EvaluationContext:
        plan = make_plan(observed)
        tokenizers: dict[str, Any] = {name: Pattern() for name in NAMES}
        tokenizers.update(changes.pop("tokenizers", {}))
        model = LoadedModel(
            plan, build_model(knowledge), tokenizers, dict.fromkeys(NAMES, ("raw",))
        )
        return EvaluationContext(
            model=model,
            plan=plan,
            samples=tuple(make_samples(60, "triples") if samples is None else samples),
            directory=tmp_path,
            seed=changes.pop("seed", 0),
            note=changes.pop("note", lambda *parts: None),
            training=training or (lambda name, limit: make_samples(300, "train", (name,))[:limit]),
        )

    return SimpleNamespace(
        context=context, samples=make_samples, names=NAMES, Plain=Plain, Pattern=Pattern
    )
