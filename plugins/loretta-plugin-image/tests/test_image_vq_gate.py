"""The gate of `image.vq` on MNIST: 49 tokens of 512 codes keep what a digit is."""

from __future__ import annotations

import gzip
import os
import platform
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loretta_plugin_image.vq.codec import Vq
from loretta_plugin_image.vq.settings import VqSettings
from torch import Tensor, nn
from torch.nn import functional

from loretta_framework.api import write_json_atomically

DATA = os.environ.get("LORETTA_TEST_DATA")
FITTED_ON = 20_000
HELD_OUT = slice(48_000, 50_000)
"""Seen neither by the fit nor by the judge; the codec's defaults were chosen on the 10,000 behind."""


def digits() -> tuple[np.ndarray, np.ndarray]:
    """uint8 (N, H, W, C) and labels."""
    folder = Path(DATA or "") / "mnist"
    images = gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28, 1)
    return pixels, np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)


def tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2) / 255


def judge(images: np.ndarray, labels: np.ndarray) -> nn.Module:
    """A small convolutional classifier, trained on real images."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 5, 2, 2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, 1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 49, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    steps = 3000
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, steps)
    for step in range(steps):
        rows = np.random.default_rng(step).integers(0, len(images), 128)
        loss = functional.cross_entropy(
            network(tensor(images[rows])), torch.from_numpy(labels[rows])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, x_NCHW: Tensor, labels: np.ndarray) -> float:
    return float((network(x_NCHW).argmax(1).numpy() == labels).mean())


def keep_result(figures: Mapping[str, Any]) -> None:
    """As a file in the folder that LORETTA_RESULTS names; without it they are dropped."""
    folder = os.environ.get("LORETTA_RESULTS")
    if folder:
        machine = f"{os.cpu_count()} cores, {platform.machine()}"
        about = {"machine": machine, "torch": torch.__version__}
        file = Path(folder) / f"{datetime.now(UTC):%Y-%m-%d}-image-vq-mnist.json"
        write_json_atomically(file, {**about, **figures})


@pytest.mark.soak
@pytest.mark.skipif(not DATA, reason="LORETTA_TEST_DATA is unset")
def test_a_judge_of_real_digits_knows_reconstructed_ones(tmp_path: Path) -> None:
    images, labels = digits()
    settings = VqSettings(height=28, width=28)  # everything else by default
    bounds = settings.bounds()
    assert (bounds.max_tokens, bounds.vocab_size) == (49, 512)
    built = Vq(settings)
    start = time.process_time()
    figures = built.fit((image / np.float32(255) for image in images[:FITTED_ON]), 0)
    seconds = time.process_time() - start
    built.save(tmp_path)
    network = judge(images[: HELD_OUT.start], labels[: HELD_OUT.start])
    kept, truth = images[HELD_OUT], labels[HELD_OUT]
    back = [built.decode(built.encode(image / np.float32(255))) for image in kept]
    real = accuracy(network, tensor(kept), truth)
    after = accuracy(network, tensor(np.stack(back) * 255), truth)
    keep_result(
        {
            "settings": settings.model_dump(mode="json"),
            "fit": {key: round(value, 4) for key, value in figures.items()},
            "fit CPU seconds": round(seconds, 1),
            "judge on real held-out digits": real,
            "judge on their reconstructions": after,
            "kept": round(after / real, 4),
        },
    )
    assert real > 0.97
    assert after >= 0.95 * real
    assert figures["codes_used"] > 0.9 * 512
