"""Trains a backbone for two steps, in one process or sharded over two.

Run as a module, `backbone_ranks.py FOLDER`, it is the two: it forks once torch is imported.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from loretta_framework.api.specs import LazyReference
from loretta_framework.registry import Builder, Registry
from loretta_framework.testing.conformance.backbone_rows import LENGTHS, Rows, documents
from loretta_framework.testing.conformance.checks import require
from loretta_framework.testing.conformance.subject import Subject

RANKS, STEPS, RATE = 2, 2, 0.1
TIMEOUT_S = 240
GLOO_S = 60
"""After which a rank gives up on one that has failed."""


def trained(backbone: Any, rank: int, size: int) -> dict[str, Tensor]:
    """The whole weights after `STEPS` steps of gradient descent on this rank's documents.

    The loss is a sum over all documents, divided by their number; each rank has its share.
    """
    lengths = LENGTHS[rank::size]
    rows = Rows.alone(lengths)
    parts = documents(backbone, LENGTHS)[rank::size]
    weights = documents(backbone, LENGTHS, seed=1)[rank::size]
    for _ in range(STEPS):
        backbone.zero_grad()
        made = rows.split(backbone(rows.fill(parts), rows.layout))
        total = sum((out * weight).mean() for out, weight in zip(made, weights, strict=True))
        # FSDP2 averages gradients over ranks, so each rank counts for `size`.
        torch.autograd.backward([torch.as_tensor(total) * size / len(LENGTHS)])
        with torch.no_grad():  # not an optimiser: importing those takes as long as all of the rest
            for parameter in backbone.parameters():
                parameter.sub_(RATE * parameter.grad)
    tensors = {}
    for name, tensor in backbone.state_dict().items():
        whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        tensors[name] = whole.detach().contiguous().clone()
    return tensors


def on_two_ranks(subject: Subject, start: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`trained` from these weights, sharded over two processes of this machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_file({key: tensor.contiguous() for key, tensor in start.items()}, folder / "start")
        spec = subject.spec
        about = {
            "factory": spec.factory,
            "settings": spec.settings,
            "values": dict(subject.trial.settings),
        }
        (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
        done = subprocess.run(
            [sys.executable, "-m", __name__, name],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        lines = done.stdout.strip().splitlines() or ["no output"]
        require(done.returncode == 0, f"a rank of two failed: {lines[-1]}")
        return load_file(folder / "end")


def main(folder: Path) -> int:
    """Both ranks; the exit code is 0 when both came to their end."""
    importlib.import_module("torch.distributed.fsdp")  # before the fork: it takes seconds

    child = os.fork()
    try:
        _train_rank(1 if child == 0 else 0, folder)
    finally:
        if child:
            _, status = os.waitpid(child, 0)
    return 0 if child == 0 else os.waitstatus_to_exitcode(status)


def _train_rank(rank: int, folder: Path) -> None:
    """Build, load, shard, train; rank 0 saves."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'rendezvous'}",
        rank=rank,
        world_size=RANKS,
        timeout=timedelta(seconds=GLOO_S),
    )
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    settings = LazyReference.parse(about["settings"]).resolve()
    values = settings.model_validate_json(json.dumps(about["values"]))
    factory = LazyReference.parse(about["factory"]).resolve()
    backbone = factory(values, Builder(Registry.discover(()))).eval()
    backbone.load_state_dict(load_file(folder / "start"))
    mesh = init_device_mesh("cpu", (RANKS,))
    for block in getattr(backbone, "blocks", ()):
        fully_shard(block, mesh=mesh)
    fully_shard(backbone, mesh=mesh)
    tensors = trained(backbone, rank, RANKS)
    if rank == 0:
        save_file(tensors, folder / "end")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
