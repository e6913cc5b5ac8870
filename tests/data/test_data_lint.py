"""`loretta data lint --recipe`: declarations, media, leaks, and decoders that crash or hang."""

from __future__ import annotations

import io
import json
import shutil
import sys
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import loretta_framework as loretta
from loretta_framework.cli.main import main
from loretta_framework.data import supervised
from loretta_framework.data.linting.decode_check import is_finite
from loretta_framework.data.linting.lint import lint_recipe
from loretta_framework.data.linting.media import MediaSet, lint_media
from loretta_framework.data.recipe_data import RecipeParts
from loretta_framework.data.supervised import Died, run_rows
from loretta_framework.shards.linting.contents import Contents
from loretta_framework.shards.linting.findings import Finding
from loretta_framework.shards.linting.lint import lint_shard
from loretta_framework.shards.writing import ShardWriter

Image = pytest.importorskip("PIL.Image")

RECIPE = """
schema_version: 1
name: toy
modalities:
  image: {kind: image.pixels, settings: {height: 4, width: 4, max_pixels: 10000, max_bytes: 5000}}
  text: {kind: text_bytes, settings: {max_tokens: 8}}
  speech: {kind: audio.mel_codes, settings: {max_seconds: 1.0}}
data:
  train:
    - {name: captions, shards: "captions-*.tar", modalities: [image, text]MORE}
    - {name: readings, shards: "readings-*.tar", modalities: [text, speech]}
  test:
    - {name: triples, shards: "triples-*.tar", modalities: [image, text, speech], label: meta.digit}
"""


def png(seed: int, size: int = 6) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def wav(seed: int, samples: int = 800) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(np.random.default_rng(seed).integers(-9000, 9000, samples, "<i2").tobytes())
    return file.getvalue()


