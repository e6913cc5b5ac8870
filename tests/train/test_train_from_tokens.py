"""Training from cached tokens is training: the same losses, the same weights."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from loretta_framework.cli.main import main
from loretta_framework.recipe.load import load_recipe
from loretta_framework.shards.writing import ShardWriter
from loretta_framework.train.run import train

WORDS = ("zero", "one", "two", "three")


def picture(draw: np.random.Generator) -> bytes:
    file = io.BytesIO()
    Image.fromarray(draw.integers(0, 255, (4, 4), dtype=np.uint8)).save(file, "png")
    return file.getvalue()


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """Two sets in several shards: pictures that are augmented, codes that are fitted, text."""
    draw = np.random.default_rng(0)
    with ShardWriter(tmp_path / "data", "seen", 10) as writer:
        for n in range(36):
            members = {"image.png": picture(draw), "text.txt": WORDS[n % 4].encode()}
            if n == 5:
                members["image.png"] = b"no picture"
            if n % 7 == 3:
                del members["text.txt"]
            writer.write(f"{n:03d}", members)
    with ShardWriter(tmp_path / "data", "drawn", 10) as writer:
        for n in range(20):
            writer.write(
                f"{n:03d}", {"sketch.png": picture(draw), "text.txt": WORDS[n % 4].encode()}
            )
    small = {"height": 4, "width": 4, "patch": 2, "codebook_size": 8}
    path = tmp_path / "recipes/small.yaml"
    path.parent.mkdir()
    path.write_text(
        json.dumps(
            {
                "schema_version": 1,
                "name": "small",
                "modalities": {
                    "image": {
                        "kind": "image.patch_codes",
                        "settings": {**small, "augment": {"shift": 1.0}},
                    },
                    "sketch": {"kind": "image.patch_codes", "settings": small},
                    "text": {"kind": "text_bytes", "settings": {"max_tokens": 8}},
                },
                "data": {
                    "train": [
                        {"name": "seen", "shards": "../data/seen-*.tar", "modalities": ["image", "text"]},
                        {"name": "drawn", "shards": "../data/drawn-*.tar", "modalities": ["text", "sketch"]},
                    ],
                    "workers": 0,
                    "max_bad_fraction": 0.1,
                },
                "backbone": {"kind": "transformer", "settings": {"width": 16, "depth": 1, "heads": 2}},
                "objectives": [
                    {"kind": "causal", "share": 0.5},
                    {"kind": "transitive", "share": 0.5, "settings": {"start": 0.25, "every": 2}},
                ],
                "train": {"steps": 8, "batch_tokens": 120, "threads": 1},
                "checkpoint": {"every_steps": 4},
                "callbacks": [],
            }
        )
    )  # fmt: skip
    return path


Runner = Callable[..., Path]


@pytest.fixture
def run(recipe: Path, tmp_path: Path) -> Runner:
    def execute(name: str, *overrides: str, resume: bool = False) -> Path:
        torch.set_num_threads(1)
        loaded = load_recipe(recipe, overrides)
        train(loaded, tmp_path / "runs" / name, resume=resume, say=lambda _: None)
        return tmp_path / "runs" / name

    return execute


def outcome(run: Path) -> tuple[list[Any], dict[str, str], dict[str, str], str]:
    """Losses of every step; hashes of weights and of tokenizers; bad rows."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [{k: v for k, v in line.items() if "second" not in k} for line in lines]
    (last,) = run.glob("checkpoints/step-*8")
    weights = {
        path.name: sha256(path.read_bytes()).hexdigest() for path in last.glob("*.safetensors")
    }
    tokenizers = {
        path.relative_to(run).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted((run / "tokenizers").rglob("*"))
        if path.is_file()
    }
    assert weights
    assert tokenizers
    return losses, weights, tokenizers, (run / "quarantine.jsonl").read_text()


