"""Whether the sizes of a modality make sense: those that its settings promise, and stored ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

Form = Literal["discrete", "continuous"]

Sizes = tuple[tuple[int, int, int], tuple[range, ...]]
"""(vocab_size, min_tokens, max_tokens) and slots: all that decides what local ids mean."""


class Sized(Protocol):
    """`api.Bounds`, or a stored block of the vocabulary."""

    @property
    def vocab_size(self) -> int:
        """Number of ids, 0 when continuous."""

    @property
    def min_tokens(self) -> int:
        """Shortest content."""

    @property
    def max_tokens(self) -> int:
        """Longest content."""

    @property
    def slots(self) -> tuple[range, ...]:
        """The ids that are predicted at each place, () when all are."""


def require_sound(bounds: Sized, form: Form = "discrete") -> None:
    """Check that bounds do not contradict themselves or the form of their modality.

    Raises:
        ValueError: says what must be, and is not.
    """
    sizes = (bounds.vocab_size, bounds.min_tokens, bounds.max_tokens)
    if form == "continuous":
        if not (bounds.vocab_size == 0 and 1 <= bounds.min_tokens == bounds.max_tokens):
            raise ValueError(
                "bounds() of a continuous modality must have vocab_size 0 and one number of "
                f"vectors, min_tokens = max_tokens >= 1, but is {sizes}"
            )
    elif bounds.vocab_size < 1 or not 1 <= bounds.min_tokens <= bounds.max_tokens:
        raise ValueError(
            f"bounds() must have vocab_size >= 1 and 1 <= min_tokens <= max_tokens, but is {sizes}"
        )
    if not bounds.slots:
        return
    if not bounds.min_tokens == bounds.max_tokens == len(bounds.slots):
        raise ValueError(
            "bounds() must have a slot for each token of a fixed length, but has "
            f"{len(bounds.slots)} slots for {bounds.min_tokens}..{bounds.max_tokens} tokens"
        )
    for place, slot in enumerate(bounds.slots):
        if not slot or slot.step != 1 or slot.start < 0 or slot.stop > bounds.vocab_size:
            raise ValueError(
                f"slot {place} must be ids without a gap, at least one, within "
                f"0..{bounds.vocab_size - 1}, but is {slot}"
            )


def sizes_of(of: Sized) -> Sizes:
    """The sizes of bounds or of a block, to be compared."""
    return (of.vocab_size, of.min_tokens, of.max_tokens), tuple(of.slots)


def slots_text(slots: Sequence[range]) -> str:
    """Slots for messages, cut short when they are many."""
    text = ", ".join(f"{slot.start}..{slot.stop - 1}" for slot in slots) or "none"
    return text if len(text) <= 100 else f"{text[:97]}..."
