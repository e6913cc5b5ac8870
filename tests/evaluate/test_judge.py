"""The judge itself: grids and lists, shapes, determinism."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from loretta_framework.api.random import generator
from loretta_framework.evaluate.judge import train_judge
from loretta_framework.evaluate.variance import variance_ratio, within_class_variance


def bumps(count: int, shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, list[str]]:
    """Smooth pictures: class k has its bump at another place."""
    _, height, width = shape
    y, x = np.mgrid[:height, :width]
    draw = generator(seed, "bumps")
    labels = [str(i % 4) for i in range(count)]
    pictures = []
    for label in labels:
        centre_y = height * (0.3 if int(label) < 2 else 0.7) + draw.normal(0, 0.3)
        centre_x = width * (0.3 if int(label) % 2 else 0.7) + draw.normal(0, 0.3)
        size = max(height, width) / 6
        bump = np.exp(-((y - centre_y) ** 2 + (x - centre_x) ** 2) / (2 * size**2))
        pictures.append(np.stack([bump + 0.1 * draw.normal(size=bump.shape)] * shape[0]))
    return np.stack(pictures).astype(np.float32), labels


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 40), (1, 40, 50), (1, 5, 4)])
def test_pictures_of_any_size_are_judged_as_grids(shape: tuple[int, int, int]) -> None:
    features, labels = bumps(160, shape, 0)
    judge = train_judge(features, labels, [str(i) for i in range(160)], seed=0)
    unseen, expected = bumps(80, shape, 1)
    assert judge.grid
    assert np.mean([a == b for a, b in zip(judge.classify(unseen), expected, strict=True)]) > 0.9
    assert max(judge.reduce(unseen).shape[2:]) <= 40


@pytest.mark.parametrize("shape", [(1, 16, 32), (6, 1, 1), (2, 1, 9)])
def test_features_without_order_are_judged_as_a_list(shape: tuple[int, int, int]) -> None:
    draw = generator(0, "lists")
    centres = draw.normal(size=(4, *shape))
    labels = [str(i % 4) for i in range(240)]
    features = np.stack([centres[int(k)] + 0.7 * draw.normal(size=shape) for k in labels])
    features = features.astype(np.float32)
    judge = train_judge(features[:160], labels[:160], [str(i) for i in range(160)], seed=0)
    verdicts = judge.classify(features[160:])
    assert not judge.grid
    assert judge.reduce(features).shape[1:] == shape
    assert np.mean([a == b for a, b in zip(verdicts, labels[160:], strict=True)]) > 0.8


def test_training_is_a_function_of_its_arguments_and_leaves_torch_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("loretta_framework.evaluate.judge.STEPS", (30, 30))
    features, labels = bumps(60, (1, 8, 8), 0)
    keys = [str(i) for i in range(60)]
    before = torch.random.get_rng_state()
    first = train_judge(features, labels, keys, seed=0, members=2)
    again = train_judge(features, labels, keys, seed=0, members=2)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert len(first.members) == 2
    for a, b in zip(first.members, again.members, strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    weights = [next(iter(member.parameters())) for member in first.members]
    assert not torch.equal(*weights)
    assert not any(member.training for member in first.members)


def test_one_class_is_nothing_to_judge() -> None:
    with pytest.raises(ValueError, match="two classes or more"):
        train_judge(np.zeros((4, 1, 8, 8), np.float32), ["a"] * 4, [*"1234"], seed=0)


def test_constant_features_do_not_break_a_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loretta_framework.evaluate.judge.STEPS", (10, 10))
    judge = train_judge(np.ones((4, 1, 8, 8), np.float32), [*"abab"], [*"1234"], seed=0)
    assert set(judge.classify(np.ones((2, 1, 8, 8), np.float32))) <= {"a", "b"}
    assert judge.classify(np.empty((0, 1, 8, 8), np.float32)) == []


def test_within_class_variance_is_the_mean_of_total_variances() -> None:
    features_ND = np.array([[0.0, 0], [2, 0], [5, 5], [5, 9], [7, 7]], np.float32)
    classes_N = np.array([0, 0, 1, 1, 2])
    assert within_class_variance(features_ND, classes_N) == pytest.approx((2 + 8) / 2)
    assert np.isnan(within_class_variance(features_ND[:1], classes_N[:1]))


def test_a_variance_ratio_recovers_the_ratio_of_scales() -> None:
    draw = generator(0, "variance")
    classes_N = np.arange(300) % 3
    real_ND = draw.normal(size=(300, 5)).astype(np.float32)
    made_ND = 2 * draw.normal(size=(300, 5)).astype(np.float32)
    found = variance_ratio(made_ND, classes_N, np.arange(300), real_ND, classes_N, draw)
    assert found is not None
    assert found["value"] == pytest.approx(4.0, rel=0.15)
    assert found["interval"][0] < 4.0 < found["interval"][1]
    still_ND = np.zeros((300, 5), np.float32)
    assert variance_ratio(made_ND, classes_N, classes_N, still_ND, classes_N, draw) is None
