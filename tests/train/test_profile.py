"""`loretta recipe check --profile`: real steps, whole periods, nothing left behind, fitting advice."""

from __future__ import annotations

import getpass
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from loretta_framework.cli.main import main
from loretta_framework.recipe.engine import make_plan
from loretta_framework.recipe.load import load_recipe
from loretta_framework.train import advice as advising, clock, profile as profiling
from loretta_framework.train.advice import advice
from loretta_framework.train.clock import PHASES
from loretta_framework.train.numerics import Numerics
from loretta_framework.train.profile import Profile, StopWatch, profile

OPTIONS = ("train.threads=1", "train.steps=60")
ALWAYS = "objectives.transitive.settings.start=0"


@pytest.fixture
def measured(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`measured(*overrides)` profiles the small recipe; nothing may be left of it at the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.chdir(tmp_path)
    make_plan(
        load_recipe(world / "small.yaml")
    )  # writes the indexes of the shards, as every command does
    before = sorted(tmp_path.rglob("*"))

    def run(*overrides: str) -> Profile:
        steps = [] if any("train.steps" in text for text in overrides) else OPTIONS[1:]
        changes = [*OPTIONS[:1], *steps, *overrides]
        return profile(load_recipe(world / "small.yaml", changes), lambda _: None)

    yield run
    shutil.rmtree(folder / f"torchinductor_{getpass.getuser()}", ignore_errors=True)  # torch's own
    assert sorted(tmp_path.rglob("*")) == before


def test_the_steps_are_those_with_every_task(measured: Any) -> None:
    found = measured()
    # `every` is 4, and the transitive task begins at a quarter of 60 steps.
    assert (found.first, found.steps) == (17, 20)
    assert found.notes[0].startswith("measured from step 17 on, with fresh weights: 'transitive'")
    assert list(found.milliseconds) == list(PHASES)
    assert all(found.milliseconds[phase] > 0 for phase in PHASES)
    assert 0 <= found.padding < 1
    assert found.tokens_per_second > 0


def test_periods_are_whole_and_what_waits_for_a_link_is_told(measured: Any) -> None:
    found = measured(ALWAYS, "objectives.transitive.settings.every=8")
    assert (found.first, found.steps) == (2, 16)
    assert not found.notes
    gated = measured(ALWAYS, "objectives.transitive.settings.hold_until_gain=1.0")
    assert any("no link is good enough yet" in note for note in gated.notes)


def test_a_short_run_is_profiled_as_far_as_it_goes(measured: Any) -> None:
    found = measured("train.steps=3", ALWAYS)
    assert (found.first, found.steps) == (0, 3)


def test_the_verb_prints_a_table_or_json(
    world: Path, measured: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["recipe", "check", "--profile", str(world / "small.yaml")]
    arguments += [part for change in OPTIONS for part in ("--set", change)]
    assert main(arguments) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["phase", "ms", "per", "step", "share"]
    assert [line.split()[0] for line in shown[1:8]] == [*PHASES, "step"]
    assert re.fullmatch(r"steps 17 to 36, [\d,]+ tokens/s, padding [\d.]+%", shown[8])
    assert shown[-1].startswith("advice: ")
    assert main([*arguments, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert set(data["phases"]) == set(PHASES)
    assert sum(part["share"] for part in data["phases"].values()) == pytest.approx(1)
    assert data["ms_per_step"] == pytest.approx(sum(p["ms"] for p in data["phases"].values()))
    assert data["steps"] == 20


def test_a_clock_adds_up_what_was_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])
    monkeypatch.setattr(profiling.time, "perf_counter", lambda: next(times))
    watch = StopWatch(torch.device("cpu"))
    watch.mark("data")
    watch.reset()
    for phase in ("forward", "backward", "forward"):
        watch.mark(phase)  # type: ignore[arg-type]
    assert {phase: s for phase, s in watch.seconds.items() if s} == {
        "forward": 8.0,
        "backward": 4.0,
    }
    assert clock.Clock().mark("data") is None  # type: ignore[func-returns-value]


def trainer_of(world: Path, *overrides: str, **numerics: Any) -> Any:
    own = Numerics(torch.device("cpu"), bf16=False, threads=1, workers=0, form="packed")
    return SimpleNamespace(
        recipe=load_recipe(world / "small.yaml", overrides).recipe,
        stepper=SimpleNamespace(numerics=replace(own, **numerics)),
        model=SimpleNamespace(backbone=SimpleNamespace(width=256)),
        tasks=[SimpleNamespace(plan=SimpleNamespace(name="transitive"), generates=True)],
    )


@pytest.mark.parametrize(
    ("phase", "overrides", "text"),
    [
        ("data", [], "wait for data 60% of the time: `loretta data tokenize` decodes only once"),
        ("data", ["data.tokens=t"], "raise data.workers"),
        ("rollout", [], "generating takes 60%: a larger reuse_k or max_stale, or a later start"),
        ("optimizer", [], "the update takes 60%: a larger train.batch_tokens"),
        ("forward", ["train.compile=off"], "train.compile=on makes long runs faster"),
    ],
)
def test_the_advice_fits_the_largest_phase(
    world: Path, monkeypatch: pytest.MonkeyPatch, phase: str, overrides: list[str], text: str
) -> None:
    monkeypatch.setattr(advising, "multiplies_bf16", lambda _: False)
    ms = dict.fromkeys(PHASES, 8.0) | {phase: 60.0}
    (only,) = advice(trainer_of(world, *overrides), ms, 0.0)
    assert text in only


@pytest.mark.parametrize(
    ("overrides", "form", "text"),
    [
        ([], "padded", "30% of the positions are padding: train.layout=packed fills them"),
        ([], "packed", "a larger train.batch_tokens fills lines better"),
        (["train.length_buckets=2"], "packed", "more train.length_buckets, or null"),
    ],
)
def test_the_advice_on_padding_fits_the_layout(
    world: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], form: str, text: str
) -> None:
    monkeypatch.setattr(advising, "multiplies_bf16", lambda _: True)
    ms = dict.fromkeys(PHASES, 1.0) | {"forward": 47.0, "backward": 48.0}
    first, second = advice(trainer_of(world, *overrides, form=form), ms, 0.3)
    assert "train.precision=bf16" in first
    assert text in second
    assert advice(trainer_of(world, bf16=True), ms, 0.0) == ()
