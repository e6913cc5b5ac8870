"""Likelihood of every target under every source, each source computed once.

Scoring the S x G pairs as rows of their own computes every source G times; here its cache is handed
to all targets. S sources, G targets, T tokens of a target, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from loretta_framework.data.values import ValueSample
from loretta_framework.generation.decode import evaluating
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.rows import Segment, TokenRow, build_row

TARGETS_AT_ONCE = 256


def likelihood_matrix(
    model: AnyToAny, samples: Sequence[ValueSample], source: str, target: str
) -> NDArray[np.float64]:
    """float64 (S, G), log p(target of sample g | source of sample s) in nats; S = G samples."""
    targets = [
        build_row(model.vocabulary, [Segment(target, sample.tokens.tokens(target))])
        for sample in samples
    ]
    rows_SG = np.empty((len(samples), len(samples)))
    with evaluating(model):
        for place, sample in enumerate(samples):
            prompt = build_row(
                model.vocabulary,
                [Segment(source, sample.tokens.tokens(source))],
                open_target=target,
            )
            for start in range(0, len(targets), TARGETS_AT_ONCE):
                stop = start + TARGETS_AT_ONCE
                rows_SG[place, start:stop] = _under(model, prompt, targets[start:stop])
    return rows_SG


def _under(model: AnyToAny, prompt: TokenRow, targets: Sequence[TokenRow]) -> NDArray[np.float64]:
    """(G,) log-likelihoods of the targets after the prompt, whose last id opens the target."""
    device = model.embedding.weight.device
    given, wanted = collate([prompt]).to(device), collate(targets).to(device)
    before = len(prompt) - 1  # the target's rows bring the class id themselves
    cache = model.backbone.new_cache(1, before + wanted.ids_BT.shape[1])
    x_1TD = model.embed(given.ids_BT[:, :before], given.places_BT[:, :before], given.features)
    layout = replace(
        given.layout,
        documents_BT=given.layout.documents_BT[:, :before],
        positions_BT=given.layout.positions_BT[:, :before],
        cu_lengths=torch.tensor([0, before], dtype=torch.int32, device=device),
        max_length=before,
    )
    model.backbone.extend(x_1TD, layout, cache)
    shared = cache.select(torch.zeros(len(targets), dtype=torch.int64, device=device))
    layout = replace(wanted.layout, positions_BT=wanted.layout.positions_BT + before)
    x_GTD = model.embed(wanted.ids_BT, wanted.places_BT)
    nll_GT = model.nll(model.backbone.extend(x_GTD, layout, shared), wanted)
    nats_G: NDArray[np.float64] = (nll_GT.double() * wanted.weights_BT).sum(dim=1).cpu().numpy()
    return -nats_G
