"""Two ranks with different modalities take the step of one rank that has them all."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

WORKER = Path(__file__).with_name("step_worker.py")


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def step(size: int, out: Path) -> dict[str, torch.Tensor]:
    port = free_port()
    ranks = [
        subprocess.Popen([sys.executable, str(WORKER), str(rank), str(size), port, str(out)])
        for rank in range(size)
    ]
    for rank in ranks:
        rank.wait(timeout=240)
    return load_file(out)


def test_two_ranks_equal_one(tmp_path: Path) -> None:
    one, two = step(1, tmp_path / "one"), step(2, tmp_path / "two")
    assert set(one) == set(two)
    assert sum(name.startswith("edge/") for name in one) >= 5
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
