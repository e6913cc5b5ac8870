"""Ids are disjoint, stable when modalities are added, and clashes are refused."""

from __future__ import annotations

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
tables = st.dictionaries(st.sampled_from("abcdefgh"), bounds, min_size=1)


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
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


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
