"""The drawing of the quick start's graph, made by running its preparation."""

from __future__ import annotations

import os
import re
import runpy
import tempfile
from collections.abc import Iterator
from pathlib import Path

from loretta_framework.cli.main import main
from loretta_framework.recipe.draw_svg import svg
from loretta_framework.recipe.engine import make_plan
from loretta_framework.recipe.load import load_recipe

QUICK_START = Path(__file__).parents[1] / "index.md"


def pages() -> Iterator[tuple[str, str]]:
    """One picture."""
    text = QUICK_START.read_text(encoding="utf-8")
    files = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL)
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for name, content in files:
                Path(name).write_text(content, encoding="utf-8")
            runpy.run_path("numbers.py")
            for command in re.findall(r"^\$ loretta (data prepare .*)$", text, re.MULTILINE):
                assert main(command.split()) == 0
            yield "images/numbers-graph.svg", svg(make_plan(load_recipe(Path("numbers.yaml"))))
        finally:
            os.chdir(before)
