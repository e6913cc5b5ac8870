from __future__ import annotations

import io
import json
import sys
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loretta_framework.api.errors import InputError, MissingDependencyError, ShardError
from loretta_framework.shards.index import expand_shards, open_index
from loretta_framework.shards.prepare import prepare
from loretta_framework.shards.preparers.svl_digits import MODALITIES, TEMPLATES, WORDS
from loretta_framework.shards.writing import ShardWriter

SPEECH = Path(__file__).parents[2] / "data" / "svl-digits-speech"
Sets = dict[str, list[dict[str, Any]]]


def samples(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    store = open_index(expand_shards(f"{name}-0*.tar", folder))
    for sample in range(len(store)):
        yield {
            "key": store.key(sample),
            **{part: store.read(sample, m) for m, part in enumerate(store.members(sample))},
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("svl") / "out"
    prepare("svl-digits", SPEECH, out, seed=0)
    return out


@pytest.fixture(scope="module")
def sets(folder: Path) -> Sets:
    found: Sets = {}
    for name in MODALITIES:
        found[name] = list(samples(folder, name))
        for item in found[name]:
            item["meta"] = json.loads(item["meta.json"])
    return found


def test_sizes_and_modalities(sets: Sets) -> None:
    assert {name: len(items) for name, items in sets.items()} == {
        "captions": 1000,
        "readings": 1000,
        "broken-readings": 1000,
        "reserved": 400,
        "validation": 100,
        "triples": 297,
    }
    for name, items in sets.items():
        for item in items:
            held = {member.split(".")[0] for member in item if "." in member} - {"meta"}
            assert held == set(MODALITIES[name])


def test_no_image_or_clip_lies_in_two_sets(sets: Sets) -> None:
    for name, other in combinations([n for n in sets if n != "broken-readings"], 2):
        for source in ("image", "clip"):
            ours, theirs = (
                {i["meta"][source] for i in sets[n] if source in i["meta"]} for n in (name, other)
            )
            assert not ours & theirs, (name, other, source)
    for member in ("speech.flac",):
        heard = [sha256(i[member]).hexdigest() for n in sets for i in sets[n] if member in i]
        assert len(set(heard)) == len(heard) - 1000  # broken-readings are the readings' clips


def test_within_a_set_every_image_and_clip_is_used_once(sets: Sets) -> None:
    for items in sets.values():
        for source in ("image", "clip"):
            used = [item["meta"][source] for item in items if source in item["meta"]]
            assert len(used) == len(set(used))


def test_training_sets_hold_no_image_with_speech(sets: Sets) -> None:
    for name in ("captions", "readings", "broken-readings"):
        for item in sets[name]:
            assert not ("image.png" in item and "speech.flac" in item)
            assert not ("image" in item["meta"] and "clip" in item["meta"])


def test_held_out_voices_are_never_heard_in_training(sets: Sets) -> None:
    voices = {
        name: {item["meta"]["voice"] for item in items if "voice" in item["meta"]}
        for name, items in sets.items()
    }
    trained = voices["readings"] | voices["reserved"]
    assert len(trained) > 200
    assert not trained & voices["validation"]
    assert not trained & voices["triples"]
    assert not voices["validation"] & voices["triples"]
    variants = {name: {voice.split("+")[1] for voice in voices[name]} for name in voices}
    assert not variants["readings"] & variants["triples"]


def test_parts_are_matched_by_class_except_in_the_broken_set(sets: Sets) -> None:
    from sklearn.datasets import load_digits

    classes = load_digits().target
    spoken = {item["meta"]["clip"]: item["meta"]["digit"] for item in sets["readings"]}
    for name, items in sets.items():
        for item in items:
            digit = item["meta"]["digit"]
            if "image" in item["meta"]:
                assert classes[item["meta"]["image"]] == int(digit)
            if name == "broken-readings":
                assert spoken[item["meta"]["clip"]] == digit
                assert WORDS[int(item["meta"]["text_digit"])] in item["text.txt"].decode().split()
            elif "text.txt" in item:
                assert WORDS[int(digit)] in item["text.txt"].decode().split()


def test_broken_readings_keep_clips_and_texts_but_not_the_pairing(sets: Sets) -> None:
    whole, broken = sets["readings"], sets["broken-readings"]
    assert Counter(i["speech.flac"] for i in whole) == Counter(i["speech.flac"] for i in broken)
    assert Counter(i["text.txt"] for i in whole) == Counter(i["text.txt"] for i in broken)
    agree = sum(item["meta"]["text_digit"] == item["meta"]["digit"] for item in broken)
    assert 60 <= agree <= 140  # chance is 100, with a standard deviation of 9.5


def test_classes_are_balanced_and_not_in_order(sets: Sets) -> None:
    for name, items in sets.items():
        digits = [item["meta"]["digit"] for item in items]
        counts = Counter(digits)
        assert len(counts) == 10
        assert max(counts.values()) - min(counts.values()) <= max(6, len(items) // 100), name
        assert digits != sorted(digits)


def test_texts_are_short_lower_case_and_varied(sets: Sets) -> None:
    assert len(TEMPLATES) >= 12
    for template in TEMPLATES:
        assert not set(template.format("").split()) & set(WORDS)
        assert all(len(template.format(word)) <= 24 for word in WORDS)
    texts = [item["text.txt"].decode() for item in sets["captions"]]
    assert len(set(texts)) > 100
    assert all(text == text.lower() for text in texts)


def test_images_are_the_digits_scaled_to_a_byte(sets: Sets) -> None:
    from sklearn.datasets import load_digits

    images = load_digits().images
    for item in sets["captions"][:20]:
        image = Image.open(io.BytesIO(item["image.png"]))
        assert (image.mode, image.size) == ("L", (8, 8))
        expected = np.rint(images[item["meta"]["image"]] * 255 / 16)
        np.testing.assert_array_equal(np.asarray(image), expected)


def test_the_same_seed_gives_the_same_bytes_and_replaces_what_was_there(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    prepare("svl-digits", SPEECH, tmp_path, seed=0)
    names = sorted(
        path.name for path in folder.iterdir() if path.suffix not in (".json", ".safetensors")
    )
    found = sorted(
        path.name for path in tmp_path.iterdir() if path.suffix not in (".json", ".safetensors")
    )
    assert found == sorted([*names, "mine.txt"])
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    prepare("svl-digits", SPEECH, tmp_path, seed=1)
    one, two = ((f / "triples-000000.tar").read_bytes() for f in (folder, tmp_path))
    assert one != two


def test_the_clips_are_short_loud_and_not_clipped() -> None:
    soundfile = pytest.importorskip("soundfile")
    store = open_index(expand_shards("*.tar", SPEECH))
    assert sum(Path(place).stat().st_size for place in store.locations) < 9_000_000
    for sample in range(len(store)):
        data = store.read(sample, store.members(sample).index("speech.flac"))
        wave, rate = soundfile.read(io.BytesIO(data))
        assert (rate, wave.ndim) == (8000, 1)
        assert 0.25 <= len(wave) / rate <= 1.0
        assert 0.85 < np.abs(wave).max() < 0.95


def test_an_unknown_data_set_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean 'svl-digits'"):
        prepare("svl-digit", None, tmp_path)


def test_a_missing_source_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="data/svl-digits-speech"):
        prepare("svl-digits", None, tmp_path / "out")


def test_a_missing_package_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDependencyError, match=r"loretta-framework\[svl-digits\]"):
        prepare("svl-digits", SPEECH, tmp_path)


@pytest.mark.parametrize(
    ("meta", "message"), [({}, "must have speech.flac"), ({"voice": "x"}, "must have speech.flac")]
)
def test_a_clip_without_facts_is_named(meta: dict[str, str], message: str, tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "train") as writer:
        writer.write("c", {"speech.flac": b"", "meta.json": json.dumps(meta).encode()})
    with pytest.raises(ShardError, match=message) as caught:
        prepare("svl-digits", tmp_path, tmp_path / "out")
    assert "key 'c'" in caught.value.where


@pytest.mark.parametrize("role", ["train", "test"])
def test_too_few_clips_are_counted(role: str, tmp_path: Path) -> None:
    facts = {"digit": "0", "voice": "v", "role": role}
    with ShardWriter(tmp_path, "clips") as writer:
        writer.write("c", {"speech.flac": b"", "meta.json": json.dumps(facts).encode()})
    with pytest.raises(ShardError, match="clips of 'zero' are needed"):
        prepare("svl-digits", tmp_path, tmp_path / "out")
