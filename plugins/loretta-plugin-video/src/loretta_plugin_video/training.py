"""Trains the network of `video.vq`. Axes: N clips, F frames, H rows, W columns, C channels, T tokens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from loretta_framework.api import generator
from loretta_plugin_video.network import Network, as_clips, as_input
from loretta_plugin_video.picture import sheet
from loretta_plugin_video.settings import VqSettings

HELD_BYTES = 1 << 30
"""Clips in memory at once; the steps draw from these, and what is drawn is replaced."""
JUDGED = 32
SHOWN_CLIPS = 4
SHOWN_FRAMES = 8
PURPOSE = "video.vq/fit"

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Learned:
    """The weights, how good they are, and originals above their reconstructions (H, W, C)."""

    weights: Weights
    figures: dict[str, float]
    picture_HWC: NDArray[np.uint8]


def learn(values: Iterable[NDArray[np.uint8]], settings: VqSettings, seed: int) -> Learned:
    """Fit a network to clips; the same clips and seed give the same weights on the same machine.

    Raises:
        ValueError: there are no clips, or training diverged.
    """
    draws = generator(seed, PURPOSE)
    pool = _Pool(values, max(settings.batch, HELD_BYTES // math.prod(settings.shape)))
    judged_NFHWC = np.stack(pool.first(JUDGED))
    network = seeded(settings, int(draws.integers(2**62)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network.to(device).train()
    last = _steps(network, pool, settings, draws, device)
    network.cpu().eval()
    figures, picture = _judge(network, judged_NFHWC)
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise ValueError("the weights are no longer finite; lower lr")
    return Learned(weights, {"clips": float(pool.count), "loss": last, **figures}, picture)


def seeded(settings: VqSettings, seed: int) -> Network:
    """A network with weights of this seed; torch's own generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(settings)


def _steps(
    network: Network, pool: _Pool, settings: VqSettings, draws: np.random.Generator, device: str
) -> float:
    """Train; the mean squared error (of -1..1) over the last tenth of the steps."""
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lr)
    losses: list[float] = []
    for step in range(settings.steps):
        warm = min(1.0, (step + 1) / max(1.0, settings.steps / 20))
        fade = 0.5 + 0.5 * math.cos(math.pi * step / settings.steps)
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * warm * fade
        clips = as_input(pool.draw(settings.batch, draws)).to(device)
        restored, _ = network(clips)
        loss = (restored - clips).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise ValueError(f"the loss of step {step} is {losses[-1]}; lower lr")
    return float(np.mean(losses[-max(1, settings.steps // 10) :])) if losses else 0.0


@torch.inference_mode()
def _judge(
    network: Network, clips_NFHWC: NDArray[np.uint8]
) -> tuple[dict[str, float], NDArray[np.uint8]]:
    """Figures of some clips, and the picture of a few of them."""
    found = [network(as_input(clip[None])) for clip in clips_NFHWC]
    restored_NFHWC = np.concatenate([as_clips(restored) for restored, _ in found])
    ids = torch.cat([ids.flatten() for _, ids in found]).numpy()
    error = np.square(restored_NFHWC.astype(np.float64) - clips_NFHWC).mean()
    _, counts = np.unique(ids, return_counts=True)
    parts = counts / counts.sum()
    figures = {
        "psnr_db": float(10 * np.log10(255**2 / max(error, 1e-3))),
        "codes_used": float(len(counts)),
        "perplexity": float(np.exp(-(parts * np.log(parts)).sum())),
        "judged": float(len(clips_NFHWC)),
    }
    shown = np.unique(np.linspace(0, clips_NFHWC.shape[1] - 1, SHOWN_FRAMES).round().astype(int))
    pairs = zip(clips_NFHWC[:SHOWN_CLIPS], restored_NFHWC[:SHOWN_CLIPS], strict=True)
    return figures, sheet([clip[shown] for pair in pairs for clip in pair])


class _Pool:
    """Clips in memory, up to a number; of more, each that was drawn makes room for the next."""

    def __init__(self, values: Iterable[NDArray[np.uint8]], most: int) -> None:
        self._values, self._first_pass = values, True
        self._more: Iterator[NDArray[np.uint8]] | None = iter(values)
        self._held: list[NDArray[np.uint8]] = []
        for clip in self._more:
            self._held.append(clip)
            if len(self._held) == most:
                break
        else:
            self._more = None
        if not self._held:
            raise ValueError("there must be at least one clip to fit on")
        self.count = len(self._held)

    def first(self, count: int) -> list[NDArray[np.uint8]]:
        """Up to so many clips."""
        return self._held[:count]

    def draw(self, count: int, draws: np.random.Generator) -> NDArray[np.uint8]:
        """uint8 (N, F, H, W, C)."""
        numbers = draws.integers(len(self._held), size=count)
        batch = np.stack([self._held[number] for number in numbers])
        if self._more is not None:
            for number in numbers:
                self._held[number] = self._next()
        return batch

    def _next(self) -> NDArray[np.uint8]:
        assert self._more is not None
        clip = next(self._more, None)
        if clip is None:
            self._more, self._first_pass = iter(self._values), False
            clip = next(self._more)
        self.count += self._first_pass
        return clip
