"""What the README shows works as shown."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from loretta_framework.cli.main import cli
from loretta_framework.recipe.engine import make_plan
from loretta_framework.recipe.load import load_recipe
from loretta_framework.shards.prepare import prepare

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("readme")
    prepare("svl-digits", ROOT / "data" / "svl-digits-speech", place / "data" / "svl-digits")
    (recipe,) = blocks("yaml")
    (place / "my-triangle.yaml").write_text(recipe)
    return place


def test_the_recipe_is_short_and_plans(checkout: Path) -> None:
    (recipe,) = blocks("yaml")
    assert len(recipe.splitlines()) <= 20
    plan = make_plan(load_recipe(checkout / "my-triangle.yaml"))
    assert plan.missing_pairs == (("image", "speech"),)


def test_the_python_example_runs(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkout)
    torch.set_num_threads(1)
    (example,) = blocks("python")
    assert "train.steps=200" in example
    quick = example.replace(
        '"train.steps=200"', '"train.steps=2", "train.threads=1", "data.workers=0"'
    )
    names: dict[str, object] = {}
    exec(compile(quick, "README.md", "exec"), names)
    images = names["images"]
    assert isinstance(images, list)
    assert [image.shape for image in images] == [(8, 8, 1)] * 4


def test_every_command_shown_is_one() -> None:
    commands = re.findall(r"^(loretta .*?)(?:\s+#.*)?$", README, flags=re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        words = shlex.split(command)[1:]
        options = [word for word in words if word.startswith("--")]
        verb = [word for word in words[:2] if re.fullmatch("[a-z]+", word)]
        result = CliRunner().invoke(cli, [*verb, "--help"])
        assert result.exit_code == 0, command
        for option in options:
            assert option in result.output, command


def test_every_place_named_exists() -> None:
    named = re.findall(r"`((?:tests|recipes|data)/[\w./-]*)`", README)
    named += re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(named) >= 10
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []
