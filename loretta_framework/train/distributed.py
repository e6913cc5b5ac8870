"""The distributed seam: which rank of how many, and sums over ranks.

World size 1 takes the same path: its sums are the identity, no process group is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True, slots=True)
class World:
    """This process among all of the run.

    Attributes:
        rank: 0..size-1.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> World:
        """The place in the process group that this process has joined; alone when in none."""
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over ranks, in place; every rank must call it in the same order."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Sum gradients over ranks; a parameter that this rank did not touch counts as zero.

        One flat buffer: a rank that skipped a parameter would otherwise leave the others waiting.
        """
        if self.size == 1:
            return
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        flat = torch.cat(
            [(torch.zeros_like(p) if p.grad is None else p.grad).flatten().float() for p in trained]
        )
        self.sum(flat)
        for p, part in zip(trained, torch.split(flat, [p.numel() for p in trained]), strict=True):
            p.grad = part.view_as(p).to(p.dtype)
