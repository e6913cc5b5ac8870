"""What is known of each position of a target before any of it is generated. Torch-free.

T positions of the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from loretta_framework.sequence.groups import id_groups, segment_groups
from loretta_framework.sequence.rows import place_table
from loretta_framework.sequence.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Steps:
    """The plan of a target's positions.

    Attributes:
        target: its modality.
        groups_T: id group of each position.
        shifts_T: what turns an index within that group into an id local to the modality; the end id
            becomes -1.
        content: global id of the local id 0.
        place: row of the position-in-segment table of the first content token.
        end_from: number of tokens from which the segment may end; None: its length is fixed.
    """

    target: str
    groups_T: tuple[int, ...]
    shifts_T: tuple[int, ...]
    content: int
    place: int
    end_from: int | None

    def __len__(self) -> int:
        """The most tokens the target may have."""
        return len(self.groups_T)


@lru_cache(maxsize=64)
def steps_of(vocabulary: Vocabulary, target: str) -> Steps:
    """The plan of a modality.

    Raises:
        ValueError: it is continuous, so there is nothing to sample.
    """
    block = vocabulary[target]
    if block.continuous:
        raise ValueError(f"'{target}' must be discrete to be generated, but is continuous")
    ranges = id_groups(vocabulary)
    groups_T = tuple(segment_groups(vocabulary, target)[: block.max_tokens].tolist())
    return Steps(
        target=target,
        groups_T=groups_T,
        shifts_T=tuple(ranges[group][0].start - block.content.start for group in groups_T),
        content=block.content.start,
        place=place_table(vocabulary)[target] + 1,
        end_from=block.min_tokens if block.variable else None,
    )
