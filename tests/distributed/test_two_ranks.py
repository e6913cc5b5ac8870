"""Two ranks with different modalities take the step of one rank that has them all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

WORKER = Path(__file__).with_name("step_worker.py")


def test_two_ranks_equal_one(tmp_path: Path, launch: Callable[..., list[str]]) -> None:
    def step(size: int, out: Path) -> dict[str, torch.Tensor]:
        launch(WORKER, [[str(out)]] * size)
        return load_file(out)

    one, two = step(1, tmp_path / "one"), step(2, tmp_path / "two")
    assert set(one) == set(two)
    assert sum(name.startswith("edge/") for name in one) >= 5
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
