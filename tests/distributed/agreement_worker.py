"""One rank that compares its plan with the others': agreement_worker.py RANK SIZE STORE PLAN.

With RECIPE RUN instead of PLAN it trains, up to where the ranks would disagree.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path

import torch

from loretta_framework.api.errors import TrainingError
from loretta_framework.recipe.load import load_recipe
from loretta_framework.recipe.plan import Plan
from loretta_framework.train.agreement import require_agreement
from loretta_framework.train.distributed import World
from loretta_framework.train.run import train


def main(rank: int, size: int, store: str, *what: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{store}",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=60),
    )
    try:
        if len(what) == 1:
            plan = Plan.from_json(json.loads(Path(what[0]).read_text()))
            require_agreement(World.current(), plan)
        else:
            overrides = ["train.threads=1", "data.workers=0"]
            train(load_recipe(what[0], overrides), what[1], say=lambda _: None)
        print("agreed")
    except TrainingError as error:
        print(error)
    # Nobody waits in a collective that another rank never enters.
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
