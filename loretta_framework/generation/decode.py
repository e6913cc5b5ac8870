"""Generate one modality after a prompt, inside its ids, with the backbone's cache.

N prompts, B of a chunk, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from loretta_framework.api.protocols import IntArray
from loretta_framework.generation import graphs as captured
from loretta_framework.generation.block import Decoding, Draw
from loretta_framework.generation.guidance import Guidance, require_sources, variants_of
from loretta_framework.generation.prompts import encode
from loretta_framework.generation.sampling import Sampling
from loretta_framework.generation.steps import steps_of
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.rows import Segment, TokenRow, build_row

Uniforms = NDArray[np.float64]

PLAIN = Sampling()
"""The model's own distribution."""


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
    sampling: Sampling = PLAIN,
    guidance: Guidance | None = None,
    batch_rows: int = 256,
    graphs: bool = True,
) -> list[IntArray]:
    """Sample a segment of `target` after each prompt.

    Args:
        model: put into evaluation mode meanwhile; no gradient is kept.
        prompts: segments before the target's class id; may be empty.
        target: the modality to generate.
        uniforms_NT: one number in [0, 1) per prompt and position, T >= the target's `max_tokens`.
        sampling: how ids are drawn; by default from the model's distribution.
        guidance: how much the sources count; see `generation.guidance`.
        batch_rows: rows decoded together; each prompt has one per variant that guidance mixes.
        graphs: on a CUDA device, capture blocks that come again; see `generation.graphs`.

    Returns:
        int64 ids local to the modality, without class and end, one array per prompt;
        min_tokens <= length <= max_tokens.

    Raises:
        ValueError: the target is continuous, so there is nothing to sample; or the guidance is no
            number, or names what is no source.
    """
    draw = Draw(steps_of(model.vocabulary, target), sampling, variants_of(guidance))
    require_sources(guidance, prompts)
    lines = [_lines(model, prompt, draw) for prompt in prompts]
    # Rows of like length together: little padding.
    order = sorted(range(len(lines)), key=lambda i: (max(map(len, lines[i])), i))
    samples = max(1, batch_rows // len(draw.variants))
    results: list[IntArray] = [np.empty(0, np.int64)] * len(lines)
    with evaluating(model):
        for start in range(0, len(order), samples):
            chunk = order[start : start + samples]
            rows = [
                line for variant in zip(*(lines[i] for i in chunk), strict=True) for line in variant
            ]
            made = _block(model, rows, draw, uniforms_NT[chunk], graphs)
            for index, ids_T in zip(chunk, made, strict=True):
                results[index] = ids_T
    return results


def start_decoding(
    model: AnyToAny,
    prompts: Sequence[Sequence[Segment]],
    draw: Draw,
    uniforms_BT: Uniforms,
) -> Decoding:
    """Read the prompts of one batch; what is returned goes on step by step, under `evaluating`."""
    lines = [_lines(model, prompt, draw) for prompt in prompts]
    rows = [line for variant in zip(*lines, strict=True) for line in variant]
    return _started(model, rows, draw, uniforms_BT)


def _lines(model: AnyToAny, prompt: Sequence[Segment], draw: Draw) -> list[TokenRow]:
    """The prompt of each variant."""
    target = draw.steps.target
    return [
        build_row(model.vocabulary, variant.of(prompt), open_target=target)
        for variant in draw.variants
    ]


def _block(
    model: AnyToAny, rows: Sequence[TokenRow], draw: Draw, uniforms_BT: Uniforms, graphs: bool
) -> list[IntArray]:
    if graphs and captured.why_not(model, rows, draw) is None:
        return captured.generate_block(model, rows, draw, _on_device(model, uniforms_BT, draw))
    decoding = _started(model, rows, draw, uniforms_BT)
    decoding.run()
    return decoding.tokens()


def _started(
    model: AnyToAny, rows: Sequence[TokenRow], draw: Draw, uniforms_BT: Uniforms
) -> Decoding:
    encoded = encode(model, rows, len(draw.steps))
    return Decoding(model, draw, encoded, _on_device(model, uniforms_BT, draw))


def _on_device(model: AnyToAny, uniforms_BT: Uniforms, draw: Draw) -> Tensor:
    uniforms_TB = np.ascontiguousarray(uniforms_BT[:, : len(draw.steps)].T, dtype=np.float64)
    return torch.from_numpy(uniforms_TB).to(model.embedding.weight.device)
