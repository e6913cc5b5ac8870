"""What plugins import: complete, lazy, strict."""

from __future__ import annotations

import subprocess
import sys

import pydantic
import pytest

from loretta_framework import api
from loretta_framework.api.settings import ModalitySettings, ObjectiveSettings, Settings
from loretta_framework.api.specs import Bounds, LazyReference


@pytest.mark.parametrize("name", api.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert getattr(api, name) is not None


def test_an_absent_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Tokeniser'"):
        _ = api.Tokeniser


def test_importing_it_is_light() -> None:
    script = (
        "import sys, loretta_framework.api; print([m for m in sys.argv[1:] if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "torch", "pydantic", "numpy", "pluggy"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


class Some(Settings):
    size: int = 1
    rate: float = 0.5


def test_settings_are_strict_and_frozen() -> None:
    for wrong in ({"size": "1"}, {"size": 1.0}, {"rate": float("nan")}, {"unknown": 1}):
        with pytest.raises(pydantic.ValidationError):
            Some(**wrong)  # type: ignore[arg-type]
    with pytest.raises(pydantic.ValidationError):
        Some().size = 2


def test_defaults_of_base_classes() -> None:
    schedule = ObjectiveSettings().schedule()
    assert (schedule.start, schedule.every) == (0.0, 1)
    with pytest.raises(NotImplementedError):
        ModalitySettings().bounds()


@pytest.mark.parametrize("text", ["", "module", "module:", ":attribute"])
def test_a_reference_names_module_and_attribute(text: str) -> None:
    with pytest.raises(ValueError, match="must be 'module:attribute'"):
        LazyReference.parse(text)


def test_a_reference_resolves() -> None:
    reference = LazyReference.parse("loretta_framework.api.specs:Bounds")
    assert str(reference) == "loretta_framework.api.specs:Bounds"
    assert reference.resolve() is Bounds


def test_fixed_length() -> None:
    assert Bounds(4, 3, 3).fixed_length
    assert not Bounds(4, 1, 3).fixed_length
