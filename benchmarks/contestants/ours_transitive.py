"""loretta_framework's training loop on pairs, causal or with every row transitive.

N requests, T tokens of a row, D width, V ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from benchmarks.contestants.ours import transformer
from benchmarks.machine import versions
from benchmarks.product import assembled, feed
from benchmarks.rounds import Rounds
from benchmarks.transitive import NAMES, PAIRS, batches, content
from loretta_framework.api.objectives import RolloutRequest
from loretta_framework.api.protocols import IntArray
from loretta_framework.api.specs import Bounds
from loretta_framework.generation.decode import evaluating
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.groups import segment_groups
from loretta_framework.sequence.rows import Content, Segment, TokenizedSample, build_row

Steps = Iterator[dict[str, list[TokenizedSample]]]


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Train. Spec: shape, precision, the settings of the transitive step or None, cache."""
    shape, settings = spec["shape"], spec["settings"]
    kind = "causal" if settings is None else "transitive"
    objectives = [
        {"kind": kind, "settings": {} if settings is None else {"start": 0.0, **settings}}
    ]
    size = Bounds(content(shape), shape["segment"], shape["segment"])
    train = {"precision": spec["precision"], **spec.get("train", {})}
    with assembled(
        dict.fromkeys(NAMES, size), PAIRS, transformer(shape), objectives=objectives, train=train
    ) as trainer:
        (task,) = trainer.tasks
        if not spec.get("cache", True):
            task.context = replace(task.context, rollout=WithoutCache(trainer.model))
        parameters = sum(p.numel() for p in trainer.model.parameters())
        rounds.about(parameters=parameters, versions=versions())
        feed(trainer, rounds, samples(shape, kind, task.plan.every))


def samples(shape: dict[str, Any], task: str, every: int) -> Steps:
    """The samples of each step; those of `every` steps at once."""
    data, number = batches(shape), 0
    while True:
        handed = []
        for _ in range(every):
            for row, (link_T, real_T) in enumerate(zip(*next(data), strict=True)):
                real = "image" if row % 2 == 0 else "speech"
                parts = (("text", link_T), (real, real_T))
                handed.append(TokenizedSample(f"set/{number}", parts, number))
                number += 1
        yield {task: handed}
        yield from ({} for _ in range(every - 1))


class WithoutCache:
    """Generates as the published pseudocode does: the whole sequence again for every token."""

    def __init__(self, model: AnyToAny) -> None:
        self.model = model
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, requests: Sequence[RolloutRequest], *_: Any, **__: Any) -> list[IntArray]:
        """The last segment of each path."""
        current: list[Content] = [request.start for request in requests]
        with evaluating(self.model):
            for target in sorted({request.path[-1] for request in requests}):
                chosen = [i for i, request in enumerate(requests) if request.path[-1] == target]
                made_NT = self._walk([requests[i].path[0] for i in chosen], target, chosen, current)
                for index, ids_T in zip(chosen, made_NT, strict=True):
                    current[index] = ids_T
        return current  # type: ignore[return-value]  # every path has a generated end

    def _walk(
        self, links: list[str], target: str, chosen: list[int], current: list[Content]
    ) -> IntArray:
        model, block = self.model, self.model.vocabulary[target]
        groups = segment_groups(model.vocabulary, target).tolist()
        prompts = [
            build_row(model.vocabulary, [Segment(link, current[i])], open_target=target)
            for link, i in zip(links, chosen, strict=True)
        ]
        batch = collate(prompts)
        ids_NT, places_NT = batch.ids_BT, batch.places_BT
        for step in range(block.max_tokens):
            rows = [
                replace(row, ids_T=ids_T, places_T=places_T, **_blank(ids_T))
                for row, ids_T, places_T in zip(
                    prompts, ids_NT.numpy(), places_NT.numpy(), strict=True
                )
            ]
            layout = collate(rows).layout
            hidden_NTD = model.backbone(model.embed(ids_NT, places_NT), layout)
            logits_NV = model.logits(hidden_NTD[:, -1], groups[step])
            picked_N1 = torch.multinomial(logits_NV.softmax(-1), 1, generator=self.generator)
            ids_NT = torch.cat([ids_NT, picked_N1 + block.content.start], dim=1)
            places_NT = torch.cat([places_NT, places_NT[:, -1:] + 1], dim=1)
        made: IntArray = (ids_NT[:, -block.max_tokens :] - block.content.start).numpy()
        return made


def _blank(ids_T: IntArray) -> dict[str, Any]:
    """The columns that a prompt does not need, as long as its ids."""
    zeros_T = ids_T * 0
    weights_T = zeros_T.astype("float32")
    names = ("targets_T", "groups_T")
    return {**dict.fromkeys(names, zeros_T), "weights_T": weights_T, "edges_T": zeros_T - 1}
