"""What the conformance kit cannot know: which part stands where, and with what weight."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from loretta_framework.api import TokenizedSample, UserError
from pydantic import ValidationError

from loretta_plugin_template.objective import OneDirection
from loretta_plugin_template.settings import OneDirectionSettings

NAMES = ("text", "image", "speech")
CONTEXT: Any = SimpleNamespace(
    task="a task",
    vocabulary=SimpleNamespace(modalities=NAMES),
    row=lambda segments, sample: [(part.modality, part.weight) for part in segments],
)


def rows(*names: str, ordered: bool = False, **settings: Any) -> list[Any]:
    parts = tuple((name, np.zeros(2, np.int64)) for name in names)
    sample = TokenizedSample("set/0", parts, ordered=ordered)
    objective = OneDirection(OneDirectionSettings(**settings), CONTEXT)
    return list(objective.sequences([sample], CONTEXT))


def test_the_given_come_first_and_have_no_weight() -> None:
    (row,) = rows(*NAMES, given=["speech"], weights={"text": 0.5})
    assert row == [("speech", 0.0), ("text", 0.5), ("image", 1.0)]


def test_an_order_that_has_a_meaning_is_kept() -> None:
    (row,) = rows(*NAMES, ordered=True, given=["speech"])
    assert row == [("text", 1.0), ("image", 1.0), ("speech", 0.0)]


def test_a_sample_with_nothing_to_predict_has_no_row() -> None:
    assert rows("image", given=["image"]) == []


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match="must name modalities of the recipe, but name 'smell'"):
        rows("image", given=["smell"])
    with pytest.raises(ValidationError, match="must not name what is given, but names image"):
        OneDirectionSettings(given=["image"], weights={"image": 1.0})