class Workshop:
    """A recipe with three small sets that a test may change before it writes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sets: dict[str, dict[str, dict[str, bytes]]] = {
            "captions": {
                f"i{n}": {"image.png": png(n), "text.txt": b"word %d" % n} for n in range(4)
            },
            "readings": {
                f"c{n}": {"speech.wav": wav(n), "text.txt": b"word %d" % n} for n in range(4)
            },
            "triples": {
                f"t{n}": {
                    "image.png": png(10 + n),
                    "speech.wav": wav(10 + n),
                    "text.txt": b"word %d" % n,
                    "meta.json": json.dumps({"digit": n}).encode(),
                }
                for n in range(3)
            },
        }

    def path(self, more: str = "") -> Path:
        for name, samples in self.sets.items():
            with ShardWriter(self.folder, name) as writer:
                for key, members in samples.items():
                    writer.write(key, members)
        path = self.folder / "r.yaml"
        path.write_text(RECIPE.replace("MORE", more))
        return path

    def lint(self, more: str = "", **options: Any) -> list[Finding]:
        loaded = loretta.load_recipe(self.path(more))
        return list(lint_recipe(loaded, children=1, **options))


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def told(findings: list[Finding]) -> list[tuple[str, str, str, str]]:
    return [(f.severity, f.code, f.key, f.member) for f in findings]


def test_good_data_has_no_finding(shop: Workshop, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "lint", "--recipe", str(shop.path())]) == 0
    assert capsys.readouterr().out == "0 errors, 0 warnings\n"


def test_media_that_cannot_be_used_are_named_each(shop: Workshop) -> None:
    shop.sets["captions"]["i0"]["image.png"] = b"no picture, but long enough to be one"
    shop.sets["captions"]["i1"]["text.txt"] = b"far too long a text"
    shop.sets["captions"]["i2"]["image.png"] = png(3, 200)  # above max_bytes, told from the header
    shop.sets["captions"]["i3"]["image.png"] = png(4)[:60]
    shop.sets["readings"]["c0"]["speech.wav"] = wav(0, 8001)
    del shop.sets["triples"]["t0"]["meta.json"]
    shop.sets["triples"]["t1"]["meta.json"] = b'{"other": 1}'
    findings = shop.lint()
    assert sorted(told(findings)) == sorted(
        [
            ("error", "over-limit", "i2", "image.png"),
            ("error", "unreadable-media", "i0", "image"),
            ("error", "out-of-range", "i1", "text"),
            ("error", "unreadable-media", "i3", "image"),
            ("error", "unreadable-media", "c0", "speech"),
            ("error", "bad-label", "t0", "meta.json"),
            ("error", "bad-label", "t1", "meta.json"),
        ]
    )
    assert all(f.shard.endswith("-000000.tar") and f.offset is not None and f.fix for f in findings)
    assert {f.data_set for f in findings} == {"train/captions", "train/readings", "test/triples"}


def test_declarations_are_compared_with_what_is_there(shop: Workshop) -> None:
    for members in shop.sets["readings"].values():
        del members["speech.wav"]
        members["image.png"] = png(int(members["text.txt"][-1:]) + 50)
        members["depth.png"] = b"x"
    findings = [f for f in shop.lint() if f.data_set == "train/readings"]
    assert sorted(told(findings)) == sorted(
        [
            ("warning", "unused-member", "c0", "depth.png"),
            ("warning", "undeclared-modality", "c0", "image.png"),
            ("error", "absent-modality", "", ""),
        ]
    )
    assert "4 members" in next(f.what for f in findings if f.code == "unused-member")


def test_missing_modalities_are_errors_only_where_the_set_says_so(shop: Workshop) -> None:
    del shop.sets["captions"]["i1"]["text.txt"]
    assert shop.lint() == []
    (finding,) = shop.lint(", missing: error")
    assert (finding.code, finding.key) == ("missing-modality", "i1")
    assert "lacks text" in finding.what


def test_an_item_in_training_and_test_is_a_leak(shop: Workshop) -> None:
    picture = shop.sets["captions"]["i2"]["image.png"]
    shop.sets["triples"]["t1"]["image.png"] = picture
    (finding,) = shop.lint()
    assert told([finding]) == [("error", "leak", "t1", "image.png")]
    assert "key 'i2'" in finding.what
    assert finding.data_set == "test/triples"


def test_an_item_in_two_training_sets_is_a_warning(shop: Workshop) -> None:
    for members in shop.sets["readings"].values():
        members["image.png"] = png(int(members["text.txt"][-1:]) + 50)
    shop.sets["readings"]["c3"]["image.png"] = shop.sets["captions"]["i0"]["image.png"]
    found = [f for f in shop.lint() if f.code == "shared-item"]
    assert told(found) == [("warning", "shared-item", "c3", "image.png")]


def test_a_whole_sample_is_a_leak_however_small(shop: Workshop) -> None:
    for n in range(3):
        shop.sets["captions"][f"i{n}"] = {"image.png": b"p%d" % n, "text.txt": b"t%d" % n}
    shop.sets["triples"]["t2"].update(shop.sets["captions"]["i1"])
    del shop.sets["triples"]["t2"]["speech.wav"]
    found = [f for f in shop.lint() if f.code == "leak"]
    assert told(found) == [("error", "leak", "t2", "image.png")]
    assert "this sample of test/triples" in found[0].what


def test_keys_that_name_items_are_compared_between_splits(shop: Workshop) -> None:
    shop.sets["captions"]["photo-of-anna"] = shop.sets["captions"].pop("i0")
    shop.sets["triples"]["photo-of-anna"] = shop.sets["triples"].pop("t0")
    shop.sets["triples"]["i1"] = shop.sets["triples"].pop("t1")
    (finding,) = shop.lint()
    assert (finding.severity, finding.code) == ("warning", "shared-key")
    assert "'photo-of-anna'" in finding.what
    assert "1 keys" in finding.what


def test_a_shard_that_cannot_be_indexed_does_not_hide_the_others(shop: Workshop) -> None:
    shop.sets["readings"]["c1"]["speech.wav"] = b"noise"
    path = shop.path()
    broken = shop.folder / "captions-000000.tar"
    broken.write_bytes(broken.read_bytes()[:-9000])
    codes = [f.code for f in lint_recipe(loretta.load_recipe(path), children=1)]
    assert codes == ["truncated", "not-decoded", "unreadable-media"]


def test_a_set_without_shards_is_named_with_its_line(shop: Workshop) -> None:
    path = shop.path()
    (shop.folder / "readings-000000.tar").unlink()
    (finding,) = lint_recipe(loretta.load_recipe(path), children=1)
    assert (finding.code, finding.data_set) == ("no-shards", "train/readings")
    assert "r.yaml:11" in finding.what


def test_any_shards_can_be_checked_with_a_recipe(
    shop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.sets["captions"]["i0"]["image.png"] = b"no picture"
    path = shop.path()
    shard = str(shop.folder / "captions-000000.tar")
    assert main(["data", "lint", shard, "--recipe", str(path), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert [(f["code"], f["key"]) for f in told["findings"]] == [("unreadable-media", "i0")]


TEXTS = """
schema_version: 1
name: texts
modalities: {text: {kind: text_bytes, settings: {max_tokens: 64}}}
data:
  train: [{name: one, shards: ONE, modalities: [text]SOURCE}]
  test: [{name: two, shards: TWO, modalities: [text]SOURCE}]
