from __future__ import annotations

import io
import json
import wave
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loretta_framework.api.errors import InputError, ShardError
from loretta_framework.shards.index import expand_shards, open_index
from loretta_framework.shards.prepare import parse, prepare

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SPEAKERS = ("anna", "bert")
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fsdd")
    (folder / "recordings").mkdir()
    draw = np.random.default_rng(0)
    for digit in range(10):
        for speaker in SPEAKERS:
            for take in range(12):
                with wave.open(
                    str(folder / "recordings" / f"{digit}_{speaker}_{take}.wav"), "wb"
                ) as f:
                    f.setnchannels(1)
                    f.setsampwidth(2)
                    f.setframerate(8000)
                    f.writeframes(draw.integers(-99, 99, 50).astype("<i2").tobytes())
    return folder


def build(source: Path, out: Path, *texts: str) -> Rows:
    report = prepare("fsdd", source, out, 0, parse("fsdd", ["download=false", *texts]))
    found: Rows = {}
    for name in (facts.name for facts in report.sets):
        store = open_index(expand_shards(f"{name}-*.tar", out))
        found[name] = []
        for sample in range(len(store)):
            row = {m: store.read(sample, n) for n, m in enumerate(store.members(sample))}
            found[name].append({**row, **json.loads(row["meta.json"]), "key": store.key(sample)})
    return found


def takes(rows: list[dict[str, Any]]) -> set[int]:
    return {int(row["key"].split("_")[2]) for row in rows}


def test_sets_follow_the_index(source: Path, tmp_path: Path) -> None:
    sets = build(source, tmp_path)
    assert {name: (takes(rows), len(rows)) for name, rows in sets.items()} == {
        "train": ({10, 11}, 40),
        "validation": (set(range(5, 10)), 100),
        "test": (set(range(5)), 100),
    }
    for rows in sets.values():
        assert set(Counter(row["speaker"] for row in rows)) == set(SPEAKERS)
        for row in rows:
            original = source / "recordings" / f"{row['key']}.wav"
            assert row["speech.wav"] == original.read_bytes()
            assert row["text.txt"].decode() == WORDS[int(row["digit"])] == WORDS[int(row["key"][0])]
    assert [row["digit"] for row in sets["test"]] != sorted(row["digit"] for row in sets["test"])


def test_a_speaker_can_be_held_out(source: Path, tmp_path: Path) -> None:
    sets = build(source, tmp_path, "holdout_speaker=anna", "text=phrase")
    assert {row["speaker"] for row in sets["test"]} == {"anna"}
    assert takes(sets["test"]) == set(range(12))
    for name, expected in (("train", set(range(5, 12))), ("validation", set(range(5)))):
        assert {row["speaker"] for row in sets[name]} == {"bert"}
        assert takes(sets[name]) == expected
    texts = [row["text.txt"].decode() for rows in sets.values() for row in rows]
    assert len(set(texts)) == len(texts) == 240
    for rows in sets.values():
        for row in rows:
            named = set(row["text.txt"].decode().split()) & set(WORDS)
            assert named == {WORDS[int(row["digit"])]}
    assert "anna" in (tmp_path / "README.md").read_text("utf-8")


def test_an_unknown_speaker_names_the_nearest(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'anna'") as caught:
        build(source, tmp_path, "holdout_speaker=ana")
    assert "anna, bert" in caught.value.fix


def test_a_set_without_recordings_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(b"ab")
    (tmp_path / "recordings" / "1_anna_3.wav").write_bytes(file.getvalue())
    with pytest.raises(ShardError, match="no recording is left for train"):
        build(tmp_path, tmp_path / "out")


def test_a_missing_source_says_what_to_get(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"recordings or .*is missing"):
        build(tmp_path / "empty", tmp_path / "out")
