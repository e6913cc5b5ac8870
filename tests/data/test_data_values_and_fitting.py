from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loretta_framework.api.errors import CheckpointError, InputError, ShardError
from loretta_framework.data import fitting
from loretta_framework.data.fitting import fit_tokenizers, load_tokenizers
from loretta_framework.data.values import read_shards, read_values

Write = Callable[..., tuple[str, ...]]


def image_text(count: int) -> dict[str, Any]:
    return {
        f"k{n}": {
            "image.bin": f"i{n}".encode(),
            "text.txt": f"t{n}".encode(),
            "meta.json": json.dumps({"digit": n}).encode(),
        }
        for n in range(count)
    }


@pytest.fixture
def plan(write: Write, toy: SimpleNamespace) -> Any:
    train = toy.set("train", write("train", image_text(8)))
    speech = {f"s{n}": {"speech.bin": b"S", "text.txt": b"t"} for n in range(3)}
    readings = toy.set("readings", write("readings", speech), ("text", "speech"))
    test = toy.set("triples", write("test", image_text(9)), split="test", label="meta.digit")
    return toy.plan([train, readings, test], fitted=("image",))


@pytest.fixture
def modalities(toy: SimpleNamespace) -> dict[str, Any]:
    return {"image": toy.Noisy(), "text": toy.Bytes(), "speech": toy.Bytes()}


def test_values_stand_beside_tokens_without_augmentation(
    plan: Any, modalities: dict[str, Any]
) -> None:
    found = read_values(plan, modalities, "test")
    assert len(found) == 9
    sample = found[2]
    assert (sample.key, sample.label) == ("triples/k2", "2")
    assert sample.parts == (("image", b"i2"), ("text", b"t2"))
    assert [ids.tolist() for _, ids in sample.tokens.parts] == [list(b"i2"), list(b"t2")]
    assert sample.tokens.key == sample.key
    assert len(read_values(plan, modalities, "train")) == 11
    assert read_values(plan, modalities, "validation") == []


def test_a_limit_is_spread_over_the_split(plan: Any, modalities: dict[str, Any]) -> None:
    found = read_values(plan, modalities, "test", limit=3)
    assert [sample.key for sample in found] == ["triples/k0", "triples/k3", "triples/k6"]
    assert len(read_values(plan, modalities, "test", limit=99)) == 9


def test_any_shards_can_be_read(plan: Any, modalities: dict[str, Any], write: Write) -> None:
    shards = [Path(shard) for shard in write("other", image_text(4), per_shard=2)]
    found = read_shards(plan, modalities, shards, label="meta.digit")
    assert [(sample.key, sample.label) for sample in found] == [
        (f"data/k{n}", str(n)) for n in range(4)
    ]
    assert read_shards(plan, modalities, shards, limit=1)[0].label is None
    with pytest.raises(InputError, match="no shard was named"):
        read_shards(plan, modalities, [])


def test_a_sample_that_cannot_be_judged_is_named(
    plan: Any, modalities: dict[str, Any], write: Write
) -> None:
    shards = [Path(shard) for shard in write("other", {"x": {"image.bin": b"bad"}})]
    with pytest.raises(ShardError, match=r"key 'x'.*'image'.*not a toy file"):
        read_shards(plan, modalities, shards)


def test_fitting_sees_each_training_value_once_and_nothing_else(
    plan: Any, modalities: dict[str, Any], toy: SimpleNamespace, tmp_path: Path
) -> None:
    modalities["image"] = toy.Fitted()
    figures = fit_tokenizers(plan, modalities, tmp_path, seed=5)
    assert figures == {"image": {"values": 8.0, "seed": 5.0}}
    assert sorted(modalities["image"].seen) == [f"i{n}".encode() for n in range(8)]
    record = json.loads((tmp_path / "image" / "fitted.json").read_text())
    assert record["figures"] == figures["image"]
    assert list(record["files"]) == ["seen.json"]
    assert [path.name for path in tmp_path.iterdir() if path.name != "shards"] == ["image"]

    again = {**modalities, "image": toy.Fitted()}
    fit_tokenizers(plan, again, tmp_path, seed=5)  # replaces what was there
    assert again["image"].seen == modalities["image"].seen
    fresh = {**modalities, "image": toy.Fitted()}
    load_tokenizers(plan, fresh, tmp_path)
    assert fresh["image"].seen == modalities["image"].seen