train: {steps: 4}
"""


def lint_texts(folder: Path, one: str, two: str, source: str = "") -> list[Finding]:
    text = TEXTS.replace("ONE", one).replace("TWO", two).replace("SOURCE", source)
    (folder / "t.yaml").write_text(text)
    return list(lint_recipe(loretta.load_recipe(folder / "t.yaml"), children=1))


def write_texts(folder: Path, name: str, texts: list[str], first: int = 0) -> None:
    with ShardWriter(folder, name) as writer:
        for number, text in enumerate(texts, first):
            writer.write(f"{number:06d}", {"text.txt": text.encode()})


def test_a_shard_of_two_splits_is_a_leak_whatever_it_holds(tmp_path: Path) -> None:
    write_texts(tmp_path, "a", ["yes", "no", "yes"])
    (finding,) = lint_texts(tmp_path, "a-*.tar", "a-000000.tar")
    assert (finding.severity, finding.code) == ("error", "leak")
    assert finding.shard == str(tmp_path / "a-000000.tar")
    assert finding.what == "test/two and train/one name the same shard"
    shutil.copy(tmp_path / "a-000000.tar", tmp_path / "copy.tar")
    (finding,) = lint_texts(tmp_path, "a-*.tar", "copy.tar")
    assert (finding.severity, finding.code) == ("error", "leak")
    assert f"under the same keys as {tmp_path / 'a-000000.tar'}" in finding.what
    write_texts(tmp_path, "b", ["yes", "no", "no"])
    assert lint_texts(tmp_path, "a-*.tar", "b-*.tar") == []


def test_short_texts_are_items_where_many_of_them_differ(tmp_path: Path) -> None:
    sentences = [f"short sentence no {n:02d}" for n in range(50)]
    write_texts(tmp_path, "a", [*sentences, "one of train alone"])
    write_texts(tmp_path, "b", ["one of test alone", *sentences], first=100)
    found = lint_texts(tmp_path, "a-*.tar", "b-*.tar")
    assert {(f.severity, f.code, f.member) for f in found} == {("error", "leak", "text.txt")}
    assert sorted(f.key for f in found) == [f"{101 + n:06d}" for n in range(50)]
    words = [f"class {n % 10}" for n in range(60)]
    write_texts(tmp_path, "a", words)
    write_texts(tmp_path, "b", words[:59])
    assert lint_texts(tmp_path, "a-*.tar", "b-*.tar") == []


def test_rows_of_two_splits_are_compared(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("loretta_plugin_tables")
    source = ", source: {kind: tables.parquet, settings: {columns: {c: text.txt}}}"

    def write(name: str, texts: list[str]) -> None:
        pq.write_table(pa.table({"c": texts}), tmp_path / name)

    write("a.parquet", ["yes", "no", "yes"])
    (finding,) = lint_texts(tmp_path, "a.parquet", "a.parquet", source)
    assert (finding.code, finding.what) == ("leak", "test/two and train/one name the same shard")
    shutil.copy(tmp_path / "a.parquet", tmp_path / "copy.parquet")
    (finding,) = lint_texts(tmp_path, "a.parquet", "copy.parquet", source)
    assert (finding.severity, finding.code) == ("error", "leak")
    sentences = [f"short sentence no {n:02d}" for n in range(50)]
    write("a.parquet", [*sentences, "one of train alone"])
    write("b.parquet", ["one of test alone", sentences[7]])
    (finding,) = lint_texts(tmp_path, "a.parquet", "b.parquet", source)
    assert told([finding]) == [("error", "leak", "000000001", "text.txt")]
    assert (finding.shard, finding.offset) == (str(tmp_path / "b.parquet"), None)


def test_copied_tables_of_which_splits_take_other_columns_are_a_leak(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pytest.importorskip("loretta_plugin_tables")
    pq.write_table(pa.table({"c": ["a", "b"], "d": ["e", "f"]}), tmp_path / "a.parquet")
    shutil.copy(tmp_path / "a.parquet", tmp_path / "b.parquet")
    source = ", source: {kind: tables.parquet, settings: {columns: {COLUMN: text.txt}}}"
    text = TEXTS.replace("ONE", "a.parquet").replace("TWO", "b.parquet")
    for column in ("c", "d"):
        text = text.replace("SOURCE", source.replace("COLUMN", column), 1)
    (tmp_path / "t.yaml").write_text(text)
    (finding,) = lint_recipe(loretta.load_recipe(tmp_path / "t.yaml"), children=1)
    assert (finding.severity, finding.code, finding.data_set) == ("error", "leak", "test/two")
    assert finding.what == "its tables are those of train/one, copied"


def test_shards_of_two_splits_in_one_folder_may_use_the_same_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "test", "more"):
        write_texts(tmp_path / "d", name, [f"{name} sentence"])
    text = TEXTS.replace("ONE", "d/train-*.tar").replace("TWO", "d/test-*.tar")
    (tmp_path / "t.yaml").write_text(text.replace("SOURCE", ""))
    command = ["data", "lint", str(tmp_path / "d"), "--recipe", str(tmp_path / "t.yaml")]
    assert main(command) == 0
    assert capsys.readouterr().out == "0 errors, 0 warnings\n"
    (tmp_path / "d" / "more-000000.tar").rename(tmp_path / "d" / "train-000001.tar")
    assert main(command) == 2
    assert "duplicate-key" in capsys.readouterr().out


def test_members_that_are_one_part_are_told_in_the_words_of_training(tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "a") as writer:
        writer.write("k", {"text.txt": b"one", "text.caption": b"two"})
    write_texts(tmp_path, "b", ["three"])
    (finding,) = lint_texts(tmp_path, "a-*.tar", "b-*.tar")
    assert told([finding]) == [("error", "duplicate-part", "k", "text.txt")]
    assert finding.what == "'text.caption' and 'text.txt' are both text number 0"
    assert finding.fix == "number the members: image.0.png, image.1.png"


def test_an_order_is_judged_by_the_modalities_of_the_recipe(tmp_path: Path) -> None:
    order = b'["text.0", "speech.0"]'
    with ShardWriter(tmp_path, "a") as writer:
        writer.write("k", {"text.txt": b"one", "sequence.json": order})
        writer.write("l", {"text.txt": b"one", "text.1.txt": b"two", "sequence.json": order})
    write_texts(tmp_path, "b", ["three"])
    (finding,) = lint_texts(tmp_path, "a-*.tar", "b-*.tar")
    assert told([finding]) == [("error", "bad-sequence", "l", "sequence.json")]


HOSTILE = """
import ctypes, time
import numpy as np

