"""The first page of the manual, run as it stands: the model reads a pair that it never saw."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import loretta_framework as loretta
from loretta_framework.cli.main import main

PAGE = (Path(__file__).parents[2] / "docs" / "index.md").read_text(encoding="utf-8")
NUMBERS = (14, 23, 38, 49, 61, 76, 82, 95)
SAMPLES = 8


@pytest.mark.soak
def test_most_samples_of_english_numbers_are_the_roman_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL):
        Path(name).write_text(text, encoding="utf-8")
    page: dict[str, Any] = {}
    exec(compile(Path("numbers.py").read_text(encoding="utf-8"), "numbers.py", "exec"), page)
    commands = re.findall(r"^\$ loretta (.*)$", PAGE, re.MULTILINE)
    assert [command.split()[0] for command in commands][-2:] == ["train", "generate"]
    for command in commands:
        assert main(shlex.split(command)) == 0, (command, capfd.readouterr())
    assert len(list(Path("out").glob("*.txt"))) == 1

    model = loretta.load("runs/numbers")
    right = {}
    for number in NUMBERS:
        question = {"english": page["english"](number)}
        answers = model.generate(question, to="roman", num_samples=SAMPLES, seed=0)
        right[number] = answers.count(page["roman"](number))
    assert right[49] > SAMPLES / 2, right
    assert sum(right.values()) > len(NUMBERS) * SAMPLES / 2, right
