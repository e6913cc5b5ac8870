"""`loretta data prepare folder`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loretta_framework.api.errors import InputError, ShardError
from loretta_framework.shards.prepare import PrepareReport, parse, prepare
from loretta_framework.testing.shard_contents import shard_samples as samples


def run(source: Path, out: Path, *options: str, seed: int = 0) -> PrepareReport:
    return prepare("folder", source, out, seed, parse("folder", options))


def put(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return put(
        tmp_path / "in",
        {
            "a.png": b"A",
            "a.txt": "an a",
            "sub/b.v2.JPG": b"B",
            "sub/b.v2.caption": "a b",
            "c.webp": b"C",
            "c.json": json.dumps({"caption": "ein \u00e7", "licence": "CC0"}),
            "d.png": b"D",
            "e.txt": "only text",
            ".hidden.png": b"no",
            ".git/x.png": b"no",
            "notes.pdf": b"no",
        },
    )


def test_files_of_one_name_are_one_sample(pictures: Path, tmp_path: Path) -> None:
    report = run(pictures, tmp_path / "out")
    found = samples(tmp_path / "out")
    facts = {key: json.loads(parts.pop("meta.json")) for key, parts in found.items()}
    assert found == {
        "a": {"image.png": b"A", "text.txt": b"an a"},
        "sub/b%2Ev2": {"image.jpg": b"B", "text.txt": b"a b"},
        "c": {"image.webp": b"C", "text.txt": "ein \u00e7".encode()},
        "d": {"image.png": b"D"},
        "e": {"text.txt": b"only text"},
    }
    assert facts["sub/b%2Ev2"] == {"file": "sub/b.v2"}
    assert facts["c"] == {"file": "c", "licence": "CC0"}
    assert dict(report.sets[0].combinations) == {("image", "text"): 3, ("image",): 1, ("text",): 1}
    assert "1 '.pdf'" in (tmp_path / "out" / "README.md").read_text()


def test_the_same_folder_gives_the_same_bytes(pictures: Path, tmp_path: Path) -> None:
    digests = [
        run(pictures, tmp_path / name, "validation=0.4", "test=0.2").digest for name in ("x", "y")
    ]
    assert digests[0] == digests[1]
    counts = [len(samples(tmp_path / "x", name)) for name in ("train", "validation", "test")]
    assert counts == [2, 2, 1]


def test_other_modalities(tmp_path: Path) -> None:
    put(tmp_path / "in", {"a.wav": b"W", "a.txt": "w", "a.png": b"P", "b.flac": b"F"})
    run(tmp_path / "in", tmp_path / "out", "modalities=speech:wav|flac,text:txt")
    found = samples(tmp_path / "out")
    assert set(found["a"]) == {"speech.wav", "text.txt", "meta.json"}
    assert set(found["b"]) == {"speech.flac", "meta.json"}


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_a_table_of_captions(tmp_path: Path, kind: str) -> None:
    rows = [("a.png", "one, a"), ("sub/b.png", "b"), ("a.png", "two a")]
    if kind == "jsonl":
        text = "".join(json.dumps({"file": f, "caption": c}) + "\n" for f, c in rows)
    else:
        comma = "," if kind == "csv" else "\t"
        text = f"caption{comma}file\n" + "".join(f'"{c}"{comma}{f}\n' for f, c in rows)
    files = {"a.png": "A", "sub/b.png": "B", "c.png": "C", "a.txt": "not used"}
    put(tmp_path / "in", {**files, f"captions.{kind}": text})
    run(tmp_path / "in", tmp_path / "out")
    found = samples(tmp_path / "out")
    assert found["a"]["text.txt"] == b"one, a"
    assert found["a"]["text.1.txt"] == b"two a"
    assert found["sub/b"]["text.txt"] == b"b"
    assert set(found["c"]) == {"image.png", "meta.json"}


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        (
            '{"file": "gone.png", "caption": "x"}',
            "line 1: there is no file 'gone.png' that is used",
        ),
        ('{"file": "../in/a.png", "caption": "x"}', "there is no file '../in/a.png'"),
        ('{"file": "a.jpg", "caption": "x"}', "there is no file 'a.jpg'"),
        ('{"file": "a.png", "caption": 3}', "'file' and 'caption' must be texts"),
        ('{"file": "a.png"}', "'file' and 'caption' must be texts"),
        ("\n\n{", "line 3: it is not JSON"),
        ("[1]", "line 1: it must be an object, but is list"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_bad_line_of_captions(tmp_path: Path, captions: str, message: str) -> None:
    put(tmp_path / "in", {"a.png": "A", "captions.jsonl": captions})
    with pytest.raises(ShardError, match=message):
        run(tmp_path / "in", tmp_path / "out")
    assert run(tmp_path / "in", tmp_path / "out", "max_bad=1").sets[0].samples == 1


def test_a_row_of_captions_with_a_cell_too_many(tmp_path: Path) -> None:
    put(tmp_path / "in", {"a.png": "A", "captions.csv": "file,caption\na.png,x,y\n"})
    with pytest.raises(ShardError, match="line 2: it has 3 cells, but the header has 2"):
        run(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.png": "A", "a.jpg": "B"}, "'a.jpg' and 'a.png' are both image"),
        ({"a.txt": "A", "a.caption": "B"}, "are both text"),
        ({"a.json": "{}"}, "must hold a text 'caption'"),
        ({"a.json": '{"caption": 1}'}, "must hold a text 'caption'"),
        ({"a.json": "{"}, "it is not JSON"),
        ({"a.json": '{"caption": "x", "n": NaN}'}, "'NaN' is no JSON number"),
    ],
)
def test_a_bad_sample(tmp_path: Path, files: dict[str, bytes | str], message: str) -> None:
    put(tmp_path / "in", {**files, "good.png": "G"})
    with pytest.raises(ShardError, match=message):
        run(tmp_path / "in", tmp_path / "out")
    run(tmp_path / "in", tmp_path / "out", "max_bad=1")
    assert list(samples(tmp_path / "out")) == ["good"]


def test_links_are_not_followed(pictures: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", {"secret.png": "S"})
    (pictures / "link.png").symlink_to(tmp_path / "elsewhere" / "secret.png")
    (pictures / "loop").symlink_to(pictures)
    (pictures / "away").symlink_to(tmp_path / "elsewhere")
    run(pictures, tmp_path / "out")
    assert len(samples(tmp_path / "out")) == 5
    card = (tmp_path / "out" / "README.md").read_text()
    for name in ("link.png", "loop", "away"):
        assert f"{name}: it is a link" in card


def test_large_files_are_named_and_left_out(tmp_path: Path) -> None:
    put(tmp_path / "in", {"a.png": b"x" * (2 << 20), "a.txt": "a", "b.png": "b"})
    run(tmp_path / "in", tmp_path / "out", "max_file_mib=1")
    assert set(samples(tmp_path / "out")["a"]) == {"text.txt", "meta.json"}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "a.png: it has 2097152 bytes, and max_file_mib is 1" in card


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["modalities=image"], "must be name:ext"),
        (["modalities=meta:json"], "must be name:ext"),
        (["modalities=image:png,photo:png"], "'png' belongs to two"),
        (["modalities=weights:pt"], "can run code"),
        (["test=0.6", "validation=0.5"], "must leave samples for training"),
        (["captions=captoins.csv"], r"did you mean 'captions.csv'"),
        (["captions=../x.csv"], "holds no file"),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, options: list[str], message: str) -> None:
    put(tmp_path / "in", {"a.png": "A", "captions.csv": "file,caption\n"})
    put(tmp_path, {"x.csv": "file,caption\n"})
    with pytest.raises(InputError, match=message):
        run(tmp_path / "in", tmp_path / "out", *options)


def test_tables_of_captions_that_do_not_fit(tmp_path: Path) -> None:
    put(tmp_path / "in", {"a.png": "A", "captions.csv": "name,text\n"})
    with pytest.raises(ShardError, match="must have columns 'file' and 'caption', but has: name"):
        run(tmp_path / "in", tmp_path / "out")
    put(tmp_path / "in", {"captions.tsv": "file\tcaption\n"})
    with pytest.raises(ShardError, match=r"several tables of captions: captions.csv, captions.tsv"):
        run(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match="add --source DIR"):
        prepare("folder", None, tmp_path / "out")