class Hostile:
    def read(self, data, extension):
        if data == b"crash":
            ctypes.string_at(0)
        if data == b"hang":
            time.sleep(600)
        if data == b"bug":
            return missing_name
        if data == b"memory":
            return bytearray(1 << 40)
        if data == b"nan":
            return (np.array([1.0, np.nan]), 8000)
        return data

    def encode(self, value):
        return np.frombuffer(value, np.uint8).astype(np.int64)

class Squares:
    def start(self):
        return lambda row: row * row

class Broken:
    def start(self):
        from loretta_framework.api.errors import ShardError
        raise ShardError("gone", where="x.tar")
"""


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module that children can import too."""
    (tmp_path / "hostile_toys.py").write_text(HOSTILE)
    monkeypatch.syspath_prepend(tmp_path)
    import hostile_toys  # type: ignore[import-not-found]

    yield hostile_toys
    sys.modules.pop("hostile_toys", None)


def test_crashes_and_hangs_cost_a_row_each(
    hostile: Any, write: Callable[..., tuple[str, ...]], toy: SimpleNamespace
) -> None:
    data: Mapping[str, bytes] = {
        "a": b"fine",
        "b": b"crash",
        "c": b"hang",
        "d": b"bug",
        "e": b"memory",
        "f": b"nan",
        "g": b"far too long a text",
        "h": b"fine too",
    }
    shards = write("s", {key: {"text.bin": value} for key, value in data.items()}, per_shard=100)
    plan = toy.set("s", shards, ["text"])
    vocabulary = toy.plan([plan]).vocabulary
    parts = RecipeParts({"text": hostile.Hostile()}, vocabulary, frozenset(), {}, {})
    contents = Contents()
    assert [list(lint_shard(shard, contents)) for shard in shards] == [[]]
    findings = list(lint_media([MediaSet(plan, None, contents)], parts, 2, seconds=3.0))
    assert sorted((f.key, f.code) for f in findings) == [
        ("b", "decoder-crashed"),
        ("c", "decoder-hung"),
        ("d", "plugin-bug"),
        ("e", "too-much-memory"),
        ("f", "not-finite"),
        ("f", "plugin-bug"),
        ("g", "out-of-range"),
    ]
    crashed = next(f for f in findings if f.code == "decoder-crashed")
    assert "SIGSEGV" in crashed.what
    assert crashed.offset == 1024


