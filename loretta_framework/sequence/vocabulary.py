"""One joint id table: a block of ids per modality, disjoint by construction and append-only.

Order of ids: padding, the reserved specials of causal masking, then one block per modality in the
order in which modalities were added:

    class id | end id (only where the length varies) | content ids

A continuous modality has one content id, which holds the places of its vectors in a row: an input,
never a target.

A block never moves: a modality that is added later goes behind all that exist, so a table of
embeddings grows in place. Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from loretta_framework.api.errors import Problem, RecipeError
from loretta_framework.api.specs import Bounds
from loretta_framework.sequence.bounds import require_sound as require_sound, sizes_of, slots_text

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
        vocab_size: number of content ids; 0 when continuous.
        min_tokens: shortest content.
        max_tokens: longest content.
        slots: for each place of the content the local ids that can be predicted there; () when all
            can, everywhere.
    """

    modality: str
    start: int
    vocab_size: int
    min_tokens: int
    max_tokens: int
    slots: tuple[range, ...] = ()

    @property
    def class_id(self) -> int:
        """The id that opens every segment of this modality. Never a target."""
        return self.start

    @property
    def variable(self) -> bool:
        """Whether segments vary in length and so close with an end id."""
        return self.min_tokens != self.max_tokens

    @property
    def continuous(self) -> bool:
        """Whether its segments are vectors: inputs alone, never predicted or generated."""
        return self.vocab_size == 0

    @property
    def end_id(self) -> int | None:
        """The id that closes a segment, None where the length is fixed."""
        return self.start + 1 if self.variable else None

    @property
    def content(self) -> range:
        """The global ids of the content; of a continuous modality its feature id alone."""
        first = self.start + (2 if self.variable else 1)
        return range(first, first + max(self.vocab_size, 1))

    @property
    def targets(self) -> range:
        """The global ids that are predicted: content, and end where there is one."""
        return range(self.start + 1, self.content.start + self.vocab_size)

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

    def __hash__(self) -> int:
        # What is laid out once for a vocabulary is looked up for every row, and a hash of all
        # blocks, perhaps with hundreds of slots, takes longer than laying out anew.
        return self.blocks[-1].start if self.blocks else 0

    @classmethod
    def build(cls, bounds: Mapping[str, Bounds], previous: Vocabulary | None = None) -> Vocabulary:
        """Allocate blocks; with `previous`, keep its blocks where they are and append the new.

        Raises:
            RecipeError: bounds contradict themselves; or a modality of `previous` is gone or its
                bounds changed, which would give old ids a new meaning.
        """
        blocks = list(previous.blocks) if previous else []
        problems = [p for name, bound in bounds.items() for p in _faults(name, bound)]
        problems += [p for block in blocks for p in _clash(block, bounds.get(block.modality))]
        if problems:
            raise RecipeError(problems)
        start = blocks[-1].stop if blocks else FIRST_BLOCK
        known = {block.modality for block in blocks}
        for name, bound in bounds.items():
            if name in known:
                continue
            sizes, slots = sizes_of(bound)
            block = Block(name, start, *sizes, slots)
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

    @property
    def inputs(self) -> frozenset[str]:
        """The continuous modalities: given to the model, never predicted or generated."""
        return frozenset(block.modality for block in self.blocks if block.continuous)

    def __getitem__(self, modality: str) -> Block:
        for block in self.blocks:
            if block.modality == modality:
                return block
        raise KeyError(modality)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain data for a checkpoint; slots as [start, stop], left out where there are none."""
        return [_to_json(block) for block in self.blocks]

    @classmethod
    def from_json(cls, data: Sequence[Mapping[str, Any]]) -> Vocabulary:
        """Read `to_json`'s data back and check that no two blocks share an id.

        Raises:
            RecipeError: two blocks overlap, a block reaches into the reserved ids, or its sizes
                contradict each other.
        """
        vocabulary = cls(tuple(_from_json(item) for item in data))
        vocabulary.require_disjoint()
        problems = [p for block in vocabulary.blocks for p in _faults(block.modality, block)]
        if problems:
            raise RecipeError(problems)
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


def _to_json(block: Block) -> dict[str, Any]:
    data = asdict(block)
    slots = [[slot.start, slot.stop] for slot in data.pop("slots")]
    return data | ({"slots": slots} if slots else {})


def _from_json(data: Mapping[str, Any]) -> Block:
    slots = tuple(range(start, stop) for start, stop in data.get("slots", ()))
    return Block(**{**data, "slots": slots})


def _faults(name: str, bounds: Bounds | Block) -> list[Problem]:
    try:
        require_sound(bounds, "discrete" if bounds.vocab_size else "continuous")
    except ValueError as error:
        return [Problem(str(error), f"modalities.{name}", "use another version of its plugin")]
    return []


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
    fix = "give the changed tokenizer another modality name, or start a new run"
    (had, had_slots), (has, has_slots) = sizes_of(block), sizes_of(bound)
    problems = []
    if had != has:
        what = f"vocab_size, min_tokens, max_tokens must stay {had}, but are {has}"
        problems.append(Problem(what, where, fix))
    if had_slots != has_slots:
        what = f"slots must stay {slots_text(had_slots)}, but are {slots_text(has_slots)}"
        problems.append(Problem(what, where, fix))
    return problems
