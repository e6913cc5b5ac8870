"""Greedy generation with our model: the generation engine, or the whole sequence anew each time.

B rows, T tokens, D width, G ids of the target's group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.contestants.loop import precise
from benchmarks.contestants.ours import transformer
from benchmarks.machine import versions
from benchmarks.product import assembled
from benchmarks.rounds import Rounds
from loretta_framework.api.layout import SequenceLayout
from loretta_framework.api.specs import Bounds
from loretta_framework.generation.decode import evaluating, generate
from loretta_framework.generation.sampling import Sampling
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.groups import segment_groups
from loretta_framework.sequence.rows import Segment, build_row

PROMPT_IDS = 30
SPECIALS = 20
"""Reserved ids and the class ids of both modalities."""


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Generate. Spec: shape (prompt, new), rows, precision, how: engine, compiled, no cache."""
    shape = spec["shape"]
    bounds = {
        "prompt": Bounds(PROMPT_IDS, shape["prompt"] - 2, shape["prompt"] - 2),
        "new": Bounds(shape["vocabulary"] - PROMPT_IDS - SPECIALS, shape["new"], shape["new"]),
    }
    with assembled(bounds, [("prompt", "new")], spec.get("backbone") or transformer(shape)) as run:
        model = run.model.eval()
    rounds.about(parameters=sum(p.numel() for p in model.parameters()), versions=versions())
    if spec["how"] == "compiled":  # the product never does this; see docs/benchmarks.md
        backbone: Any = model.backbone
        backbone.extend = torch.compile(backbone.extend, dynamic=True)
    random = np.random.default_rng(0)
    contents = random.integers(0, PROMPT_IDS, (spec["rows"], shape["prompt"] - 2))
    prompts = [[Segment("prompt", ids_T)] for ids_T in contents]
    device = next(model.parameters()).device
    for pieces in rounds:
        for _ in range(pieces):
            with evaluating(model), precise(spec["precision"], device.type):
                if spec["how"] == "no cache":
                    made = without_cache(model, prompts, shape["new"])
                else:
                    uniforms = np.zeros((len(prompts), shape["new"]))
                    greedy = Sampling(temperature=0)
                    made = generate(model, prompts, "new", uniforms, sampling=greedy)
        rounds.note(units=pieces * len(prompts) * shape["new"], sequence=[int(i) for i in made[0]])


def without_cache(model: AnyToAny, prompts: list[list[Segment]], new: int) -> list[Any]:
    """The published pseudocode's way: each token reads the whole sequence again."""
    block = model.vocabulary["new"]
    groups = segment_groups(model.vocabulary, "new").tolist()
    made: list[list[int]] = [[] for _ in prompts]
    for step in range(new):
        hidden_BD = _last(model, prompts, made)
        logits_BG = model.logits(hidden_BD, groups[step])
        offset = model.groups[groups[step]][0].start - block.content.start
        for row, local in zip(made, (logits_BG.argmax(dim=-1) + offset).tolist(), strict=True):
            row.append(local)
    return made


def _last(model: AnyToAny, prompts: list[list[Segment]], made: list[list[int]]) -> Tensor:
    """(B, D) hidden states behind what was made so far."""
    block = model.vocabulary["new"]
    rows = [build_row(model.vocabulary, prompt, open_target="new") for prompt in prompts]
    batch = collate(rows).to(next(model.parameters()).device)
    ids_BT, places_BT = batch.ids_BT, batch.places_BT
    count = len(made[0])
    if count:
        content_BT = torch.tensor(made, device=ids_BT.device) + block.content.start
        ids_BT = torch.cat([ids_BT, content_BT], dim=1)
        after_T = torch.arange(1, count + 1, device=ids_BT.device)
        places_BT = torch.cat([places_BT, places_BT[:, -1:] + after_T], dim=1)
    layout = _layout(ids_BT)
    hidden_BTD: Tensor = model.backbone.forward(model.embed(ids_BT, places_BT), layout)
    return hidden_BTD[:, -1]


def _layout(ids_BT: Tensor) -> SequenceLayout:
    """One document a row, all of one length."""
    rows, tokens = ids_BT.shape
    device = ids_BT.device
    return SequenceLayout(
        documents_BT=torch.arange(rows, device=device)[:, None].expand(rows, tokens),
        positions_BT=torch.arange(tokens, device=device).expand(rows, tokens),
        cu_lengths=torch.arange(rows + 1, dtype=torch.int32, device=device) * tokens,
        max_length=tokens,
        packed=False,
    )
