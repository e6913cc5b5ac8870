"""Runs with a continuous modality: they learn, resume bit for bit, and load alike in any way."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping
from math import log
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loretta_framework.api.errors import RunDirectoryError, ShardError
from loretta_framework.checkpoint.store import load_checkpoint
from loretta_framework.checkpoint.weights import load_weights
from loretta_framework.cli.main import main
from loretta_framework.data.decode import DecodeFailure, Decoder
from loretta_framework.data.loader import Loader
from loretta_framework.data.sample import open_sets
from loretta_framework.recipe.load import load_recipe
from loretta_framework.testing.continuous_world import CLASSES, write_pulse_recipe
from loretta_framework.train.parts import Parts
from loretta_framework.train.run import FinishedRun

Runner = Callable[..., FinishedRun]
CLOCK = {"tokens_per_second", "time"}
MIXED = "objectives=[{kind: causal, share: 0.4}, {kind: causal_masked, share: 0.2}, " + (
    "{kind: transitive, share: 0.4, settings: {start: 0.25, every: 4, "
    "all_modalities_probability: 0.5}}]"
)


def metrics(directory: Path) -> list[dict[str, Any]]:
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in CLOCK} for line in lines]


def assert_same(one: Path, other: Path, step: int = 16) -> None:
    first, second = (load_checkpoint(d / "checkpoints" / f"step-{step:08d}") for d in (one, other))
    for group, tensors in first.tensors.items():
        assert set(tensors) == set(second.tensors[group])
        for name, tensor in tensors.items():
            assert torch.equal(tensor, second.tensors[group][name]), f"{group}/{name}"
    assert first.state["pools"] == second.state["pools"]
    assert metrics(one) == metrics(other)


CHANCE = log(CLASSES)
"""Nats of a text that nothing tells: its two letters follow from the class."""


def learned(run: Runner, *overrides: str) -> dict[str, float]:
    """Edge -> nats per test text after training."""
    options = [
        "optimizer.lr=0.01",
        "objectives.causal.settings.first_segment_weight=0.1",
        "data.validation=[{name: test, shards: test-*.tar, modalities: [x, a, c]}]",
        *overrides,
    ]
    last = metrics(run("learned", *options).directory)[-1]
    prefix = "validation/"
    return {k.removeprefix(prefix): 2 * v for k, v in last.items() if k.startswith(prefix)}


def test_texts_are_learned_from_the_pulse(run: Runner) -> None:
    steps = ["train.steps=70", "train.batch_tokens=400", "objectives.transitive.share=0"]
    nats = learned(run, *steps)
    assert set(nats) == {"x->a", "x->c", "a->c", "c->a"}
    assert max(nats["x->a"], nats["x->c"]) < 0.4 * CHANCE
    assert min(nats["a->c"], nats["c->a"]) > CHANCE  # they never shared a sample


@pytest.mark.soak
def test_texts_that_share_no_sample_are_learned_over_the_pulse(run: Runner) -> None:
    """Each is generated from real pulses, and conditions the other."""
    steps = ["train.steps=160", "train.batch_tokens=480"]
    nats = learned(run, *steps, "objectives.transitive.settings.start=0.4")
    assert max(nats["x->a"], nats["x->c"]) < 0.1 * CHANCE
    assert max(nats["a->c"], nats["c->a"]) < 0.1 * CHANCE


@pytest.mark.parametrize(("step", "workers"), [(5, 0), (10, 1)])
def test_resumed_equals_uninterrupted(run: Runner, step: int, workers: int) -> None:
    """Checkpoints at 5 and 10 lie inside the rollout pools that begin at 4 and 8."""
    options = [MIXED, "checkpoint.every_steps=5", "checkpoint.keep_last=9",
               "modalities.x.settings.augment=true", "backbone.settings.dropout=0.1"]  # fmt: skip
    whole = run("whole", *options).directory
    pool = load_checkpoint(whole / "checkpoints" / "step-00000010").tensors["tasks"]
    assert "transitive/pool/features/x" in pool
    resumed = whole.parent / "resumed"
    shutil.copytree(whole, resumed)
    for path in (resumed / "checkpoints").iterdir():
        if int(path.name.removeprefix("step-")) > step:
            shutil.rmtree(path)
    run("resumed", *options, f"data.workers={workers}", resume=True)
    assert_same(whole, resumed)


def test_the_network_trains_with_the_model_and_freezes_as_any_part_of_it(run: Runner) -> None:
    def weights(name: str, *overrides: str) -> Mapping[str, torch.Tensor]:
        return load_weights(run(name, *overrides).directory, print).tensors

    names = ["encoders.x.layers.0.weight", "projectors.x.weight"]
    start, trained = weights("start", "train.steps=1", "optimizer.lr=1e-12"), weights("trained")
    frozen = weights("frozen", "freeze=['encoders.*']")
    for name in names:
        assert not torch.allclose(start[name], trained[name], atol=1e-4)
    assert torch.allclose(start[names[0]], frozen[names[0]], atol=1e-9)
    assert not torch.allclose(start[names[1]], frozen[names[1]], atol=1e-4)
    assert torch.equal(trained["encoders.x.scale"], torch.ones(1))  # buffers are kept too


def test_features_that_are_vectors_need_no_network(run: Runner) -> None:
    tensors = load_weights(run("plain", "modalities.x.settings.hidden=0").directory, print).tensors
    assert tensors["projectors.x.weight"].shape == (32, 4)
    assert not [name for name in tensors if name.startswith("encoders")]


def parts_of(world: Path, *overrides: str) -> Parts:
    return Parts.build(load_recipe(world / "pulse.yaml", list(overrides)))


def drawn(parts: Parts, workers: int = 0, tokens: Path | None = None, **options: Any) -> list[Any]:
    loader = Loader(parts.plan, parts.modalities, None, workers, tokens=tokens, **options)
    return [
        [(task, s.key, s.position, [(n, c.dtype.str, c.shape, c.tobytes()) for n, c in s.parts])
         for task, given in sorted(step.items()) for s in given]
        for step in loader.steps(0, 8)
    ]  # fmt: skip


def test_any_number_of_workers_gives_the_same_features(world: Path) -> None:
    parts = parts_of(world, "modalities.x.settings.augment=true")
    here = drawn(parts)
    kinds = {(name, dtype, shape) for step in here for *_, held in step
             for name, dtype, shape, _ in held}  # fmt: skip
    assert ("x", "<f4", (3, 4)) in kinds
    assert ("a", "<i8", (2,)) in kinds
    assert drawn(parts, 1) == here
    assert drawn(parts, 2, start_method="spawn") == here


def test_a_token_cache_keeps_its_files_and_gives_the_same_samples(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = parts_of(world)
    recipe = str(world / "pulse.yaml")
    assert main(["data", "tokenize", recipe, "--out", str(world / "tokens")]) == 0
    told = capsys.readouterr().out
    assert "x: copied: it is continuous, and its features are made in training\n" in told
    assert "a: tokens\n" in told
    assert drawn(parts, tokens=world / "tokens") == drawn(parts)
    other = parts_of(world, "modalities.x.settings.vectors=2", "modalities.x.settings.size=6")
    with pytest.raises(ShardError, match=r"modalities\.x\.settings\.vectors: was 3, but is 2"):
        drawn(other, tokens=world / "tokens")


@pytest.mark.parametrize(
    ("broken", "error", "words"),
    [
        (
            lambda v: v.astype(np.float64),
            TypeError,
            "must give float32 features, but gives float64",
        ),
        (lambda v: v[:0], TypeError, r"but gives float32 of shape \(0,\)"),
        (lambda v: v * np.float32(np.nan), DecodeFailure, "its features must be finite"),
    ],
)
def test_broken_features_are_named(
    world: Path, broken: Callable[[Any], Any], error: type[Exception], words: str
) -> None:
    parts = parts_of(world)
    parts.modalities["x"].preprocess = broken  # type: ignore[attr-defined]
    (reader, _) = open_sets(parts.plan.split("train"))
    decoder = Decoder(parts.modalities, parts.plan.vocabulary)
    with pytest.raises(error, match=words):
        decoder.sample(reader, 0)


def test_decoded_features_are_the_samples_own(world: Path) -> None:
    """A modality may give a view of the value; the sample's array must not change with it."""
    parts = parts_of(world)
    (reader, _) = open_sets(parts.plan.split("train"))
    decoder = Decoder(parts.modalities, parts.plan.vocabulary)
    raw = decoder.raw(reader, 0)
    values = decoder.values(reader, 0, raw)
    features = decoder.encode(reader, 0, raw, values).tokens("x")
    before = features.copy()
    values[0][1][...] = 9.0
    assert np.array_equal(features, before)


