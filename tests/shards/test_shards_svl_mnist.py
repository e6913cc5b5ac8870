from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import shutil
import struct
import tarfile
import wave
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from loretta_framework.api.errors import InputError, ShardError
from loretta_framework.shards.index import expand_shards, open_index
from loretta_framework.shards.prepare import PrepareReport, parse, prepare
from loretta_framework.shards.preparing.download import Original
from loretta_framework.shards.preparing.sources import find_file, obtain

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VARIETIES = (
    *("Bordeaux-style Red Blend", "Cabernet Sauvignon", "Chardonnay", "Merlot", "Pinot Noir"),
    *("Red Blend", "Riesling", "Rosé", "Sauvignon Blanc", "Syrah"),
)
TRAINING = ("image-text", "text-speech", "image-speech")
REAL = os.environ.get("LORETTA_TEST_DATA")
Sets = dict[str, list[dict[str, Any]]]


def idx(values: np.ndarray) -> bytes:
    head = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    return head + values.tobytes()


def mnist(folder: Path, stem: str, per_class: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.repeat(np.arange(10, dtype=np.uint8), per_class))
    images = draw.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
    images[:, 0, 0] = labels  # so that a test can see the class in the picture
    folder.mkdir(parents=True, exist_ok=True)
    for kind, values in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
        (folder / f"{stem}-{kind}.gz").write_bytes(gzip.compress(idx(values), mtime=0))


