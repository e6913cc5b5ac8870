"""Settings of the transitive step: how stale segments may be, former names, how they are sampled."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from loretta_framework.objectives.context import ObjectiveContext
from loretta_framework.objectives.settings import TransitiveSettings
from loretta_framework.objectives.transitive import Transitive
from loretta_framework.testing.small_models import small_graph, small_sample, small_vocabulary

REFUSED = [
    ({"max_stale": 0, "overlap": True}, "max_stale must be at least 1 with overlap, but is 0"),
    ({"reuse": 2, "reuse_k": 2}, "reuse is the former name of reuse_k .* but both are given"),
    ({"max_stale": -1}, "greater than or equal to 0"),
    ({"temperature": {"image": -0.5}}, "greater than or equal to 0"),
    ({"top_p": 0.0}, "greater than 0"),
    ({"min_p": 1.5}, "less than or equal to 1"),
]


@pytest.mark.parametrize(("settings", "words"), REFUSED)
def test_what_cannot_hold_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TransitiveSettings(**settings)


@given(every=st.integers(1, 40), stale=st.none() | st.integers(0, 40), overlap=st.booleans())
def test_the_period_is_the_longest_that_keeps_segments_fresh_enough(
    every: int, stale: int | None, overlap: bool
) -> None:
    if overlap and stale == 0:
        return
    period = TransitiveSettings(every=every, max_stale=stale, overlap=overlap).schedule().every

    def oldest(steps: int) -> int:
        return steps - 1 + overlap

    assert 1 <= period <= every
    assert stale is None or oldest(period) <= stale
    assert period == every or (stale is not None and oldest(period + 1) > stale)


def test_the_former_name_has_the_same_meaning() -> None:
    former = TransitiveSettings.model_validate_json('{"reuse": 3}')
    assert former == TransitiveSettings(reuse_k=3)
    assert former.model_dump()["reuse_k"] == 3
    with pytest.raises(ValidationError, match="reuse_k"):
        TransitiveSettings.model_validate_json('{"reuse": 0}')


def test_modalities_are_named_by_temperatures_alone() -> None:
    assert TransitiveSettings().modalities_named() == {}
    named = TransitiveSettings(temperature={"image": 0.7}).modalities_named()
    assert named == {"temperature": ["image"]}


def test_how_to_sample_reaches_the_rollout() -> None:
    seen: list[Any] = []

    def roll(requests: Any, *given: Any, **more: Any) -> Any:
        seen.append((given, more))
        return [small_sample(0, "image").tokens("image") for _ in requests]

    bridges = small_graph().bridges()
    here = ObjectiveContext(small_vocabulary(), bridges, 0, "transitive", roll, lambda _: None)
    settings = TransitiveSettings(
        temperature={"image": 0.7}, top_k=3, top_p=0.9, min_p=0.1, generator="average"
    )
    Transitive(settings, here).sequences([small_sample(0, "text", "speech")], here)
    assert seen == [(({"image": 0.7}, 3, True), {"top_p": 0.9, "min_p": 0.1})]
