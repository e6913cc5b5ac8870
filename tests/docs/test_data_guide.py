"""The commands of the data guide work in the order in which they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from loretta_framework.cli.main import main

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the guide shows, and the two pictures that it names."""
    for name, content in re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", GUIDE, re.DOTALL):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    for colour in ("red", "blue"):
        Image.new("RGB", (8, 8), colour).save(tmp_path / "things" / f"{colour}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_works_in_turn(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^\$ (loretta .*)$", GUIDE, re.MULTILINE)
    assert len(commands) >= 9
    said = {}
    for command in commands:
        quick = ["--set", "train.threads=1", "--set", "data.workers=0"] * (" train " in command)
        assert main([*shlex.split(command)[1:], *quick]) == 0, (command, capfd.readouterr())
        captured = capfd.readouterr()
        said[command] = captured.out + captured.err
    assert "4 samples" in said["loretta data index shards"]
    sheet = (place / "contact-sheet.html").read_text()
    assert "a red square" in sheet
    assert "http://" not in sheet.replace("http://www.w3.org", "")
    raw, cached = (place / run / "metrics.jsonl" for run in ("run", "from-tokens"))
    losses = [re.findall(r'"loss[^,]*', path.read_text()) for path in (raw, cached)]
    assert losses[0]
    assert losses[0] == losses[1]
    assert (place / "run" / "rates.json").is_file()


def test_the_guide_names_real_settings() -> None:
    from loretta_framework.recipe.schema import Data, DataSet

    for name in ("mixing", "shuffle_rows", "max_bad_fraction", "tokens", "start_method"):
        assert name in GUIDE
        assert name in Data.model_fields
    assert {"missing", "max_epochs"} <= set(DataSet.model_fields)
