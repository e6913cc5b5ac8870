"""Classifier-free guidance: the logits of several prompts mixed into one distribution.

    logits = u + sum_i w_i (c_i - u) = (1 - sum_i w_i) u + sum_i w_i c_i

c_i: logits after the prompt with condition i, u: after the prompt without any (Ho and Salimans,
2022, arXiv 2207.12598; several weighted conditions as in 4M, arXiv 2312.06647). A prompt whose
factor is 0 is not computed, so that weight 1 on one condition is plain generation, exactly.

The prompt without a source is the class id of the target alone, which training knows: every
modality also comes first in sequences.

B prompts, V variants of each, R = V x B rows (variant by variant), G ids of a group.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from loretta_framework.sequence.rows import Segment

Guidance: TypeAlias = "float | Mapping[str, float]"
"""One weight: all sources are one condition, and nothing is given without it. Or a weight per source
modality: each is a condition of its own; sources that are not named stand in all the prompts."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One of the prompts that are mixed.

    Attributes:
        factor: of its logits; the factors sum to 1.
        without: modalities whose segments are left out; None: all.
    """

    factor: float
    without: frozenset[str] | None

    def of(self, prompt: Sequence[Segment]) -> list[Segment]:
        """What is left of a prompt."""
        if self.without is None:
            return []
        return [segment for segment in prompt if segment.modality not in self.without]


PLAIN_VARIANT = (Variant(1.0, frozenset()),)
"""No guidance."""


def variants_of(guidance: Guidance | None) -> tuple[Variant, ...]:
    """The prompts to mix.

    Raises:
        ValueError: a weight is not finite, or there is none.
    """
    if guidance is None:
        return PLAIN_VARIANT
    weights = dict(guidance) if isinstance(guidance, Mapping) else {"": guidance}
    for name, weight in weights.items():
        if not math.isfinite(weight):
            of = f" of '{name}'" if name else ""
            raise ValueError(f"the guidance{of} must be finite, but is {weight}")
    if not weights:
        raise ValueError("guidance must have a weight for at least one source, but has none")
    if isinstance(guidance, Mapping):
        named = frozenset(weights)
        found = [Variant(weight, named - {name}) for name, weight in weights.items()]
        base: frozenset[str] | None = named
    else:
        found, base = [Variant(guidance, frozenset())], None
    mixed = [*found, Variant(1.0 - sum(weights.values()), base)]
    return tuple(variant for variant in mixed if variant.factor != 0)


def require_sources(guidance: Guidance | None, prompts: Sequence[Sequence[Segment]]) -> None:
    """Check that what is guided by is there.

    Raises:
        ValueError: a prompt lacks a source that has a weight, or has no source at all.
    """
    if guidance is None:
        return
    wanted = set(guidance) if isinstance(guidance, Mapping) else set()
    for prompt in prompts:
        missing = sorted(wanted - {segment.modality for segment in prompt})
        if missing:
            raise ValueError(f"guidance must name sources, but '{missing[0]}' is none")
        if not prompt:
            raise ValueError("guidance must have a source to be guided by, but there is none")


def mix(logits_RG: Tensor, variants: Sequence[Variant]) -> Tensor:
    """(R, G) logits of all variants -> (B, G) mixed."""
    if len(variants) == 1:
        return logits_RG
    parts = logits_RG.view(len(variants), -1, logits_RG.shape[-1]).unbind(0)
    mixed_BG: Tensor = parts[0] * variants[0].factor
    for part_BG, variant in zip(parts[1:], variants[1:], strict=True):
        mixed_BG = mixed_BG.add_(part_BG, alpha=variant.factor)
    return mixed_BG
