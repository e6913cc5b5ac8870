"""A draw is a function of its key."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from loretta_framework.api.random import generator, key

PART = st.one_of(st.text(max_size=5), st.integers())


@given(st.lists(PART, max_size=4), st.lists(PART, max_size=4))
def test_keys_are_equal_only_for_equal_parts(a: list[str | int], b: list[str | int]) -> None:
    assert (key(*a) == key(*b)) == (a == b)
    assert 0 <= key(*a) < 2**128


def test_types_and_borders_of_parts_count() -> None:
    assert key(1) != key("1")
    assert key("ab", "c") != key("a", "bc")
    assert key("a") != key("a", "")


def test_a_key_is_the_same_in_every_release() -> None:
    # Checkpoints rely on it: a change here is a DATA ORDER change.
    assert key("a", 1) == 58149239988536080028872829363149422355
    assert generator(7, "order", 3, "k").integers(0, 1000, 5).tolist() == [464, 918, 981, 223, 754]


def test_a_draw_depends_on_the_key_alone() -> None:
    first = generator(0, "order", 5)
    generator(0, "order", 4).random(100)
    assert np.array_equal(first.random(10), generator(0, "order", 5).random(10))
    assert not np.array_equal(generator(0, "a").random(10), generator(0, "b").random(10))
    assert not np.array_equal(generator(0, "a").random(10), generator(1, "a").random(10))


@pytest.mark.parametrize("part", [1.0, None, b"x", (1,)])
def test_other_types_are_refused(part: object) -> None:
    with pytest.raises(TypeError, match="a key part must be str or int, but is"):
        key("a", part)  # type: ignore[arg-type]
