"""`loretta recipe ...` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.cli.main import main
from loretta_framework.recipe.engine import make_plan
from loretta_framework.recipe.load import load_recipe

WITHOUT_TORCH = """
import sys


class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("torch is forbidden here")


sys.meta_path.insert(0, NoTorch())
from loretta_framework.cli.main import main

sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def command(*arguments: str) -> tuple[int, str, str]:
        code = main(["recipe", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return command


def without_torch(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "recipe", *arguments],
        cwd=directory,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "toys.yaml", "--static"),
        ("check", "toys.yaml", "--json"),
        ("explain", "toys.yaml", "train.steps"),
        ("graph", "toys.yaml", "--format", "svg"),
        ("fill", "toys.yaml"),
    ],
)
def test_torch_is_not_needed(workshop: Any, arguments: tuple[str, ...]) -> None:
    workshop.recipe()
    done = without_torch(workshop.directory, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_ban_on_torch_works(workshop: Any) -> None:
    workshop.recipe()
    done = without_torch(workshop.directory, "check", "toys.yaml", "--dynamic")
    assert done.returncode == 1
    assert "torch is forbidden here" in done.stderr


def test_check_prints_the_plan(workshop: Any, run: Any) -> None:
    plan = make_plan(load_recipe(workshop.recipe()))
    code, out, _ = run("check", "toys.yaml")
    assert code == 0
    assert out.startswith("Plan of 'toys'")
    assert plan.hash in out
    code, out, _ = run("check", "toys.yaml", "--static")
    assert (code, out.startswith("ok: toys (modalities: 3, observed pairs: 2")) == (0, True)
    code, out, _ = run("check", "toys.yaml", "--json", "--set", "train.seed=9")
    data = json.loads(out)
    assert (data["seed"], data["name"]) == (9, "toys")


def test_check_dynamic_counts_parameters(workshop: Any, run: Any) -> None:
    workshop.recipe()
    small = ("--set", "backbone.settings={width: 16, depth: 1, heads: 2}")
    code, out, _ = run("check", "toys.yaml", "--dynamic", "--json", *small)
    assert code == 0
    count = json.loads(out)["parameters"]
    _, out, _ = run("check", "toys.yaml", "--dynamic", *small)
    assert f"parameters: {count:,}\n" in out
    _, out, _ = run(
        "check",
        "toys.yaml",
        "--dynamic",
        "--json",
        "--set",
        "backbone.settings={width: 16, depth: 2, heads: 2}",
    )
    assert json.loads(out)["parameters"] > count


def test_faults_end_with_exit_code_2_and_no_traceback(workshop: Any, run: Any) -> None:
    workshop.recipe()
    code, out, err = run("check", "toys.yaml", "--set", "train.stepz=5", "--set", "train.seed=x")
    assert (code, out) == (2, "")
    assert "unknown key 'stepz' (did you mean 'steps'?)" in err
    assert "train.seed: must be an integer, but is 'x'" in err
    assert "Traceback" not in err
    code, _, err = run("check", "toy.yaml")
    assert code == 2
    assert "there is no such file (did you mean 'toys.yaml'?)" in err


def test_list_names_recipes(workshop: Any, run: Any) -> None:
    workshop.recipe(name="recipes/toys.yaml")
    workshop.recipe("base: ../toys.yaml\n", name="recipes/arms/arm.yml")
    workshop.recipe("a: [", name="recipes/broken.yaml")
    code, out, _ = run("list")
    rows = out.splitlines()
    assert code == 0
    assert len(rows) == 3
    assert rows[0].split() == ["arm", "recipes/arms/arm.yml"]
    assert "cannot be read: not valid YAML" in rows[1]
    assert "Symbols and words, words and sounds." in rows[2]
    code, _, err = run("list", "nowhere")
    assert code == 2
    assert "there is no such directory" in err
    (workshop.directory / "empty").mkdir()
    assert run("list", "empty")[1] == "no recipes in empty\n"


def test_show_prints_a_recipe_that_loads_again(workshop: Any, run: Any) -> None:
    workshop.recipe()
    code, out, err = run("show", "toys.yaml", "--set", "train.steps=7")
    assert (code, err) == (0, "")
    workshop.recipe(out, "shown.yaml")
    assert run("show", "shown.yaml")[1] == out
    _, out, _ = run("show", "shown.yaml", "--diff", "toys.yaml")
    assert out == "  train.steps: 100 -> 7\n"
    assert run("show", "toys.yaml", "--diff", "toys.yaml")[1] == "no difference\n"


def test_show_works_where_a_plugin_is_absent(workshop: Any, run: Any) -> None:
    workshop.recipe()
    code, out, err = run("show", "toys.yaml", "--set", "modalities.image.kind=imaginary.codes")
    assert code == 0
    assert "kind: imaginary.codes" in out
    assert "note: shown as written" in err
    assert "no plugin 'imaginary' is installed" in err


def test_fill_and_show_agree(workshop: Any, run: Any) -> None:
    workshop.recipe()
    code, out, _ = run("fill", "toys.yaml")
    assert code == 0
    workshop.recipe(out, "filled.yaml")
    assert run("show", "filled.yaml")[1] == run("show", "toys.yaml")[1]
    code, out, err = run("fill", "toys.yaml", "--out", "new/filled.yaml")
    assert (code, out, err) == (0, "", "wrote new/filled.yaml\n")
    assert (
        run("check", "new/filled.yaml", "--static")[1] == run("check", "toys.yaml", "--static")[1]
    )
    assert [item.name for item in Path("new").iterdir()] == ["filled.yaml"]


def test_a_file_that_cannot_be_written(workshop: Any, run: Any) -> None:
    workshop.recipe()
    code, _, err = run("fill", "toys.yaml", "--out", "toys.yaml/filled.yaml")
    assert code == 2
    assert "the file cannot be written" in err


def test_explain(workshop: Any, run: Any) -> None:
    workshop.recipe()
    code, out, _ = run("explain", "toys.yaml", "objectives.transitive.settings.start")
    assert code == 0
    assert "from: toys.yaml:20" in out
    assert "automatic: step 50; it starts at step 50" in out
    code, _, err = run("explain", "toys.yaml", "train.lr")
    assert code == 2
    assert "the recipe has no key 'train.lr'" in err
    code, out, err = run(
        "explain", "toys.yaml", "train.steps", "--set", "data.test.triples.shards=no.tar"
    )
    assert (code, out.splitlines()[0]) == (0, "train.steps: 100")
    assert "automatic: not known, since there is no plan: " in err
    assert "no shard matches 'no.tar'" in err
    code, out, err = run(
        "explain", "toys.yaml", "modalities.image.settings.size", "--set", "backbone.kind=a.b"
    )
    assert "about: Number of symbols." in out
    assert "no plugin 'a' is installed" in err


def test_graph_and_schema(workshop: Any, run: Any) -> None:
    workshop.recipe()
    assert "image   - -  speech  missing" in run("graph", "toys.yaml")[1].replace(
        "image  -", "image   -"
    )
    assert run("graph", "toys.yaml", "--format", "svg", "--out", "g.svg")[0] == 0
    assert Path("g.svg").read_text(encoding="utf-8").startswith("<svg")
    code, out, _ = run("schema")
    schema = json.loads(out)
    assert code == 0
    assert set(schema["required"]) == {"schema_version", "name", "modalities", "data"}
    assert schema["properties"]["name"]["description"]
