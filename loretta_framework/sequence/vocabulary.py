"""One joint id table: a block of ids per modality, disjoint by construction and append-only.

Order of ids: padding, the reserved specials of causal masking, then one block per modality in the
order in which modalities were added:

    class id | end id (only where the length varies) | content ids

A block never moves: a modality that is added later goes behind all that exist, so a table of
embeddings grows in place. Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loretta_framework.api.errors import Problem, RecipeError
from loretta_framework.api.specs import Bounds

PAD_ID = 0
"""Fills positions that hold no token; never a target."""

NUM_SENTINELS = 16
"""Span markers kept for causal masking (CM3), shared by all modalities."""

SENTINELS_START = 1
INFILL_END_ID = SENTINELS_START + NUM_SENTINELS
"""Closes a moved span in a causally masked sequence."""

FIRST_BLOCK = INFILL_END_ID + 1


@dataclass(frozen=True, slots=True)
class Block:
    """The ids of one modality.

    Attributes:
        modality: its name in the recipe.
        start: first id, which is the class id.
        vocab_size: number of content ids.
        min_tokens: shortest content.
        max_tokens: longest content.
    """

    modality: str
    start: int
    vocab_size: int
    min_tokens: int
    max_tokens: int

    @property
    def class_id(self) -> int:
        """The id that opens every segment of this modality. Never a target."""
        return self.start

    @property
    def variable(self) -> bool:
        """Whether segments vary in length and so close with an end id."""
        return self.min_tokens != self.max_tokens

    @property
    def end_id(self) -> int | None:
        """The id that closes a segment, None where the length is fixed."""
        return self.start + 1 if self.variable else None

    @property
    def content(self) -> range:
        """The global ids of the content."""
        first = self.start + (2 if self.variable else 1)
        return range(first, first + self.vocab_size)

    @property
    def targets(self) -> range:
        """The global ids that can occur after the class id: content, and end where there is one."""
        return range(self.start + 1, self.content.stop)

    @property
    def stop(self) -> int:
        """One past the last id."""
        return self.content.stop

    @property
    def segment_length(self) -> int:
        """Longest segment with class id and end id."""
        return self.max_tokens + (2 if self.variable else 1)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All blocks of a model, in order of addition."""

    blocks: tuple[Block, ...]

    @classmethod
    def build(cls, bounds: Mapping[str, Bounds], previous: Vocabulary | None = None) -> Vocabulary:
        """Allocate blocks; with `previous`, keep its blocks where they are and append the new.

        Raises:
            RecipeError: a modality of `previous` is gone or its bounds changed; that would give
                old ids a new meaning.
        """
        blocks = list(previous.blocks) if previous else []
        problems = [p for block in blocks for p in _clash(block, bounds.get(block.modality))]
        if problems:
            raise RecipeError(problems)
        start = blocks[-1].stop if blocks else FIRST_BLOCK
        known = {block.modality for block in blocks}
        for name, bound in bounds.items():
            if name in known:
                continue
            block = Block(name, start, bound.vocab_size, bound.min_tokens, bound.max_tokens)
            blocks.append(block)
            start = block.stop
        return cls(tuple(blocks))

    @property
    def size(self) -> int:
        """Number of ids."""
        return self.blocks[-1].stop if self.blocks else FIRST_BLOCK

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names in order of addition."""
        return tuple(block.modality for block in self.blocks)

    def __getitem__(self, modality: str) -> Block:
        for block in self.blocks:
            if block.modality == modality:
                return block
        raise KeyError(modality)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain data for a checkpoint."""
        return [asdict(block) for block in self.blocks]

    @classmethod
    def from_json(cls, data: Sequence[Mapping[str, Any]]) -> Vocabulary:
        """Read `to_json`'s data back and check that no two blocks share an id.

        Raises:
            RecipeError: two blocks overlap, or a block reaches into the reserved ids.
        """
        vocabulary = cls(tuple(Block(**item) for item in data))
        vocabulary.require_disjoint()
        return vocabulary

    def require_disjoint(self) -> None:
        """Raise `RecipeError` when two blocks share an id, or a block lies in the reserved ids."""
        stop, owner = FIRST_BLOCK, "the reserved ids"
        for block in sorted(self.blocks, key=lambda block: block.start):
            if block.start < stop:
                clash = f"class id {block.start} of '{block.modality}' lies inside {owner}"
                raise RecipeError(
                    [Problem(clash, "vocabulary", "id ranges must be disjoint; rebuild the plan")]
                )
            stop, owner = (
                block.stop,
                f"the ids {block.start}..{block.stop - 1} of '{block.modality}'",
            )


def _clash(block: Block, bound: Bounds | None) -> list[Problem]:
    where = f"modalities.{block.modality}"
    if bound is None:
        return [
            Problem(
                f"ids {block.start}..{block.stop - 1} belong to '{block.modality}', which the recipe lacks",
                where,
                "keep the modality; ids are never given to another one",
            )
        ]
    had = (block.vocab_size, block.min_tokens, block.max_tokens)
    has = (bound.vocab_size, bound.min_tokens, bound.max_tokens)
    if had == has:
        return []
    return [
        Problem(
            f"vocab_size, min_tokens, max_tokens must stay {had}, but are {has}",
            where,
            "give the changed tokenizer another modality name, or start a new run",
        )
    ]