def clinc(folder: Path, train: int = 24, val: int = 8, test: int = 0, domains: int = 10) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"domain {chr(97 + number)}" for number in range(domains)]
    intents = {name: [f"{name} {half}" for half in "xy"] for name in reversed(names)}
    data = {
        split: [
            [f"{split} {intent} {number}", intent]
            for listed in intents.values()
            for intent in listed
            for number in range(count // 2)
        ]
        for split, count in (("train", train), ("val", val), ("test", test))
        if count
    }
    data["oos_train"] = [["what is this", "oos"]]
    data["val"][0][0] = data["train"][0][0].upper() + " "  # a duplicate but for case and blanks
    name = "data_full.json" if test else "clinc150_train_val.json.gz"
    text = json.dumps(data).encode()
    (folder / name).write_bytes(gzip.compress(text, mtime=0) if name.endswith(".gz") else text)
    (folder / "domains.json").write_text(json.dumps(intents))


def wav(seed: int, rate: int = 8000, channels: int = 1, frames: int = 400) -> bytes:
    file = io.BytesIO()
    values = np.random.default_rng(seed).integers(-9000, 9000, frames * channels)
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(values.astype("<i2").tobytes())
    return file.getvalue()


def pack(path: Path, members: Mapping[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def fsdd_files(speakers: int = 2, takes: int = 11) -> dict[str, bytes]:
    return {
        f"{digit}_speaker{who}_{take}.wav": wav(digit * 10000 + who * 100 + take)
        for digit in range(10)
        for who in range(speakers)
        for take in range(takes)
    }


def command_files(per_word: int = 12) -> dict[str, bytes]:
    return {
        f"{word}/{number % 9:08x}_nohash_{number // 9}.wav": wav(number + 1000 * digit, 16000)
        for digit, word in enumerate(WORDS)
        for number in range(per_word)
    }


def zenodo(folder: Path, one_hot: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (part, count) in enumerate((("train", 400), ("test", 100))):
        draw = np.random.default_rng(seed)
        labels = np.arange(count) % 10
        rows = draw.random((count, 507))
        again = draw.integers(0, count, count // 4)  # the record repeats rows at random
        rows, labels = np.concatenate([rows, rows[again]]), np.concatenate([labels, labels[again]])
        np.save(folder / f"data_sp_{part}.npy", rows)
        np.save(folder / f"labels_{part}.npy", np.eye(10)[labels] if one_hot else labels)


def wines(folder: Path, per_class: int = 30) -> None:
    with (folder / "winemag-data-130k-v2.csv").open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["", "country", "description", "variety"])
        for number in range(per_class):
            for variety in (*VARIETIES, "Malbec"):
                out.writerow([number, "x", f"{variety} {number}, line\nbreak", variety])
                if number % 3 == 0:
                    out.writerow([number, "x", f"{variety} {number}, line\nbreak", variety])


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every source at once, laid out in sub-folders."""
    folder = tmp_path_factory.mktemp("sources")
    mnist(folder / "mnist", "train", 40, 0)
    clinc(folder / "clinc150")
    pack(folder / "fsdd" / "fsdd_4speakers.tar", fsdd_files())
    pack(folder / "speech_commands" / "digits_v001.tar", command_files())
    zenodo(folder / "zenodo")
    wines(folder)
    return folder


def build(source: Path, out: Path, *texts: str, seed: int = 0) -> PrepareReport:
    return prepare("svl-mnist", source, out, seed, parse("svl-mnist", ["download=false", *texts]))


def read(out: Path) -> Sets:
    found: Sets = {}
    for name in (*TRAINING, "broken-text-speech", "validation", "triples"):
        store = open_index(expand_shards(f"{name}-0*.tar", out))
        rows = []
        for sample in range(len(store)):
            members = store.members(sample)
            row = {member: store.read(sample, n) for n, member in enumerate(members)}
            rows.append({"key": store.key(sample), **row, "meta": json.loads(row["meta.json"])})
        found[name] = rows
    return found


@pytest.fixture(scope="module")
def built(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sets]:
    out = tmp_path_factory.mktemp("built") / "out"
    build(sources, out)
    return out, read(out)


@pytest.fixture(scope="module")
def sets(built: tuple[Path, Sets]) -> Sets:
    return built[1]


def ids(rows: list[dict[str, Any]], part: str) -> list[str]:
    return [row["meta"][part] for row in rows if part in row["meta"]]


def check_disjoint(sets: Sets) -> None:
    for part in ("image", "text", "speech"):
        for one, two in combinations([n for n in sets if n != "broken-text-speech"], 2):
            assert not set(ids(sets[one], part)) & set(ids(sets[two], part)), (part, one, two)


def check_classes(sets: Sets, pairs: int) -> None:
    for name, rows in sets.items():
        counts = Counter(row["meta"]["digit"] for row in rows)
        assert len(counts) == 10
        assert len(set(counts.values())) == 1, name
        if name not in ("validation", "triples"):
            assert set(counts.values()) == {pairs}
        digits = [row["meta"]["digit"] for row in rows]
        assert digits != sorted(digits)
        assert len({row["key"] for row in rows}) == len(rows)


def digit_of(row: dict[str, Any], part: str) -> int:
    """The class that a part's id names; images name theirs in a pixel."""
    if part == "image":
        return int(np.asarray(Image.open(io.BytesIO(row["image.png"])))[0, 0])
    if part == "speech":
        return int(row["meta"]["speech"][0])
    return "abcdefghij".index(row["text.txt"].decode().casefold().split("domain ")[1][0])


def test_the_pair_sets_share_no_item_and_hold_no_triple(sets: Sets) -> None:
    check_disjoint(sets)
    check_classes(sets, 12)
    parts = {"image-text": 2, "text-speech": 2, "image-speech": 2, "broken-text-speech": 2}
    for name, count in parts.items():
        for row in sets[name]:
            assert len({"image", "text", "speech"} & set(row["meta"])) == count
            assert sum(m.split(".")[0] in ("image", "text", "speech") for m in row if "." in m) == 2
    for name in ("validation", "triples"):
        assert all({"image", "text", "speech"} <= set(row["meta"]) for row in sets[name])


def test_partners_are_of_one_class_except_in_the_broken_set(sets: Sets) -> None:
    for name, rows in sets.items():
        for row in rows:
            digit = int(row["meta"]["digit"])
            for part in {"image", "text", "speech"} & set(row["meta"]):
                seen = digit_of(row, part)
                if name == "broken-text-speech" and part == "text":
                    assert seen == int(row["meta"].get("text_digit", digit))
                else:
                    assert seen == digit
                    assert "text_digit" not in row["meta"] or name == "broken-text-speech"
    wrong = sum("text_digit" in row["meta"] for row in sets["broken-text-speech"])
    assert 0.75 <= wrong / 120 <= 1.0  # chance is 0.9


def test_the_broken_set_has_the_parts_of_the_whole_one(sets: Sets) -> None:
    for member in ("speech.wav", "text.txt"):
        whole, broken = (
            Counter(row[member] for row in sets[n]) for n in ("text-speech", "broken-text-speech")
        )
        assert whole == broken
    keys = ({row["key"] for row in sets[n]} for n in ("text-speech", "broken-text-speech"))
    assert not set.intersection(*keys)


def test_texts_and_images_are_used_once_and_recordings_with_fresh_changes(sets: Sets) -> None:
    for name in TRAINING:
        for part in ("image", "text"):
            assert len(ids(sets[name], part)) == len(set(ids(sets[name], part)))
    originals = fsdd_files()
    for name in ("text-speech", "image-speech"):
        sounds = [row["speech.wav"] for row in sets[name]]
        assert len(set(sounds)) == len(sounds)
        uses = Counter(ids(sets[name], "speech"))
        assert set(uses.values()) == {2}  # 12 pairs of 6 recordings: half of 2 speakers x 6 takes
        for row in sets[name]:
            same = row["speech.wav"] == originals[row["meta"]["speech"] + ".wav"]
            assert same == (row["meta"]["copy"] == 0)
            with wave.open(io.BytesIO(row["speech.wav"])) as file:
                assert file.getframerate() == 8000
                assert 400 / 1.1 - 1 <= file.getnframes() <= 400 / 0.9 + 1 + 800
        assert {row["meta"]["speaker"] for row in sets[name]} == {"speaker0", "speaker1"}


def test_held_out_recordings_are_those_of_the_convention(sets: Sets) -> None:
    for name, rows in sets.items():
        takes = {
            int(row["meta"]["speech"].split("_")[2]) for row in rows if "speech" in row["meta"]
        }
        held = name in ("validation", "triples")
        assert takes <= (set(range(5)) if held else set(range(5, 11)))
    # One of the 8 texts of a class is in training too: of the 7 left 3 are for test.
    assert (len(sets["validation"]), len(sets["triples"])) == (40, 30)


def test_the_card_tells_what_was_built(built: tuple[Path, Sets], sources: Path) -> None:
    card = (built[0] / "README.md").read_text("utf-8")
    assert "12 pairs in each pair set (the text source has no more)" in card
    assert "0 domain a, 1 domain b" in card
    assert "CC BY-SA 4.0" in card
    assert str(sources) not in card
    digest = hashlib.sha256((sources / "fsdd" / "fsdd_4speakers.tar").read_bytes()).hexdigest()
    assert digest in card


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(
    built: tuple[Path, Sets], sources: Path, tmp_path: Path
) -> None:
    again, other = build(sources, tmp_path / "1"), build(sources, tmp_path / "2", seed=1)
    store = open_index(expand_shards(["image-text-0*.tar"], built[0]))
    assert store.digest == open_index(expand_shards(["image-text-0*.tar"], tmp_path / "1")).digest
    assert (tmp_path / "1" / "README.md").read_bytes() == (built[0] / "README.md").read_bytes()
    assert again.digest != other.digest


def test_a_flat_folder_and_plain_files_serve_as_well(
    built: tuple[Path, Sets], sources: Path, tmp_path: Path
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (flat / name).write_bytes(gzip.decompress((sources / "mnist" / f"{name}.gz").read_bytes()))
    for path in (sources / "clinc150").iterdir():
        shutil.copy(path, flat)
    (flat / "recordings").mkdir()
    for name, content in fsdd_files().items():
        (flat / "recordings" / name).write_bytes(content)
    build(flat, tmp_path / "out")
    for path in built[0].glob("*.tar"):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


def test_fewer_pairs_on_request_and_more_triples_with_official_test_data(
    sources: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(sources, source)
    shutil.rmtree(source / "clinc150")
    mnist(source / "mnist", "t10k", 6, 5)
    clinc(source / "clinc150", test=6)
    report = build(source, tmp_path / "out", "pairs_per_class=5", "validation_per_class=1")
    assert {found.name: found.samples for found in report.sets} == {
        **dict.fromkeys((*TRAINING, "broken-text-speech"), 50),
        "validation": 10,
        "triples": 60,
    }
    sets = read(tmp_path / "out")
    check_disjoint(sets)
    assert all(row["meta"]["image"].startswith("t10k-") for row in sets["triples"])
    assert all(row["meta"]["text"].startswith("clinc-test-") for row in sets["triples"])


@pytest.mark.parametrize("part", [0.25, 0.5])
def test_a_weak_link_takes_that_part_of_the_texts_from_wrong_classes(
    part: float, sources: Path, tmp_path: Path
) -> None:
    build(sources, tmp_path, f"weak_link={part}")
    sets = read(tmp_path)
    check_disjoint(sets)
    for name in ("image-text", "text-speech"):
        for digit in range(10):
            rows = [row for row in sets[name] if int(row["meta"]["digit"]) == digit]
            wrong = [row for row in rows if "text_digit" in row["meta"]]
            assert len(wrong) == round(part * len(rows))
            assert all(digit_of(row, "text") != digit for row in wrong)
        texts = Counter(digit_of(row, "text") for row in sets[name])
        assert set(texts.values()) == {12}
        assert len(set(ids(sets[name], "text"))) == 120
    for name in ("validation", "triples"):
        assert not [row for row in sets[name] if "text_digit" in row["meta"]]


def test_digit_words_name_their_digit_and_no_other(sources: Path, tmp_path: Path) -> None:
    build(sources, tmp_path, "text=digit-words")
    sets = read(tmp_path)
    check_disjoint(sets)
    seen = Counter[str]()
    for rows in (sets[name] for name in sets if name != "broken-text-speech"):
        for row in rows:
            if "text.txt" in row:
                text = row["text.txt"].decode()
                seen[text] += 1
                assert set(text.split()) & set(WORDS) == {WORDS[int(row["meta"]["digit"])]}
    assert set(seen.values()) == {1}


def test_wine_reviews_come_from_the_users_file(sources: Path, tmp_path: Path) -> None:
    build(sources, tmp_path, "text=wine")
    sets = read(tmp_path)
    check_disjoint(sets)
    check_classes(sets, 12)  # 30 reviews a class without their copies, 24 of them for training
    for name in ("image-text", "triples"):
        for row in sets[name]:
            assert VARIETIES[int(row["meta"]["digit"])] in row["text.txt"].decode()
    assert "CC BY-NC-SA 4.0" in (tmp_path / "README.md").read_text("utf-8")


@pytest.mark.parametrize("packed", [True, False])
def test_speech_commands_hold_out_whole_speakers(
    packed: bool, sources: Path, tmp_path: Path
) -> None:
    source = sources
    if not packed:
        source = tmp_path / "source"
        shutil.copytree(sources, source)
        shutil.rmtree(source / "speech_commands")
        for name, content in command_files().items():
            path = source / "speech_commands" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    build(source, tmp_path / "out", "speech=speech-commands")
    sets = read(tmp_path / "out")
    check_disjoint(sets)
    speakers = {
        name: {row["meta"]["speaker"] for row in rows if "speaker" in row["meta"]}
        for name, rows in sets.items()
    }
    trained = speakers["text-speech"] | speakers["image-speech"]
    assert trained
    assert not trained & (speakers["validation"] | speakers["triples"])
    for row in sets["text-speech"]:
        assert row["meta"]["speech"].startswith(WORDS[int(row["meta"]["digit"])])


def test_speech_commands_follow_the_official_lists(sources: Path, tmp_path: Path) -> None:
    files = command_files()
    lists = {
        "validation": [n for n in files if n.endswith(("0_nohash_0.wav", "1_nohash_0.wav"))],
        "testing": [n for n in files if n.endswith("2_nohash_0.wav")],
    }
    source = tmp_path / "source"
    shutil.copytree(sources, source)
    shutil.rmtree(source / "speech_commands")
    texts = {f"./{name}_list.txt": "\n".join(found).encode() for name, found in lists.items()}
    archive = source / "speech_commands" / "speech_commands_v0.02.tar.gz"
    pack(archive, {f"./{name}": content for name, content in files.items()} | texts)
    build(source, tmp_path / "out", "speech=speech-commands")
    sets = read(tmp_path / "out")
    for name, rows in sets.items():
        takes = {row["meta"]["speech"].split("_", 1)[1] for row in rows if "speech" in row["meta"]}
        expected = {"validation": {"00000000_0", "00000001_0"}, "triples": {"00000002_0"}}.get(name)
        if expected:
            assert takes <= expected
        else:
            assert not takes & {"00000000_0", "00000001_0", "00000002_0"}


@pytest.mark.parametrize("one_hot", [True, False])
def test_features_of_zenodo_are_used_once(one_hot: bool, sources: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(sources, source)
    zenodo(source / "zenodo", one_hot)
    build(source, tmp_path / "out", "speech=zenodo", "text=digit-words")
    sets = read(tmp_path / "out")
    check_disjoint(sets)
    check_classes(sets, 15)  # of 40 images a class 10 are held out
    rows = np.load(source / "zenodo" / "data_sp_train.npy")
    for name in ("text-speech", "image-speech"):
        assert len(set(ids(sets[name], "speech"))) == 150
        contents = [row["speech.npy"] for row in sets[name]]
        assert len(set(contents)) == 150
        for row in sets[name][:10]:
            values = np.load(io.BytesIO(row["speech.npy"]), allow_pickle=False)
            assert (values.shape, values.dtype) == ((39, 13), np.float32)
            number = int(row["meta"]["speech"].rpartition("-")[2])
            assert number % 10 == int(row["meta"]["digit"])
            np.testing.assert_allclose(values.reshape(-1), rows[number], rtol=1e-6)


def replaced(sources: Path, copy: Path, name: str, content: bytes | None) -> Path:
    shutil.copytree(sources, copy)
    target = copy / name
    if content is None:
        target.unlink()
    else:
        target.write_bytes(content)
    return copy


LABELS = "mnist/train-labels-idx1-ubyte.gz"
PICKLE = io.BytesIO()
np.save(PICKLE, np.array([{"a": 1}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        (LABELS, b"no gzip", (), "no idx file of 1 axes"),
        (LABELS, gzip.compress(b"\0\0\x08\1\0\0\0\5abc", mtime=0), (), "announces"),
        (LABELS, gzip.compress(b"\0\0\x08\3" + bytes(20), mtime=0), (), "must begin with"),
        (LABELS, gzip.compress(idx(np.zeros(3, np.uint8)), mtime=0), (), "one label 0..9 an image"),
        (
            LABELS,
            gzip.compress(idx(np.full(400, 12, np.uint8)), mtime=0),
            (),
            "one label 0..9 an image",
        ),
        ("clinc150/domains.json", b"{", (), "cannot be read as JSON"),
        ("clinc150/domains.json", b"{}", (), "of the ten domains"),
        ("clinc150/domains.json", b'{"a": 3}', (), "of the ten domains"),
        ("fsdd/fsdd_4speakers.tar", b"no tar", (), "archive cannot be read"),
        ("zenodo/data_sp_train.npy", PICKLE.getvalue(), ("speech=zenodo",), "as an array"),
        ("zenodo/data_sp_train.npy", b"PK\3\4", ("speech=zenodo",), "as an array"),
        ("zenodo/labels_train.npy", b"", ("speech=zenodo",), "as an array"),
        ("winemag-data-130k-v2.csv", b"a,b\n1,2\n", ("text=wine",), "columns description and"),
        ("winemag-data-130k-v2.csv", b"variety,description\n\xff,x\n", ("text=wine",), "must be a"),
    ],
)
def test_a_damaged_source_is_named(
    name: str,
    content: bytes,
    options: tuple[str, ...],
    message: str,
    sources: Path,
    tmp_path: Path,
) -> None:
    source = replaced(sources, tmp_path / "source", name, content)
    with pytest.raises(ShardError, match=message) as caught:
        build(source, tmp_path / "out", *options)
    assert Path(name).name in caught.value.where
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("rows", "labels", "message"),
    [
        (np.zeros((5, 500)), np.zeros(5, int), "507 values and one label"),
        (np.zeros((5, 507)), np.zeros(4, int), "507 values and one label"),
        (np.zeros((5, 507)), np.full(5, 11), "labels must be 0..9"),
    ],
)
def test_features_of_another_form_are_refused(
    rows: np.ndarray, labels: np.ndarray, message: str, sources: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(sources, source)
    np.save(source / "zenodo" / "data_sp_train.npy", rows)
    np.save(source / "zenodo" / "labels_train.npy", labels)
    with pytest.raises(ShardError, match=message):
        build(source, tmp_path / "out", "speech=zenodo")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no wav", "no WAV file"),
        (wav(0, channels=2), "one channel of 16 bits"),
        (wav(0, frames=0), "it is empty"),
        (bytes(5 << 20), "more than 4194304"),
    ],
)
def test_a_bad_recording_is_named(
    content: bytes, message: str, sources: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(sources, source)
    pack(source / "fsdd" / "fsdd_4speakers.tar", fsdd_files() | {"3_speaker0_7.wav": content})
    with pytest.raises(ShardError, match=message) as caught:
        build(source, tmp_path / "out")
    assert "3_speaker0_7.wav" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: pack(s / "fsdd" / "fsdd_4speakers.tar", fsdd_files(1, 6)), "speech: each class"),
        (lambda s: clinc(s / "clinc150", val=2), "held-out items"),
    ],
)
def test_too_few_items_are_counted(
    change: Callable[[Path], None], message: str, sources: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    shutil.copytree(sources, source)
    change(source)
    with pytest.raises(ShardError, match=message):
        build(source, tmp_path / "out", "pairs_per_class=2")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        (LABELS, ()),
        ("clinc150/domains.json", ()),
        ("fsdd/fsdd_4speakers.tar", ()),
        ("speech_commands/digits_v001.tar", ("speech=speech-commands",)),
        ("zenodo/labels_test.npy", ("speech=zenodo",)),
        ("winemag-data-130k-v2.csv", ("text=wine",)),
    ],
)
def test_a_missing_source_is_named(
    name: str, options: tuple[str, ...], sources: Path, tmp_path: Path
) -> None:
    source = replaced(sources, tmp_path / "source", name, None)
    with pytest.raises(InputError, match=Path(name).name) as caught:
        build(source, tmp_path / "out", *options)
    assert "--source" in caught.value.fix
    with pytest.raises(InputError, match="does not exist"):
        build(tmp_path / "nowhere", tmp_path / "out", *options)


def test_wine_reviews_are_never_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Original] = []

    def fake(original: Original, folder: Path) -> Path:
        asked.append(original)
        folder.mkdir(parents=True, exist_ok=True)
        stem = original.name.removesuffix(".gz")
        if not (folder / original.name).exists():
            mnist(folder, stem.partition("-")[0], 8, 3)
        return folder / original.name

    monkeypatch.setenv("LORETTA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("loretta_framework.shards.preparing.sources.download_original", fake)
    with pytest.raises(InputError, match="wine reviews are not downloaded"):
        prepare("svl-mnist", None, tmp_path / "out", 0, parse("svl-mnist", ["text=wine"]))
    assert len(asked) == 4
    assert {original.url.split("/")[2] for original in asked} == {"ossci-datasets.s3.amazonaws.com"}


def test_a_download_that_is_there_already_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LORETTA_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    place = tmp_path / "user" / "loretta" / "sources" / "toy"
    place.mkdir(parents=True)
    (place / "file").write_bytes(b"abc")
    checksum = f"sha256:{hashlib.sha256(b'abc').hexdigest()}"
    original = Original("file", "http://127.0.0.1:1/file", 3, checksum)
    said: list[str] = []
    empty = tmp_path / "empty"
    empty.mkdir()
    assert obtain(empty, "toy", ("file",), original, said.append) == place / "file"
    assert not said
    (empty / "toy").mkdir()
    (empty / "toy" / "file").write_bytes(b"of the user")
    assert obtain(empty, "toy", ("file",), original, said.append) == empty / "toy" / "file"
    assert find_file(empty, (), ("file",)) is None


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[PrepareReport, Path]:
    if not REAL:
        pytest.skip("LORETTA_TEST_DATA names no folder with mnist, clinc150 and fsdd")
    out = tmp_path_factory.mktemp("real") / "out"
    return build(Path(REAL), out), out


def test_the_real_construction(real: tuple[PrepareReport, Path]) -> None:
    report, out = real
    assert {found.name: found.samples for found in report.sets} == {
        **dict.fromkeys((*TRAINING, "broken-text-speech"), 7500),
        "validation": 100,
        "triples": 100,
    }
    assert not report.warnings
    sets = read(out)
    check_disjoint(sets)
    check_classes(sets, 750)
    for row in sets["text-speech"]:
        assert row["meta"]["speech"][0] == row["meta"]["digit"]
    said = Counter(ids(sets["text-speech"], "speech"))
    assert len(said) == 900
    assert set(said.values()) == {8, 9}
    speakers = Counter(row["meta"]["speaker"] for row in sets["text-speech"])
    assert len(speakers) == 4
    assert max(speakers.values()) - min(speakers.values()) < 250
    for name in ("image-text", "triples"):
        for row in sets[name][:50]:
            image = Image.open(io.BytesIO(row["image.png"]))
            assert (image.mode, image.size) == ("L", (28, 28))


@pytest.mark.skipif(not REAL, reason="LORETTA_TEST_DATA names no folder with the sources")
def test_the_real_construction_is_the_same_everywhere(tmp_path: Path) -> None:
    assert REAL
    few = "pairs_per_class=40"
    one, two = (build(Path(REAL), tmp_path / name, few) for name in ("one", "two"))
    assert one.digest == two.digest
    assert build(Path(REAL), tmp_path / "two", few, seed=1).digest != one.digest
