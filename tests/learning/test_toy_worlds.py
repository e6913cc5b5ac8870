"""The proof of the method on worlds whose optimum is known, through recipe, shards and trainer."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from loretta_framework.checkpoint.weights import load_weights
from loretta_framework.generation.score import score_rows
from loretta_framework.model.build import build_model
from loretta_framework.recipe.load import load_recipe
from loretta_framework.recipe.plan import Plan
from loretta_framework.registry import Registry
from loretta_framework.sequence.rows import Segment, build_row
from loretta_framework.testing.toy_worlds import (
    noisy_link_optimum,
    read_text_shard,
    write_bijection_world,
    write_noisy_world,
    write_recipe,
)
from loretta_framework.train.run import train

CAUSAL = {"kind": "causal", "settings": {"first_segment_weight": 0.3}}
LORETTA = [{**CAUSAL, "share": 0.5}, {"kind": "transitive", "share": 0.5}]
PAIRS = {"ab": ["a", "b"], "bc": ["b", "c"]}


def nats(world: Path, run: Path, plan: Plan, source: str, target: str) -> np.ndarray:
    """-log p(target given source) of each test sample."""
    recipe = load_recipe(run / "recipe.yaml").recipe
    model = build_model(plan, recipe, Registry.discover(set()))
    model.load_state_dict(load_weights(run, print).tensors)
    rows = []
    for sample in read_text_shard(world / "test-0.tar"):
        given, wanted = (
            np.frombuffer(sample[m].encode(), np.uint8).astype(np.int64) for m in (source, target)
        )
        rows.append(
            build_row(plan.vocabulary, [Segment(source, given, 0.0), Segment(target, wanted)])
        )
    return np.array([score.nats for score in score_rows(model, rows)])


def learn(
    world: Path, name: str, objectives: list[dict[str, object]], **options: object
) -> tuple[Path, Plan]:
    torch.set_num_threads(1)
    chosen = {"train": PAIRS, "batch_tokens": 640, "steps": 500, **options}
    recipe = write_recipe(world / f"{name}.yaml", objectives=objectives, **chosen)  # type: ignore[arg-type]
    run = train(load_recipe(recipe, ["train.threads=1"]), world / "runs" / name, say=lambda _: None)
    return run.directory, run.plan


@pytest.fixture(scope="module")
def bijection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    world = tmp_path_factory.mktemp("bijection")
    write_bijection_world(world)
    return world


LENGTHS = {"a": 4, "b": 4, "c": 4}
CHANCE = 4 * math.log(16)


def test_the_unseen_pair_of_a_bijection_is_learned(bijection: Path) -> None:
    run, plan = learn(bijection, "loretta", LORETTA, lengths=LENGTHS)
    assert plan.missing_pairs == (("a", "c"),)
    assert nats(bijection, run, plan, "c", "a").mean() < 0.1
    assert nats(bijection, run, plan, "a", "c").mean() < 0.1
    assert nats(bijection, run, plan, "b", "a").mean() < 0.05  # seen pairs are as good as ever


def test_without_the_transitive_step_it_stays_near_chance(bijection: Path) -> None:
    run, plan = learn(bijection, "commutative", [CAUSAL], lengths=LENGTHS)
    assert nats(bijection, run, plan, "b", "a").mean() < 0.05
    assert nats(bijection, run, plan, "c", "a").mean() > 0.9 * CHANCE
    assert nats(bijection, run, plan, "a", "c").mean() > 0.9 * CHANCE


def noisy(tmp_path: Path, link_error: float, **options: object) -> np.ndarray:
    write_noisy_world(tmp_path, link_error)
    options = {"steps": 1200, "batch_tokens": 320, **options}
    objectives = options.pop("objectives", LORETTA)
    run, plan = learn(tmp_path, "run", objectives, lengths={"a": 1, "b": 1, "c": 1}, **options)  # type: ignore[arg-type]
    return np.stack([nats(tmp_path, run, plan, "c", "a"), nats(tmp_path, run, plan, "a", "c")])


def tolerance(per_sample: np.ndarray) -> float:
    """3 standard errors of the test mean, and 0.02 nats for what a finite run leaves."""
    return 3 * float(per_sample.std()) / len(per_sample) ** 0.5 + 0.02


@pytest.mark.parametrize("link_error", [0.3, 0.9])
def test_a_noisy_link_reaches_its_closed_form_and_no_further(
    tmp_path: Path, link_error: float
) -> None:
    optimum = noisy_link_optimum(link_error)
    for per_sample in noisy(tmp_path, link_error):
        # below the optimum would mean that pairs leak, above that something is not learned
        assert abs(per_sample.mean() - optimum) < tolerance(per_sample)


def test_an_oracle_beats_the_noisy_link(tmp_path: Path) -> None:
    """Trained on the third pair set too, the model reaches the true conditional."""
    sets = {**PAIRS, "ac": ["a", "c"]}
    for per_sample in noisy(tmp_path, 0.3, objectives=[CAUSAL], train=sets):
        assert abs(per_sample.mean() - 0.253) < tolerance(per_sample)


def test_closed_forms_are_those_of_the_literature_table() -> None:
    forms = [noisy_link_optimum(error) for error in (0.02, 0.3, 0.6, 0.9)]
    assert forms == pytest.approx([0.265, 0.813, 1.663, 2.303], abs=5e-4)
