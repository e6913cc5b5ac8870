"""Files of the modality that `loretta plugins new` writes: exact, and safe to read."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from loretta_framework.testing.scaffold import PluginName, package_files


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the scaffolded modality."""
    source = package_files("modality", PluginName("tide"))["src/loretta_plugin_tide/levels.py"]
    module = ModuleType("levels_of_the_template")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # pydantic looks annotations up there
    exec(compile(source, "levels.py", "exec"), vars(module))
    return module


def test_measurements_of_a_small_range_survive_the_file(levels: Any) -> None:
    settings = levels.LevelsSettings(length=3, lowest=0.0, highest=1e-8)
    modality = levels.Levels(settings)
    value_T = np.array([0.0, 3.3e-9, 1e-8], np.float32)
    assert np.array_equal(modality.read(*modality.write(value_T)), value_T)


def test_a_deep_nest_is_no_value(levels: Any) -> None:
    with pytest.raises(ValueError, match="but are a deep nest"):
        levels.Levels(levels.LevelsSettings()).read(b"[" * 100_000, "json")
