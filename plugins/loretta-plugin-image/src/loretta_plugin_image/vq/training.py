"""Trains the codec. The same images, settings and seed give the same weights bit for bit.

Axes: N images, H rows, W columns, C channels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import cos, log10, pi
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from loretta_framework.api import FloatArray, generator
from loretta_plugin_image.vq.network import Codec
from loretta_plugin_image.vq.quantiser import new_quantiser, quantiser_class
from loretta_plugin_image.vq.settings import VqSettings
from loretta_plugin_image.warp import warp

MAX_IMAGES = 40_000
MAX_BYTES = 512 << 20
"""Of the images that a fit looks at, a byte a pixel; of more it draws as many as that."""

HELD_OUT = 512
"""Images at most, and at most a tenth of all, that the figures are of and the fit does not see."""

WARM_UP = 1 / 20
"""Part of the steps in which the learning rate rises."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Fit:
    """What a fit gives.

    Attributes:
        weights: of the codec, by name.
        figures: how good it is on the images held out.
        shown: pairs of an image and its reconstruction, (H, W, C) in 0..1.
    """

    weights: dict[str, NDArray[np.generic]]
    figures: dict[str, float]
    shown: list[tuple[FloatArray, FloatArray]]


def fit_codec(values: Iterable[FloatArray], settings: VqSettings, seed: int) -> Fit:
    """Train a codec on images, float32 (H, W, C) in 0..1.

    Raises:
        ValueError: there are no images, or the training diverged.
        MissingDependencyError: vector-quantize-pytorch is not installed.
    """
    kind = quantiser_class()  # before the images are decoded, which may take long
    images = drawn(values, settings, seed)
    if not images:
        raise ValueError("there must be at least one value to fit on")
    held = min(HELD_OUT, len(images) // 10)
    with _reproducible(settings.threads, seed):
        codec, quantiser = Codec(settings), new_quantiser(kind, settings)
        _train(codec, quantiser, _with_changed(images[held:], settings, seed), settings, seed)
        return _judged(codec, images[:held] or images[:HELD_OUT], len(images))


def drawn(values: Iterable[FloatArray], settings: VqSettings, seed: int) -> list[Pixels]:
    """As many of the images as fit into memory, each with the same chance, in random order."""
    size = settings.height * settings.width * settings.channels
    room = max(1, min(MAX_IMAGES, MAX_BYTES // size))
    random = generator(seed, "image.vq/keep")
    kept: list[Pixels] = []
    for number, value_HWC in enumerate(values):
        pixels_HWC = _pixels(value_HWC)
        place = int(random.integers(number + 1))
        if number < room:  # into a random place, whose image moves to the end
            kept.append(pixels_HWC)
            kept[place], kept[-1] = kept[-1], kept[place]
        elif place < room:
            kept[place] = pixels_HWC
    return kept


def _with_changed(images: list[Pixels], settings: VqSettings, seed: int) -> list[Pixels]:
    """The images and, where the settings ask for augmentation, a changed copy of each."""
    changes = settings.augment
    if changes is None:
        return images
    random = generator(seed, "image.vq/warp")
    plain = (image.astype(np.float32) / np.float32(255) for image in images)
    return images + [_pixels(warp(value_HWC, changes, random)) for value_HWC in plain]


@contextmanager
def _reproducible(threads: int, seed: int) -> Iterator[None]:
    """Torch's random numbers and threads are this fit's own, and then again what they were."""
    before = torch.get_num_threads()
    start = int(generator(seed, "image.vq/weights").integers(2**62))
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.default_generator.manual_seed(start)
        torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _train(
    codec: Codec, quantiser: Any, images: Sequence[Pixels], settings: VqSettings, seed: int
) -> None:
    """Codes are no parameters: the quantiser moves them itself."""
    optimizer = torch.optim.Adam(codec.parameters(), lr=settings.learning_rate)

    def rate(step: int) -> float:
        rise = min(1, (step + 1) / max(1, WARM_UP * settings.steps))
        return rise * (1 + cos(pi * step / settings.steps)) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    random = generator(seed, "image.vq/batches")
    codec.train()
    for step in range(settings.steps):
        numbers = random.integers(len(images), size=settings.batch)
        x_NCHW = _tensor([images[number] for number in numbers])
        quantised_NLRS, _, pull = quantiser(codec.encoder(x_NCHW))
        loss = functional.mse_loss(codec.decoder(quantised_NLRS), x_NCHW) + pull.sum()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(codec.parameters(), 1.0)
        if not torch.isfinite(norm):
            raise ValueError(
                f"the training of the codec diverged at step {step} of {settings.steps}; lower "
                f"learning_rate, which is {settings.learning_rate:g}"
            )
        optimizer.step()
        schedule.step()
    codec.codes_KL.copy_(quantiser.codebook)


@torch.no_grad()
def _judged(codec: Codec, images: Sequence[Pixels], seen: int) -> Fit:
    codec.eval()
    x_NCHW = _tensor(images)
    ids_NRS = torch.cat([codec.encode(x_NCHW[n : n + 64]) for n in range(0, len(images), 64)])
    y_NCHW = torch.cat([codec.decode(ids_NRS[n : n + 64]) for n in range(0, len(images), 64)])
    counts = ids_NRS.flatten().bincount().double()
    share = counts[counts > 0] / counts.sum()
    error = float((y_NCHW - x_NCHW).double().square().mean())
    variance = float(x_NCHW.double().var(dim=0, correction=0).mean())
    figures = {
        "images": float(seen),
        "held_out": float(len(images)) if len(images) < seen else 0.0,
        "psnr_db": -10 * log10(max(error, 1e-10)),
        "explained": 1 - error / variance if variance else 0.0,
        "codes_used": float(len(share)),
        "perplexity": float((-(share * share.log()).sum()).exp()),
    }
    pairs = [(_value(x), _value(y)) for x, y in zip(x_NCHW[:12], y_NCHW, strict=False)]
    state = codec.state_dict().items()
    return Fit({name: value.numpy().copy() for name, value in state}, figures, pairs)


def _pixels(value_HWC: FloatArray) -> Pixels:
    return np.round(value_HWC * 255).astype(np.uint8)


def _tensor(images: Sequence[Pixels]) -> Tensor:
    x_NHWC = torch.from_numpy(np.stack(images))
    return x_NHWC.permute(0, 3, 1, 2).float() / 255


def _value(x_CHW: Tensor) -> FloatArray:
    value_HWC: FloatArray = x_CHW.permute(1, 2, 0).numpy()
    return value_HWC