def test_rows_come_back_once_whatever_the_children(hostile: Any) -> None:
    for children in (1, 3):
        answers = dict(run_rows(hostile.Squares(), 200, children, 30.0, chunk=7))
        assert answers == {row: row * row for row in range(200)}
    assert list(run_rows(hostile.Squares(), 0, 2, 30.0)) == []


def test_an_error_of_ours_in_a_child_is_raised_here(hostile: Any) -> None:
    from loretta_framework.api.errors import ShardError

    with pytest.raises(ShardError, match="gone"):
        list(run_rows(hostile.Broken(), 3, 1, 30.0))


def test_a_child_that_cannot_start_is_an_error(
    hostile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from loretta_framework.api.errors import LorettaError

    monkeypatch.setattr(supervised, "_START_SECONDS", -1.0)
    monkeypatch.setattr(supervised, "wait", lambda *_, **__: [])  # nothing is heard of it
    with pytest.raises(LorettaError, match="could not start"):
        list(run_rows(hostile.Squares(), 3, 1, 30.0))
    assert Died(True, "x").hung


@pytest.mark.parametrize(
    ("value", "finite"),
    [
        (np.array([1, 2]), True),
        (np.array([1.0, np.inf]), False),
        ({"a": [np.zeros(2)]}, True),
        ({"a": [np.zeros(2), float("nan")]}, False),
        ("text", True),
    ],
)
def test_values_that_are_not_finite_are_seen_wherever_they_are(value: object, finite: bool) -> None:
    assert is_finite(value) is finite
