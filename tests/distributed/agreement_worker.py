"""One rank that compares its plan with the others': agreement_worker.py RANK SIZE PORT PLAN."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from loretta_framework.api.errors import TrainingError
from loretta_framework.recipe.plan import Plan
from loretta_framework.train.agreement import require_agreement
from loretta_framework.train.distributed import World


def main(rank: int, size: int, port: str, plan: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    torch.distributed.init_process_group("gloo", rank=rank, world_size=size)
    try:
        require_agreement(World(rank, size), Plan.from_json(json.loads(Path(plan).read_text())))
        print("agreed")
    except TrainingError as error:
        print(error)
    # Nobody waits in a collective that another rank never enters.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
