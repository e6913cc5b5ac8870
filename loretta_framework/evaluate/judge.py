"""A small classifier of one modality's values, trained on real training data and nothing else.

It tells whether a generation has the class of its source. N values, C channels, H x W places,
K classes, M members.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from loretta_framework.api import random
from loretta_framework.api.protocols import FloatArray, IntArray
from loretta_framework.evaluate.judge_network import build_network, is_grid, vary

LARGEST_SIDE = 32
"""A grid with a longer side is averaged down to this: a judge needs no more, and time counts."""

BATCH = 64
STEPS = (200, 500)
"""Fewest and most training steps; between them, about 20 passes over the data."""

PART = 512
"""Values classified at once."""


@dataclass(frozen=True, slots=True)
class Judge:
    """A trained judge.

    Attributes:
        classes: labels, sorted.
        members: networks whose probabilities are averaged.
        grid: features are a grid, not a list.
        mean: subtracted from reduced features, broadcastable to (N, C, H, W).
        scale: they are divided by it.
        keys: keys of the samples it was trained on.
    """

    classes: tuple[str, ...]
    members: tuple[nn.Module, ...]
    grid: bool
    mean: Tensor
    scale: Tensor
    keys: frozenset[str]

    def classify(self, features_NCHW: FloatArray) -> list[str]:
        """The most probable class of each."""
        if not len(features_NCHW):
            return []
        x_NCHW = (self.reduce(features_NCHW) - self.mean) / self.scale
        with torch.no_grad():
            votes_MNK = torch.stack([_probabilities(member, x_NCHW) for member in self.members])
        return [self.classes[i] for i in votes_MNK.sum(0).argmax(1).tolist()]

    def reduce(self, features_NCHW: FloatArray) -> Tensor:
        """float32 (N, C, H', W'); the sides of a grid are at most `LARGEST_SIDE`."""
        return _reduce(_tensor(features_NCHW), self.grid)


def train_judge(
    features_NCHW: FloatArray,
    labels: Sequence[str],
    keys: Sequence[str],
    seed: int,
    members: int = 1,
) -> Judge:
    """Train a judge; a function of its arguments alone.

    Args:
        features_NCHW: float32 features of real training values.
        labels: their classes, at least two different ones.
        keys: the samples they came from.
        seed: names its draws.
        members: networks to average.

    Raises:
        ValueError: there are fewer than two classes.
    """
    classes = tuple(sorted(set(labels)))
    if len(classes) < 2:
        raise ValueError(f"a judge must have two classes or more, but has {list(classes)}")
    x_NCHW = _tensor(features_NCHW)
    grid = is_grid(x_NCHW)
    x_NCHW = _reduce(x_NCHW, grid)
    axes = (0, 2, 3) if grid else (0,)
    mean = x_NCHW.mean(axes, keepdim=True)
    spread = x_NCHW.std(axes, keepdim=True, correction=0)
    # A feature that hardly varies in training must not decide by its noise.
    scale = spread + 0.1 * spread.square().mean().sqrt() + 1e-6
    x_NCHW = (x_NCHW - mean) / scale
    index = {label: i for i, label in enumerate(classes)}
    y_N = torch.tensor([index[label] for label in labels])
    trained = tuple(_fit(x_NCHW, y_N, len(classes), grid, seed, m) for m in range(members))
    return Judge(classes, trained, grid, mean, scale, frozenset(keys))


def _fit(
    x_NCHW: Tensor, y_N: Tensor, classes: int, grid: bool, seed: int, member: int
) -> nn.Module:
    draw = random.generator(seed, "evaluate/judge", member)
    steps = int(np.clip(20 * len(x_NCHW) // BATCH, *STEPS))
    with torch.random.fork_rng(devices=[]), torch.enable_grad(), _one_thread():
        torch.manual_seed(random.key(seed, "evaluate/judge/init", member) % 2**63)
        network = build_network(x_NCHW.shape[1:], classes, grid)
        optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=steps)
        for _ in range(steps):
            chosen_B = torch.from_numpy(draw.integers(0, len(x_NCHW), size=BATCH))
            logits_BK = network(vary(x_NCHW[chosen_B], draw, grid))
            loss = functional.cross_entropy(logits_BK, y_N[chosen_B], label_smoothing=0.05)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return network.eval()


@contextmanager
def _one_thread() -> Iterator[None]:
    """Networks this small gain nothing from more, and one gives the same sums on any machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _probabilities(network: nn.Module, x_NCHW: Tensor) -> Tensor:
    """(N, K), in parts so that memory does not grow with N."""
    starts = range(0, len(x_NCHW), PART)
    return torch.cat([network(x_NCHW[start : start + PART]).softmax(1) for start in starts])


def _tensor(features_NCHW: FloatArray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(features_NCHW, dtype=np.float32))


def _reduce(x_NCHW: Tensor, grid: bool) -> Tensor:
    height, width = (min(side, LARGEST_SIDE) for side in x_NCHW.shape[2:])
    if not grid or (height, width) == tuple(x_NCHW.shape[2:]):
        return x_NCHW
    return functional.adaptive_avg_pool2d(x_NCHW, (height, width))


def correct(predicted: Sequence[str], expected: Sequence[str]) -> IntArray:
    """1 where the classes agree, else 0."""
    return np.array([a == b for a, b in zip(predicted, expected, strict=True)], dtype=np.int64)
