"""Ids are disjoint, stable when modalities are added, and clashes are refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, strategies as st

from loretta_framework.api.errors import RecipeError
from loretta_framework.api.specs import Bounds
from loretta_framework.sequence.vocabulary import FIRST_BLOCK, Block, Vocabulary

bounds = st.builds(
    lambda size, least, more: Bounds(size, least, least + more),
    st.integers(1, 300),
    st.integers(1, 20),
    st.integers(0, 20),
)


@st.composite
def slotted(draw: st.DrawFn) -> Bounds:
    size = draw(st.integers(1, 40))
    ends = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1))
    slots = draw(st.lists(ends.map(lambda e: range(min(e), max(e) + 1)), min_size=1, max_size=9))
    return Bounds(size, len(slots), len(slots), tuple(slots))


tables = st.dictionaries(st.sampled_from("abcdefgh"), bounds | slotted(), min_size=1)


@given(tables)
def test_blocks_are_disjoint_and_cover_the_ids(table: dict[str, Bounds]) -> None:
    vocabulary = Vocabulary.build(table)
    owned = [i for b in vocabulary.blocks for i in range(b.start, b.stop)]
    assert owned == list(range(FIRST_BLOCK, vocabulary.size))
    for block in vocabulary.blocks:
        assert len(block.content) == table[block.modality].vocab_size
        assert block.class_id not in block.targets
        assert (block.end_id in block.targets) == block.variable
    vocabulary.require_disjoint()


@given(tables, tables)
def test_adding_modalities_moves_nothing(first: dict[str, Bounds], more: dict[str, Bounds]) -> None:
    old = Vocabulary.build(first)
    new = Vocabulary.build({**more, **first}, previous=old)
    assert new.blocks[: len(old.blocks)] == old.blocks
    assert set(new.modalities) == set(first) | set(more)


@given(tables)
def test_json_gives_it_back(table: dict[str, Bounds]) -> None:
    vocabulary = Vocabulary.build(table)
    assert Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json()))) == vocabulary
    for block in vocabulary.blocks:
        assert block.slots == table[block.modality].slots


def test_a_vocabulary_without_slots_is_stored_as_it_always_was() -> None:
    stored = [
        {"modality": "text", "start": 18, "vocab_size": 5, "min_tokens": 1, "max_tokens": 6},
    ]
    assert Vocabulary.build({"text": Bounds(5, 1, 6)}).to_json() == stored
    assert Vocabulary.from_json(stored)["text"].slots == ()


SLOTS = (range(2), range(2, 5))


@pytest.mark.parametrize(
    ("nonsense", "words"),
    [
        (
            Bounds(5, 2, 2, SLOTS[:1]),
            "a slot for each token of a fixed length, but has 1 slots for",
        ),
        (Bounds(5, 1, 2, SLOTS), "a slot for each token of a fixed length, but has 2 slots for 1"),
        (Bounds(4, 2, 2, SLOTS), r"slot 1 must be ids .* within 0\.\.3, but is range\(2, 5\)"),
        (
            Bounds(5, 2, 2, (range(-1, 2), range(2, 5))),
            r"slot 0 must be ids .* but is range\(-1, 2",
        ),
        (Bounds(5, 2, 2, (range(2), range(3, 3))), r"slot 1 must be ids .* but is range\(3, 3"),
        (
            Bounds(5, 2, 2, (range(0, 4, 2), range(2))),
            r"slot 0 must be ids without a gap, at least",
        ),
        (Bounds(0, 2, 3), r"continuous modality must have .* one number of .* but is \(0, 2, 3\)"),
        (Bounds(0, 1, 1, (range(1),)), r"slot 0 must be ids .* but is range\(0, 1\)"),
        (Bounds(5, 3, 2), r"1 <= min_tokens <= max_tokens, but is \(5, 3, 2\)"),
        (Bounds(-1, 1, 2), r"vocab_size >= 1 and .* but is \(-1, 1, 2\)"),
    ],
)
def test_bounds_that_contradict_themselves_are_refused(nonsense: Bounds, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        Vocabulary.build({"text": Bounds(5, 1, 6), "panel": nonsense})
    assert caught.value.problems[0].where == "modalities.panel"


def test_stored_slots_that_contradict_the_block_are_refused() -> None:
    stored = Vocabulary.build({"panel": Bounds(5, 2, 2, SLOTS)}).to_json()
    stored[0]["slots"][1] = [2, 6]
    with pytest.raises(RecipeError, match="slot 1 must be ids without a gap"):
        Vocabulary.from_json(stored)


def test_changed_slots_are_refused() -> None:
    old = Vocabulary.build({"panel": Bounds(5, 2, 2, SLOTS)})
    assert Vocabulary.build({"panel": Bounds(5, 2, 2, SLOTS)}, previous=old) == old
    with pytest.raises(
        RecipeError, match=r"slots must stay 0\.\.1, 2\.\.4, but are none"
    ) as caught:
        Vocabulary.build({"panel": Bounds(5, 2, 2)}, previous=old)
    assert caught.value.exit_code == 2


def test_a_modality_that_vanished_is_refused() -> None:
    old = Vocabulary.build({"image": Bounds(8, 4, 4), "text": Bounds(5, 1, 6)})
    with pytest.raises(RecipeError, match="belong to 'image', which the recipe lacks") as caught:
        Vocabulary.build({"text": Bounds(5, 1, 6)}, previous=old)
    assert caught.value.exit_code == 2
    assert caught.value.problems[0].where == "modalities.image"


def test_changed_bounds_are_refused() -> None:
    old = Vocabulary.build({"text": Bounds(5, 1, 6)})
    with pytest.raises(RecipeError, match=r"must stay \(5, 1, 6\), but are \(9, 1, 6\)"):
        Vocabulary.build({"text": Bounds(9, 1, 6)}, previous=old)


@pytest.mark.parametrize("start", [0, FIRST_BLOCK - 1, FIRST_BLOCK + 3])
def test_overlapping_ranges_are_refused(start: int) -> None:
    blocks = [Block("image", FIRST_BLOCK, 8, 4, 4), Block("text", start, 5, 1, 6)]
    data = Vocabulary(tuple(blocks)).to_json()
    with pytest.raises(RecipeError, match=f"class id {start} of 'text' lies inside") as caught:
        Vocabulary.from_json(data)
    assert caught.value.exit_code == 2
