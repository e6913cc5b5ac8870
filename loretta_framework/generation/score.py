"""Log-likelihoods of given rows, in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loretta_framework.generation.decode import evaluating
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.rows import TokenRow


@dataclass(frozen=True, slots=True)
class RowScore:
    """What a row cost.

    Attributes:
        nats: sum of weight x -log p(target).
        tokens: sum of weights.
    """

    nats: float
    tokens: float


def score_rows(
    model: AnyToAny, rows: Sequence[TokenRow], batch_tokens: int = 16384
) -> list[RowScore]:
    """Score each row; order is kept.

    Args:
        model: put into evaluation mode meanwhile.
        rows: only positions with a weight count; give condition segments the weight 0.
        batch_tokens: tokens computed at once, padding included.
    """
    scores: list[RowScore] = [RowScore(0.0, 0.0)] * len(rows)
    device = model.embedding.weight.device
    with evaluating(model):
        for chunk in _chunks(rows, batch_tokens):
            batch = collate([rows[i] for i in chunk]).to(device)
            nats_B = (model(batch).nll_BT.double() * batch.weights_BT).sum(dim=1).tolist()
            tokens_B = batch.weights_BT.double().sum(dim=1).tolist()
            for index, nats, tokens in zip(chunk, nats_B, tokens_B, strict=True):
                scores[index] = RowScore(nats, tokens)
    return scores


def _chunks(rows: Sequence[TokenRow], batch_tokens: int) -> Iterator[list[int]]:
    chunk: list[int] = []
    for index in sorted(range(len(rows)), key=lambda i: (len(rows[i]), i)):
        if chunk and (len(chunk) + 1) * len(rows[index]) > batch_tokens:
            yield chunk
            chunk = []
        chunk.append(index)
    if chunk:
        yield chunk
