"""Figures of long tests lie in the folder that LORETTA_RESULTS names."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from loretta_framework.testing.results import keep_result


def test_figures_stand_beside_machine_and_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORETTA_RESULTS", str(tmp_path))
    for kept in (0.5, 0.75):  # the second measurement of a day takes the first one's place
        keep_result("some-figures", {"kept": kept}, distribution="pytest")
    (file,) = tmp_path.iterdir()
    assert file.name.endswith("-some-figures.json")
    found = json.loads(file.read_text("utf-8"))
    assert found["kept"] == 0.75
    assert found["pytest"] == pytest.__version__
    assert {"machine", "python"} < found.keys()


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_folder_they_are_dropped(
    value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LORETTA_RESULTS", raising=False)
    if value is not None:
        monkeypatch.setenv("LORETTA_RESULTS", value)
    keep_result("some-figures", {"kept": 1})
    assert not os.listdir(tmp_path)


def test_a_folder_that_is_absent_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORETTA_RESULTS", str(tmp_path / "absent"))
    with pytest.raises(FileNotFoundError):
        keep_result("some-figures", {"kept": 1})
