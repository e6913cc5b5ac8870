"""Real pen strokes (pendigits): what survives tokens, and ten steps of training on them."""

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loretta_plugin_signals.levels import Levels, LevelsSettings
from loretta_plugin_signals.patch_codes import PatchCodes, PatchCodesSettings

import loretta_framework as loretta

DATA = Path(os.environ.get("LORETTA_TEST_DATA", "")) / "pendigits" / "pendigits_train.unipen.gz"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PEN: dict[str, Any] = {"channels": ["x", "y", "lifted"], "pen": "lifted", "steps": 24}
pytestmark = pytest.mark.skipif(
    not os.environ.get("LORETTA_TEST_DATA") or not DATA.exists(),
    reason="needs LORETTA_TEST_DATA/pendigits",
)


@cache
def digits() -> list[tuple[int, list[list[list[int]]]]]:
    """(digit, strokes) of all samples."""
    samples: list[tuple[int, list[list[list[int]]]]] = []
    for line in gzip.decompress(DATA.read_bytes()).decode().splitlines():
        words = line.split()
        if line.startswith(".SEGMENT"):
            samples.append((int(words[-1].strip('"')), []))
        elif line.startswith(".PEN_DOWN"):
            samples[-1][1].append([])
        elif words and samples and not line.startswith("."):
            samples[-1][1][-1].append([int(word) for word in words])
    return samples


def shape_of(value: Any) -> Any:
    """(32,) the path in its own box, at 16 places: what the nearest neighbour compares."""
    path = value[:, :2] - value[:, :2].min(axis=0)
    places = np.linspace(0, len(path) - 1, 16)
    columns = [np.interp(places, np.arange(len(path)), column) for column in path.T]
    return np.concatenate(columns) / max(float(path.max()), 1e-9)


@pytest.mark.parametrize(
    ("tokenizer", "kept", "train"),
    [
        (Levels(LevelsSettings(**PEN, levels=48)), 0.985, 1200),
        (PatchCodes(PatchCodesSettings(**PEN, patch=3, codes=256)), 0.95, 1200),
    ],
)
def test_a_classifier_keeps_its_accuracy(tokenizer: Any, kept: float, train: int) -> None:
    """A nearest neighbour that knows other rows judges originals, and what decoding gave."""
    known, asked = digits()[:train], digits()[5500:5900]
    known_values = [tokenizer.parse(strokes) for _, strokes in known]
    tokenizer.fit(known_values, 0)
    values = [tokenizer.parse(strokes) for _, strokes in asked]
    restored = [tokenizer.decode(tokenizer.encode(value)) for value in values]
    labels, truth = (np.array([digit for digit, _ in rows]) for rows in (known, asked))
    shapes = np.stack([shape_of(value) for value in known_values])

    def accuracy(judged: list[Any]) -> float:
        asked_shapes = np.stack([shape_of(value) for value in judged])
        products = asked_shapes @ shapes.T
        nearest = ((shapes**2).sum(axis=1) - 2 * products).argmin(axis=1)
        return float((labels[nearest] == truth).mean())

    before, after = accuracy(values), accuracy(restored)
    print(f"accuracy on originals {before:.3f}, on reconstructions {after:.3f}")
    assert before > 0.97
    assert after >= kept * before
    lifts = [[value[:, 2].sum() for value in rows] for rows in (values, restored)]
    assert np.mean(np.equal(*lifts)) > 0.95


def written_shards(folder: Path) -> None:
    """Shards as any tool may write them."""
    folder.mkdir()
    with tarfile.open(folder / "train-000000.tar", "w") as tar:
        for number, (digit, strokes) in enumerate(digits()[:60]):
            for name, data in (("pen.json", json.dumps(strokes)), ("text.txt", WORDS[digit])):
                member = tarfile.TarInfo(f"s{number}.{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data.encode()))


def prepared_shards(folder: Path) -> None:
    """Shards made by the command line out of files."""
    source = folder.parent / "samples"
    source.mkdir()
    lines = []
    for number, (digit, strokes) in enumerate(digits()[:60]):
        (source / f"{number}.json").write_text(json.dumps(strokes))
        row = {"id": f"s{number}", "pen": f"{number}.json", "text": WORDS[digit]}
        lines.append(json.dumps(row))
    (source / "train.jsonl").write_text("\n".join(lines))
    prepare = ["data", "prepare", "jsonl", "--source", source, "--out", folder]
    command = [Path(sys.executable).with_name("loretta"), *prepare, "--set", "files=pen"]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


def run_of(tmp_path: Path, kind: str, settings: dict[str, Any]) -> Path:
    """Ten steps between pen strokes and number words, from the shards in `tmp_path`."""
    recipe = {
        "schema_version": 1,
        "name": "pen",
        "modalities": {
            "pen": {"kind": kind, "settings": settings},
            "text": {"kind": "text_bytes", "settings": {"max_tokens": 8}},
        },
        "data": {
            "workers": 0,
            "train": [
                {"name": "train", "shards": "shards/train-*.tar", "modalities": ["pen", "text"]}
            ],
        },
        "backbone": {
            "kind": "transformer",
            "settings": {"width": 32, "depth": 1, "heads": 2},
        },
        "train": {"steps": 10, "batch_tokens": 512},
    }
    (tmp_path / "pen.yaml").write_text(json.dumps(recipe))
    loretta.train(loretta.load_recipe(tmp_path / "pen.yaml"), run_dir=tmp_path / "run")
    return tmp_path / "run"


def test_ten_steps_then_a_pen_stroke_of_a_word(tmp_path: Path) -> None:
    settings = {**PEN, "levels": 48, "augment": {"time_warp": 0.1, "noise": 0.01}}
    written_shards(tmp_path / "shards")
    run = run_of(tmp_path, "signals.levels", settings)
    model = loretta.load(run)
    (value,) = model.generate({"text": "three"}, to="pen", num_samples=1, seed=0)
    assert value.shape == (24, 3)
    assert np.isin(value[:, 2], (0, 1)).all()
    tokenizer = Levels(LevelsSettings(**settings))
    path, *_ = tokenizer.show(value)
    assert path.data.startswith(b"\x89PNG")
    (word,) = model.generate({"pen": digits()[0][1]}, to="text", num_samples=1, seed=0)
    assert isinstance(word, str)


@pytest.mark.soak
@pytest.mark.parametrize("network", ["none", "linear", "conv"])
def test_ten_steps_from_patches_to_words(tmp_path: Path, network: str) -> None:
    settings = {**PEN, "patch": 4, "network": network, "width": 24}
    prepared_shards(tmp_path / "shards")
    model = loretta.load(run_of(tmp_path, "signals.patches", settings))
    strokes = digits()[0][1]
    (word,) = model.generate({"pen": strokes}, to="text", num_samples=1, seed=0)
    assert isinstance(word, str)
    assert np.isfinite(model.score({"pen": strokes}, {"text": "eight"})).all()