def tokenized(recipe: Path, out: Path, *options: str) -> int:
    return main(["data", "tokenize", str(recipe), "--out", str(out), *options])


def test_training_from_tokens_is_training_from_files(
    recipe: Path, run: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tokenized(recipe, tmp_path / "tok") == 0
    told = capsys.readouterr().out
    assert "image: copied: it is augmented in training\n" in told
    assert "sketch: tokens\n" in told
    assert "1 samples left out, see " in told
    assert f"--set data.tokens={tmp_path / 'tok'}" in told
    raw = outcome(run("raw"))
    assert outcome(run("cached", "data.tokens=../tok")) == raw
    assert (
        outcome(run("spawn", "data.tokens=../tok", "data.workers=1", "data.start_method=spawn"))
        == raw
    )


def test_two_workers_write_what_one_does(recipe: Path, tmp_path: Path) -> None:
    assert tokenized(recipe, tmp_path / "one") == 0
    assert tokenized(recipe, tmp_path / "two", "--workers", "2") == 0
    one, two = (
        {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and not path.name.endswith(".index.safetensors")
        }
        for folder in (tmp_path / "one", tmp_path / "two")
    )
    assert one == two


def test_the_run_directory_is_that_of_a_run_from_files(
    recipe: Path, run: Runner, tmp_path: Path
) -> None:
    assert tokenized(recipe, tmp_path / "tok") == 0
    raw, cached = run("raw", "train.steps=1"), run("cached", "train.steps=1", "data.tokens=../tok")
    plans = [json.loads((path / "plan.json").read_text()) for path in (raw, cached)]
    assert plans[0]["recipe_hash"] == plans[1]["recipe_hash"]
    taken = [reason for reason in plans[1]["reasons"] if reason["key"] == "tokenizers"]
    assert [reason["why"] for reason in taken] == ["the cached tokens were made with them"]
    kept = load_recipe(cached / "recipe.yaml")
    assert kept.recipe.data.tokens is not None
    assert (kept.directory / kept.recipe.data.tokens).resolve() == tmp_path / "tok"
    assert train(kept, cached, resume=True, say=lambda _: None).steps == 1


def test_tokens_of_other_tokenizers_are_refused(
    recipe: Path, run: Runner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tokenized(recipe, tmp_path / "tok") == 0
    run("own", "train.steps=1", "modalities.image.settings.augment.shift=2.0")
    command = ["train", str(recipe), "--run-dir", str(tmp_path / "runs/own"), "--resume"]
    changes = ["train.steps=1", "modalities.image.settings.augment.shift=2.0", "data.tokens=../tok"]
    capsys.readouterr()
    assert main([*command, *(word for c in changes for word in ("--set", c))]) == 2
    error = capsys.readouterr().err
    assert "modalities.image.tokenizer: was '" in error
    assert "make them again: loretta data tokenize" in error


def test_changed_tokenizers_beside_the_tokens_are_refused(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tokenized(recipe, tmp_path / "tok") == 0
    (tmp_path / "tok/tokenizers/sketch/codebook.json").write_text("{}")
    command = ["train", str(recipe), "--run-dir", str(tmp_path / "run")]
    assert main([*command, "--set", "data.tokens=../tok"]) == 2
    assert "modalities.sketch.tokenizer: was '" in capsys.readouterr().err
    assert tokenized(recipe, tmp_path / "tok") == 0  # fits again; the tokens are kept
    assert "fitted the tokenizer of sketch" in capsys.readouterr().out
    assert main([*command, "--set", "data.tokens=../tok", "--set", "train.steps=1"]) == 0


def test_a_recipe_without_tokens_made_says_how(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", str(recipe), "--run-dir", str(tmp_path / "run")]
    assert main([*command, "--set", "data.tokens=nowhere"]) == 2
    error = capsys.readouterr().err
    assert "there are no finished tokens: tokens.json is missing" in error
    assert f"loretta data tokenize <recipe> --out {recipe.parent / 'nowhere'}" in error
