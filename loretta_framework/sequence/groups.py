"""Which ids can occur at a position: the groups over which logits are computed.

Group i (0 <= i < M) is what follows in a segment of the i-th modality of the vocabulary: its
content and, where the length varies, its end id. Group M + i is what follows in a moved span of
that modality (causal masking): its content and the end-of-infill id. Torch-free.
"""

from __future__ import annotations

from loretta_framework.sequence.vocabulary import INFILL_END_ID, Vocabulary

IdGroup = tuple[range, ...]
"""Disjoint ranges of global ids; local indices count through them in order."""


def id_groups(vocabulary: Vocabulary) -> tuple[IdGroup, ...]:
    """All groups, 2 M of them; see the module's docstring."""
    plain = tuple((block.targets,) for block in vocabulary.blocks)
    infill = tuple(
        (range(INFILL_END_ID, INFILL_END_ID + 1), block.content) for block in vocabulary.blocks
    )
    return plain + infill


def segment_group(vocabulary: Vocabulary, modality: str) -> int:
    """Group of the targets in a segment of `modality`."""
    return vocabulary.modalities.index(modality)


def infill_group(vocabulary: Vocabulary, modality: str) -> int:
    """Group of the targets in a moved span of `modality`."""
    return len(vocabulary.blocks) + vocabulary.modalities.index(modality)
