"""One rank of a training step, run as a process of its own: step_worker.py RANK SIZE STORE OUT."""

from __future__ import annotations

import sys
from datetime import timedelta

import torch
from safetensors.torch import save_file

from loretta_framework.objectives.causal import Causal
from loretta_framework.objectives.context import ObjectiveContext
from loretta_framework.objectives.settings import CausalSettings
from loretta_framework.recipe.plan import ComponentPlan, TaskPlan
from loretta_framework.testing.small_models import small_graph, small_model, small_sample
from loretta_framework.train.distributed import World
from loretta_framework.train.numerics import Numerics
from loretta_framework.train.step import Stepper
from loretta_framework.train.tasks import Task


def main(rank: int, size: int, store: str, out: str) -> None:
    torch.set_num_threads(1)
    if size > 1:
        torch.distributed.init_process_group(
            "gloo",
            init_method=f"file://{store}",
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=60),
        )
    model = small_model().train()
    context = ObjectiveContext(
        model.vocabulary, small_graph().bridges(), 0, "causal", lambda *_: [], lambda _: None
    )
    component = ComponentPlan("causal", 1, "test", {})
    plan = TaskPlan("causal", component, 1.0, 1.0, 0, 1, 8, (), 30.0)
    task = Task(plan, Causal(CausalSettings(), context), context, generates=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    stepper = Stepper(
        model, optimizer, [task], Numerics(torch.device("cpu"), False, 1, 0, "packed"),
        World.current(), seed=0, accumulate=1, clip_norm=None, capacity=60,
    )  # fmt: skip
    # rank 0 has image-text rows only, rank 1 text-speech rows only: each lacks an edge of the other
    names = [("image", "text")] * 4 + [("text", "speech")] * 4
    samples = [small_sample(i, *pair) for i, pair in enumerate(names)]
    share = len(samples) // size
    mine = samples[rank * share : (rank + 1) * share]
    result = stepper.run(0, {"causal": list(task.objective.sequences(mine, context))})
    if rank == 0:
        figures = {f"edge/{edge}": torch.tensor(nats) for (_, edge), nats in result.edges.items()}
        figures |= {"loss": torch.tensor(result.loss), "tokens": torch.tensor(result.tokens)}
        save_file({**model.state_dict(), **figures}, out)
    if size > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4])