def test_fitting_is_capped(
    plan: Any,
    modalities: dict[str, Any],
    toy: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting, "MAX_VALUES", 5)
    modalities["image"] = toy.Fitted()
    assert fit_tokenizers(plan, modalities, tmp_path, seed=0)["image"]["values"] == 5
    assert len(set(modalities["image"].seen)) == 5


def spoil(folder: Path, how: str) -> str:
    """Damage a fitted tokenizer; returns the file that the error must name."""
    if how == "changed":
        (folder / "seen.json").write_text('["x"]')
    elif how == "missing":
        (folder / "seen.json").unlink()
    elif how == "added":
        (folder / "more.json").write_text("[]")
        return "more.json"
    elif how == "record":
        (folder / "fitted.json").write_text("{")
        return "fitted.json"
    return "seen.json"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("changed", "the file was changed"),
        ("missing", "the file is missing"),
        ("added", "the file was added"),
        ("record", "cannot be read"),
    ],
)
def test_a_changed_tokenizer_is_refused_by_file(
    how: str,
    message: str,
    plan: Any,
    modalities: dict[str, Any],
    toy: SimpleNamespace,
    tmp_path: Path,
) -> None:
    modalities["image"] = toy.Fitted()
    fit_tokenizers(plan, modalities, tmp_path, seed=0)
    name = spoil(tmp_path / "image", how)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_tokenizers(plan, modalities, tmp_path)
    assert str(tmp_path / "image" / name) in caught.value.where


def test_a_tokenizer_that_refuses_its_files_is_named(
    plan: Any, modalities: dict[str, Any], toy: SimpleNamespace, tmp_path: Path
) -> None:
    modalities["image"] = toy.Fitted()
    modalities["image"].fit = lambda values, seed: {}
    fit_tokenizers(plan, modalities, tmp_path, seed=0)
    with pytest.raises(CheckpointError, match="'image' refuses what was saved: nothing was seen"):
        load_tokenizers(plan, modalities, tmp_path)


def test_nothing_to_fit_on_is_an_error(
    write: Write, toy: SimpleNamespace, modalities: dict[str, Any], tmp_path: Path
) -> None:
    train = toy.set("train", write("train", {"a": {"text.txt": b"t"}}))
    plan = toy.plan([train], fitted=("image",))
    modalities["image"] = toy.Fitted()
    with pytest.raises(ShardError, match="no training value of 'image'"):
        fit_tokenizers(plan, modalities, tmp_path, seed=0)


def test_bad_rows_count_in_fitting_too(
    write: Write, toy: SimpleNamespace, modalities: dict[str, Any], tmp_path: Path
) -> None:
    rows = {f"k{n}": {"image.bin": b"bad" if n < 3 else b"i"} for n in range(9)}
    plan = toy.plan([toy.set("train", write("train", rows))], fitted=("image",))
    modalities["image"] = toy.Fitted()
    with pytest.raises(ShardError, match="3 of 9 rows cannot be used"):
        fit_tokenizers(plan, modalities, tmp_path, seed=0)
    fit_tokenizers(plan, modalities, tmp_path, seed=0, max_bad_fraction=0.5)
    assert modalities["image"].seen == [b"i"] * 6


def test_a_tokenizer_that_cannot_be_fitted_is_a_bug(
    plan: Any, modalities: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(TypeError, match="'image' says that it is fitted"):
        fit_tokenizers(plan, modalities, tmp_path, seed=0)
