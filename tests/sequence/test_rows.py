"""Segments to rows: targets, weights, groups and edges, for any segments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from loretta_framework.api.errors import PluginError
from loretta_framework.api.specs import Bounds
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.groups import id_groups
from loretta_framework.sequence.rows import (
    Segment,
    TokenRow,
    build_row,
    place_table,
    segment_ids,
)
from loretta_framework.sequence.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build(
    {"image": Bounds(8, 4, 4), "text": Bounds(5, 1, 6), "speech": Bounds(7, 2, 9)}
)


@st.composite
def segments(draw: st.DrawFn) -> list[Segment]:
    names = draw(st.lists(st.sampled_from(VOCABULARY.modalities), min_size=1, max_size=4))
    made = []
    for name in names:
        block = VOCABULARY[name]
        count = draw(st.integers(block.min_tokens, block.max_tokens))
        tokens = draw(
            st.lists(st.integers(0, block.vocab_size - 1), min_size=count, max_size=count)
        )
        weight = draw(st.sampled_from([0.0, 0.3, 1.0]))
        made.append(Segment(name, np.array(tokens, np.int64), weight))
    return made


@given(segments())
def test_a_row_is_the_sequence_shifted_by_one(made: list[Segment]) -> None:
    row = build_row(VOCABULARY, made)
    whole = np.concatenate([segment_ids(VOCABULARY[s.modality], s.content) for s in made])
    np.testing.assert_array_equal(row.ids_T, whole[:-1])
    np.testing.assert_array_equal(row.targets_T, whole[1:])


@given(segments())
def test_class_ids_are_never_targets_with_weight(made: list[Segment]) -> None:
    row = build_row(VOCABULARY, made)
    class_ids = {block.class_id for block in VOCABULARY.blocks}
    assert not class_ids & set(row.targets_T[row.weights_T > 0].tolist())


@given(segments())
def test_every_weighted_target_lies_in_its_group_and_has_an_edge(made: list[Segment]) -> None:
    row = build_row(VOCABULARY, made)
    groups = id_groups(VOCABULARY)
    for target, weight, group, edge in zip(
        row.targets_T.tolist(), row.weights_T, row.groups_T, row.edges_T, strict=True
    ):
        if weight > 0:
            assert any(target in ids for ids in groups[group])
            assert 0 <= edge < len(row.edges)
        else:
            assert edge == -1


@given(segments())
def test_weights_sum_to_the_predicted_tokens(made: list[Segment]) -> None:
    row = build_row(VOCABULARY, made)
    expected = sum(s.weight * (len(s.content) + int(VOCABULARY[s.modality].variable)) for s in made)
    assert float(row.weights_T.sum()) == pytest.approx(expected, rel=1e-6)


@given(segments(), st.sampled_from(VOCABULARY.modalities))
def test_a_prompt_keeps_every_id_as_input(made: list[Segment], target: str) -> None:
    row = build_row(VOCABULARY, made, open_target=target)
    whole = np.concatenate([segment_ids(VOCABULARY[s.modality], s.content) for s in made])
    np.testing.assert_array_equal(row.ids_T, [*whole, VOCABULARY[target].class_id])
    assert row.weights_T[-1] == 0


def test_edges_name_sources_and_target() -> None:
    made = [
        Segment("text", np.array([0, 1])),
        Segment("image", np.array([0, 1, 2, 3])),
        Segment("speech", np.array([0, 1]), 0.0),
    ]
    assert build_row(VOCABULARY, made).edges == ("->text", "text->image")


def test_places_start_anew_in_each_segment_and_never_meet() -> None:
    table = place_table(VOCABULARY)
    made = [Segment("text", np.array([0, 1])), Segment("image", np.array([0, 1, 2, 3]))]
    row = build_row(VOCABULARY, made)
    assert row.places_T.tolist() == [
        *range(table["text"], table["text"] + 4),
        *range(table["image"], table["image"] + 4),
    ]
    longest = [table[b.modality] + b.segment_length for b in VOCABULARY.blocks]
    assert longest == [table["text"], table["speech"], table[""]]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ([5], "tokens of 'text' must lie in 0..4, but lie in 5..5"),
        ([-1], "tokens of 'text' must lie in 0..4, but lie in -1..-1"),
        ([0] * 7, "'text' must have at most 6 tokens in one dimension, but has shape (7,)"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(tokens: list[int], words: str) -> None:
    with pytest.raises(ValueError, match="text") as caught:
        build_row(VOCABULARY, [Segment("text", np.array(tokens))])
    assert str(caught.value) == words


def some_row() -> TokenRow:
    """Of an objective, with 4 tokens of an image behind text of 2."""
    made = [Segment("text", np.array([0, 1])), Segment("image", np.array([0, 1, 2, 3]))]
    return build_row(VOCABULARY, made, "s", "odd")


@given(segments())
def test_rows_as_they_are_built_fit(made: list[Segment]) -> None:
    collate([build_row(VOCABULARY, made)], vocabulary=VOCABULARY)


def test_a_target_outside_its_group_is_the_objectives_fault() -> None:
    row = some_row()
    foreign = VOCABULARY["image"].content.start
    assert row.weights_T[0] > 0
    row.targets_T[0] = foreign
    with pytest.raises(PluginError, match=f"predicts id {foreign} in group ") as error:
        collate([row], vocabulary=VOCABULARY)
    assert "a row of the objective 'odd' must predict ids of their group" in str(error.value)
    row.weights_T[0] = 0
    collate([row], vocabulary=VOCABULARY)
    row.groups_T[1] = 99
    with pytest.raises(PluginError, match="must have groups in 0"):
        collate([row], vocabulary=VOCABULARY)


def test_features_that_do_not_match_the_row_are_the_objectives_fault() -> None:
    vocabulary = Vocabulary.build({"pulse": Bounds(0, 3, 3), "text": Bounds(5, 2, 2)})
    made = [Segment("pulse", np.zeros((3, 4), np.float32)), Segment("text", np.array([0, 1]))]
    row = build_row(vocabulary, made, "s", "odd")
    collate([row], vocabulary=vocabulary)
    for features, held in ((), 0), (row.features * 2, 6):
        sentence = (
            "a row of the objective 'odd' must hold a vector for each of the 3 feature ids of "
            f"'pulse', but holds {held}"
        )
        with pytest.raises(PluginError, match=sentence):
            collate([replace(row, features=features)], vocabulary=vocabulary)


def test_a_sequence_needs_a_segment() -> None:
    with pytest.raises(ValueError, match="at least one segment"):
        build_row(VOCABULARY, [])
