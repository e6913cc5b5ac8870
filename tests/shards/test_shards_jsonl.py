"""`loretta data prepare jsonl`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.api.errors import InputError, ShardError
from loretta_framework.shards.prepare import PrepareReport, parse, prepare
from loretta_framework.testing.shard_contents import shard_samples as samples


def run(source: Path, out: Path, *options: str) -> PrepareReport:
    return prepare("jsonl", source, out, 0, parse("jsonl", options))


def put(folder: Path, *lines: Any, name: str = "train.jsonl", **files: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / name).write_text("".join(f"{text}\n" for text in texts), "utf-8", "surrogateescape")
    (folder / "media").mkdir(exist_ok=True)
    for stem, data in files.items():
        (folder / "media" / stem.replace("_", ".")).write_bytes(data)
    return folder


def test_lines_become_samples(tmp_path: Path) -> None:
    put(
        tmp_path / "in",
        {"id": "x.1", "image": "media/a.PNG", "text": "an \u00e4", "label": 3},
        "",
        {
            "id": 7,
            "image": ["media/a.PNG", "media/b.jpg"],
            "text": ["t0", "t1"],
            "sequence": ["text.0", "image", "image.1", "text.1"],
        },
        {"speech": "media/c.wav", "image": None},
        a_PNG=b"A",
        b_jpg=b"B",
        c_wav=b"C",
    )
    report = run(tmp_path / "in", tmp_path / "out", "files=image,speech")
    found = samples(tmp_path / "out")
    assert found["x%2E1"] == {
        "image.png": b"A",
        "text.txt": "an \u00e4".encode(),
        "meta.json": b'{"id": "x.1", "label": 3}',
    }
    assert found["7"] == {
        "image.png": b"A",
        "image.1.jpg": b"B",
        "text.txt": b"t0",
        "text.1.txt": b"t1",
        "sequence.json": b'["text.0", "image", "image.1", "text.1"]',
        "meta.json": b'{"id": 7}',
    }
    assert found["000000004"] == {"speech.wav": b"C", "meta.json": b"{}"}
    assert report.sets[0].samples == 3
    card = (tmp_path / "out" / "README.md").read_text()
    assert "files named in the lines (3 files)" in card


def test_each_file_of_lines_is_a_set(tmp_path: Path) -> None:
    put(tmp_path / "in", {"text": "a"})
    put(tmp_path / "in", {"text": "b"}, {"text": "c"}, name="2 held-out.jsonl")
    report = run(tmp_path / "in", tmp_path / "out")
    assert {found.name: found.samples for found in report.sets} == {"held-out": 2, "train": 1}
    report = run(tmp_path / "in", tmp_path / "out", "lines=train.jsonl")
    assert [found.name for found in report.sets] == ["train"]


def test_the_same_lines_give_the_same_bytes(tmp_path: Path) -> None:
    put(tmp_path / "in", *({"text": f"t{n}", "b": 1, "a": 2} for n in range(20)))
    digests = [run(tmp_path / "in", tmp_path / name).digest for name in ("x", "y")]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "train.jsonl line 2: it is not JSON"),
        ('{"text": "x", "v": Infinity}', "'Infinity' is no JSON number"),
        ('{"text": "x", "v": [1e999]}', "a number that is too large for a float"),
        ('"text"', "it must be an object, but is str"),
        ("\udcff{}", "it is not JSON"),
        ({"id": "one", "text": "x"}, "line 1 has the same 'id'"),
        ({"id": True, "text": "x"}, "'id' must be a text or a whole number"),
        ({"id": "", "text": "x"}, "the name is empty"),
        ({"text": 3}, "'text' must be a text or a list of texts"),
        ({"text": ["a", None]}, "'text' must be a text or a list of texts"),
        ({"other": "x"}, "it has none of the fields image, text"),
        ({"text": []}, "it has none of the fields image, text"),
        ({"image": "media/gone.png"}, "there is no file 'media/gone.png'"),
        ({"image": "media"}, "there is no file 'media'"),
        ({"image": "../secret.png"}, "'../secret.png' lies outside of the source"),
        ({"image": "/etc/hostname"}, "'/etc/hostname' lies outside of the source"),
        ({"image": "media/link.png"}, "'media/link.png' lies outside of the source"),
        ({"image": "media/noextension"}, "holds an empty part"),
        ({"image": "media/bad.pkl"}, "can run code"),
        ({"image": "media/large.png"}, "has 1048577 bytes; max_file_mib is 1"),
        ({"text": "x", "sequence": ["text.1"]}, r"must name each part once: text.0"),
        ({"text": "x", "sequence": ["text.0", "text.0"]}, "must name each part once"),
        ({"text": "x", "sequence": "text.0"}, "must name each part once"),
        ({"text": "x", "sequence": [0]}, "must name each part once"),
        ({"text": "x", "sequence": ["text." + "1" * 5000]}, "must name each part once"),
    ],
)
def test_a_bad_line_is_named_and_may_be_left_out(tmp_path: Path, line: Any, message: str) -> None:
    put(
        tmp_path / "in",
        {"id": "one", "text": "first"},
        line,
        {"id": "two", "text": "last"},
        noextension=b"",
        bad_pkl=b"",
        large_png=b"x" * ((1 << 20) + 1),
    )
    (tmp_path / "secret.png").write_bytes(b"S")
    (tmp_path / "in" / "media" / "link.png").symlink_to(tmp_path / "secret.png")
    options = ("files=image", "max_file_mib=1")
    with pytest.raises(ShardError, match=message) as caught:
        run(tmp_path / "in", tmp_path / "out", *options)
    assert "train.jsonl line 2" in caught.value.what
    assert not list((tmp_path / "out").glob("*.tar"))
    run(tmp_path / "in", tmp_path / "out", *options, "max_bad=1")
    assert list(samples(tmp_path / "out")) == ["one", "two"]
    assert "Left out (1)" in (tmp_path / "out" / "README.md").read_text()


def test_the_budget_of_bad_lines_is_kept(tmp_path: Path) -> None:
    put(tmp_path / "in", {"text": "x"}, *["{"] * 3)
    run(tmp_path / "in", tmp_path / "out", "max_bad=3")
    with pytest.raises(ShardError, match="3 rows cannot be used, but 2 may be left out"):
        run(tmp_path / "in", tmp_path / "out", "max_bad=2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["files=text"], "the field 'text' is given two meanings"),
        (["files=a.b"], "must be a name such as 'image'"),
        (["texts=meta"], "must be a name such as 'image'"),
        (["lines=gone.jsonl"], "holds no file 'gone.jsonl'"),
        (["lines=../out.jsonl"], "holds no file 'out.jsonl'"),
        (["lines=train.jsonl,media/train.jsonl"], "gives no set a name of its own"),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, options: list[str], message: str) -> None:
    put(tmp_path / "in", {"text": "x"}, train_jsonl=b"{}")
    (tmp_path / "out.jsonl").write_text("{}")
    with pytest.raises(InputError, match=message):
        run(tmp_path / "in", tmp_path / "out", *options)


def test_a_source_without_lines(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match=r"holds no \.jsonl file"):
        run(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match="add --source DIR"):
        prepare("jsonl", None, tmp_path / "out")
