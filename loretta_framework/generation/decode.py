"""Generate one modality after a prompt, inside its ids, with the backbone's cache.

N prompts, B rows of a chunk, T tokens, D width, G ids of a group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from loretta_framework.api.layout import SequenceLayout
from loretta_framework.api.protocols import Cache, IntArray
from loretta_framework.generation.sampling import sample
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.groups import segment_groups
from loretta_framework.sequence.rows import Segment, TokenRow, build_row, place_table
from loretta_framework.sequence.vocabulary import Block

Uniforms = NDArray[np.float64]


@contextmanager
def evaluating(model: AnyToAny) -> Iterator[None]:
    """Evaluation mode without gradients; the former mode comes back."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def generate(
    model: AnyToAny,
    prompts: Sequence[Sequence[Segment]],
    target: str,
    uniforms_NT: Uniforms,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    batch_rows: int = 256,
) -> list[IntArray]:
    """Sample a segment of `target` after each prompt.

    Args:
        model: put into evaluation mode meanwhile; no gradient is kept.
        prompts: segments before the target's class id; may be empty.
        target: the modality to generate.
        uniforms_NT: one number in [0, 1) per prompt and position, T >= the target's `max_tokens`.
        temperature: 1 samples the model's distribution, 0 takes the most likely id.
        top_k: keep only the k most likely ids.
        batch_rows: rows decoded together.

    Returns:
        int64 ids local to the modality, without class and end, one array per prompt;
        min_tokens <= length <= max_tokens.

    Raises:
        ValueError: the target is continuous, so there is nothing to sample.
    """
    block = model.vocabulary[target]
    if block.continuous:
        raise ValueError(f"'{target}' must be discrete to be generated, but is continuous")
    rows = [build_row(model.vocabulary, prompt, open_target=target) for prompt in prompts]
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i]), i))  # little padding in a chunk
    results: list[IntArray] = [np.empty(0, np.int64)] * len(rows)
    with evaluating(model):
        for start in range(0, len(order), batch_rows):
            chunk = order[start : start + batch_rows]
            tokens = _decode(
                model, [rows[i] for i in chunk], block, uniforms_NT[chunk], temperature, top_k
            )
            for index, ids in zip(chunk, tokens, strict=True):
                results[index] = ids
    return results


def _decode(
    model: AnyToAny,
    rows: Sequence[TokenRow],
    block: Block,
    uniforms_BT: Uniforms,
    temperature: float,
    top_k: int | None,
) -> list[IntArray]:
    device = model.embedding.weight.device
    groups = segment_groups(model.vocabulary, block.modality).tolist()
    uniforms = torch.from_numpy(np.ascontiguousarray(uniforms_BT)).to(device)
    hidden_BD, cache, lengths_B = _prefill(model, rows, block.max_tokens, device)
    place = place_table(model.vocabulary)[block.modality] + 1
    active_B = torch.arange(len(rows), device=device)
    tokens_BT = torch.full((len(rows), block.max_tokens), -1, dtype=torch.int64, device=device)
    for step in range(block.max_tokens):
        logits_BG = model.logits(hidden_BD, groups[step])
        if block.variable and step < block.min_tokens:
            logits_BG[:, 0] = float("-inf")  # the end id comes first in the group
        index_B = sample(logits_BG, uniforms[active_B, step], temperature, top_k)
        content_B = index_B + (model.groups[groups[step]][0].start - block.content.start)
        tokens_BT[active_B, step] = content_B  # -1 where the segment ended
        going_B = content_B >= 0
        if step + 1 == block.max_tokens or not bool(going_B.any()):
            break
        if not bool(going_B.all()):
            kept = going_B.nonzero().squeeze(1)
            cache, active_B = cache.select(kept), active_B[kept]
            content_B, lengths_B = content_B[kept], lengths_B[kept]
        hidden_BD = _advance(
            model, cache, content_B + block.content.start, place + step, lengths_B + step
        )
    return [row[row >= 0] for row in tokens_BT.cpu().numpy()]


def _prefill(
    model: AnyToAny, rows: Sequence[TokenRow], room: int, device: torch.device
) -> tuple[Tensor, Cache, Tensor]:
    batch = collate(rows).to(device)
    lengths_B = torch.tensor([len(row) for row in rows], device=device)
    cache = model.backbone.new_cache(len(rows), batch.ids_BT.shape[1] + room)
    x_BTD = model.embed(batch.ids_BT, batch.places_BT, batch.features)
    hidden_BTD = model.backbone.extend(x_BTD, batch.layout, cache)
    last_BD = hidden_BTD[torch.arange(len(rows), device=device), lengths_B - 1]
    return last_BD, cache, lengths_B


def _advance(
    model: AnyToAny, cache: Cache, ids_B: Tensor, place: int, positions_B: Tensor
) -> Tensor:
    rows = len(ids_B)
    ids_B1 = ids_B[:, None]
    layout = SequenceLayout(
        documents_BT=torch.arange(rows, device=ids_B.device)[:, None],
        positions_BT=positions_B[:, None],
        cu_lengths=torch.arange(rows + 1, dtype=torch.int32, device=ids_B.device),
        max_length=1,
        packed=False,
    )
    x_B1D = model.embed(ids_B1, torch.full_like(ids_B1, place))
    return model.backbone.extend(x_B1D, layout, cache)[:, 0]
