"""What travels from a loader process arrives as it left."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from loretta_framework.api import errors
from loretta_framework.api.errors import DamagedSampleError, ShardError
from loretta_framework.data.decode import BadRow
from loretta_framework.data.loading.transport import StepResult, pack, unpack
from loretta_framework.sequence.rows import TokenizedSample

any_text = st.text(st.characters(), max_size=8)
names = st.sampled_from(["image", "text", "Sprache", "é"]) | any_text
whole_numbers = st.integers(-(1 << 63), (1 << 63) - 1)


@st.composite
def results(draw: Any) -> StepResult:
    bound = draw(st.sampled_from([1 << bits for bits in (0, 7, 8, 15, 16, 31, 32, 63)]))
    low = draw(st.sampled_from([0, -bound]))
    ids = st.lists(st.integers(low, bound - 1), max_size=5)
    parts = st.lists(st.tuples(names, ids.map(lambda v: np.array(v, dtype=np.int64))), max_size=3)
    sample = st.builds(
        TokenizedSample, any_text, parts.map(tuple), whole_numbers, st.booleans(), st.none() | names
    )
    tasks = st.dictionaries(names, st.lists(sample, max_size=4), max_size=3)
    bad = st.lists(st.builds(BadRow, any_text, any_text, any_text, any_text), max_size=2)
    return StepResult(draw(tasks), draw(bad))


def plain(result: StepResult) -> Any:
    return (
        [
            (task, s.key, s.position, s.ordered, s.label, [(n, i.tolist()) for n, i in s.parts])
            for task, samples in result.samples.items()
            for s in samples
        ],
        list(result.samples),
        result.bad,
    )


@given(results())
def test_a_step_arrives_as_it_left(result: StepResult) -> None:
    found = unpack(pack(result))
    assert plain(found) == plain(result)
    assert found.error is None
    for samples in found.samples.values():
        for sample in samples:
            assert type(sample.position) is int
            assert type(sample.ordered) is bool
            assert all(ids.dtype == np.int64 for _, ids in sample.parts)


@pytest.mark.parametrize(("largest", "each"), [(255, 1), (256, 2), (65_536, 4), (1 << 32, 8)])
def test_tokens_travel_in_the_smallest_integers(largest: int, each: int) -> None:
    def size(count: int) -> int:
        ids = np.full(count, largest, dtype=np.int64)
        return len(pack(StepResult({"causal": [TokenizedSample("a/b", (("text", ids),))]})))

    assert size(3000) - size(1000) == 2000 * each


OURS = ("LorettaError", "UserError", "ShardError", "InputError", "TrainingError", "PluginError")


@pytest.mark.parametrize("kind", OURS)
def test_our_errors_arrive_with_their_kind_and_text(kind: str) -> None:
    known = getattr(errors, kind)
    found = unpack(pack(StepResult({}, [], known("what", where="here", fix="mend it")))).error
    assert type(found) is known
    assert str(found) == "here: what\n  -> mend it"
    assert not hasattr(found, "__notes__")


def test_an_error_with_more_than_texts_arrives_as_the_kind_above_it() -> None:
    left = DamagedSampleError("what", member="image.png", where="here", fix="mend it")
    found = unpack(pack(StepResult({}, [BadRow("a", "b", "c", "d")], left)))
    assert type(found.error) is ShardError
    assert str(found.error) == str(left)
    assert found.bad == [BadRow("a", "b", "c", "d")]


class OfAPlugin(NameError):
    def __init__(self, one: object, two: object) -> None:
        super().__init__(f"{one} and {two}")


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_a_bug_arrives_with_the_place_it_was_raised_at() -> None:
    for left, kind in (
        (OfAPlugin(1, 2), NameError),
        (AttributeError("1 and 2"), AttributeError),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "1 and 2"), RuntimeError),
    ):
        found = unpack(pack(StepResult({}, [], _raised(left)))).error
        assert type(found) is kind
        assert "1 and 2" in str(found)
        assert "_raised" in "".join(found.__notes__)
