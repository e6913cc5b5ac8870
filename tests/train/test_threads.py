"""The thread count stands in the environment before torch is loaded; the user's own goes first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loretta_framework.recipe import threads
from loretta_framework.recipe.load import load_recipe
from loretta_framework.recipe.schema import Recipe
from loretta_framework.train.numerics import choose_numerics

SCRIPT = """
import os, sys
seen = {}
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            seen.update(OMP=os.environ.get("OMP_NUM_THREADS"), MKL=os.environ.get("MKL_NUM_THREADS"))
sys.meta_path.insert(0, Watch())
from loretta_framework.cli.main import main
assert main(sys.argv[1:]) == 0
import torch
print("THREADS", seen["OMP"], seen["MKL"], torch.get_num_threads())
"""


def recipe(world: Path, *overrides: str) -> Recipe:
    return load_recipe(world / "small.yaml", overrides).recipe


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 8)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        (["data.workers=auto"], (7, "8 cores less 1 loader processes")),
        (["data.workers=3"], (5, "8 cores less 3 loader processes")),
        (["data.workers=9"], (1, "8 cores less 9 loader processes")),
        (["train.threads=2"], (2, "")),
    ],
)
def test_threads_are_the_cores_that_no_loader_needs(
    world: Path, overrides: list[str], wanted: tuple[int, str]
) -> None:
    chosen = recipe(world, *overrides)
    assert threads.compute_threads(chosen) == wanted
    environment: dict[str, str] = {}
    threads.set_thread_count(chosen, environment)
    assert environment == {"OMP_NUM_THREADS": str(wanted[0]), "MKL_NUM_THREADS": str(wanted[0])}
    threads.set_thread_count(recipe(world, "train.threads=6"), environment)
    assert environment["OMP_NUM_THREADS"] == str(wanted[0])


@pytest.mark.usefixtures("eight")
def test_a_count_of_the_user_goes_first_and_is_told(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    told: list[tuple[str, str, str]] = []
    numerics = choose_numerics(recipe(world), 32, lambda *reason: told.append(reason))
    assert numerics.threads == 3
    assert ("train.threads", "3", "OMP_NUM_THREADS is set in the environment") in told
    assert choose_numerics(recipe(world, "train.threads=2"), 32, lambda *_: None).threads == 2
    for odd in ("0", "4,2", "", "8"):  # of several levels, or the rule's own count
        monkeypatch.setenv("OMP_NUM_THREADS", odd)
        count, why = threads.compute_threads(recipe(world))
        assert (count, why) == (8, "8 cores less 0 loader processes")


@pytest.mark.parametrize(("given", "wanted"), [(None, "1 1 1"), ("2", "2 None 2")])
def test_train_tells_the_count_before_torch_is_loaded(
    world: Path, given: str | None, wanted: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    if given is not None:
        environment["OMP_NUM_THREADS"] = given
    workers = max(1, threads.cores() - 1)  # so that one core is left
    changes = ["train.steps=1", "backbone.settings.depth=1", f"data.workers={workers}"]
    arguments = [part for change in changes for part in ("--set", change)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "train", "small.yaml", *arguments],
        cwd=world,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"THREADS {wanted}"