def test_another_runs_weights_start_a_run_that_adds_or_changes_it(world: Path, run: Runner) -> None:
    texts = run("first").directory
    said: list[str] = []
    fresh = "modalities.x.settings.hidden=24"
    with pytest.raises(
        RunDirectoryError, match=r"'encoders\.x\.layers\.0\.weight' must have shape"
    ):
        run("wider", f"init_from={texts}", fresh)
    more = {"modalities": {**_recipe(world)["modalities"], "y": {"kind": "pulse.beats"}}}
    sets = _recipe(world)["data"]
    sets["train"][0]["modalities"].append("y")
    write_pulse_recipe(world / "pulse.yaml", data=sets, **more)
    for shard in world.glob("xa-*.tar"):
        _double(shard)
    run("added", f"init_from={texts}", "train.steps=1", "optimizer.lr=1e-12", say=said.append)
    before = load_weights(texts, print).tensors
    after = load_weights(world / "runs" / "added", print).tensors
    assert torch.allclose(before["encoders.x.layers.0.weight"], after["encoders.x.layers.0.weight"])
    assert "encoders.y.layers.0.weight" in after
    assert any("id rows kept for x, a, c" in text for text in said)


def _recipe(world: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world / "pulse.yaml").read_text())
    return found


def _double(shard: Path) -> None:
    """Give every sample a second pulse, `y`."""
    with tarfile.open(shard) as tar:
        members = [(m.name, tar.extractfile(m).read()) for m in tar]  # type: ignore[union-attr]
    with tarfile.open(shard, "w") as tar:
        for name, data in members:
            copies = [name, name.replace(".x.", ".y.")] if ".x." in name else [name]
            for copy in copies:
                info = tarfile.TarInfo(copy)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def test_steps_without_any_weight_change_nothing(run: Runner) -> None:
    """A text that nothing conditions and that weighs nothing, then a pulse: no row has a loss."""
    options = [
        "modalities={x: {kind: pulse.beats}, a: {kind: text_bytes, settings: {max_tokens: 2}}}",
        "data.train=[{name: xa, shards: xa-*.tar, modalities: [a, x]}]",
        "data.test=[]",
        "objectives=[{kind: causal, settings: {order: declared, first_segment_weight: 0.0}}]",
    ]
    one = run("one", *options, "train.steps=1").directory
    lines = metrics(run("three", *options, "train.steps=3").directory)
    assert [line["loss"] for line in lines] == [0.0] * 3
    assert [line["grad_norm"] for line in lines] == [0.0] * 3
    start, end = (load_weights(one.parent / name, print).tensors for name in ("one", "three"))
    assert all(torch.equal(tensor, end[name]) for name, tensor in start.items())
