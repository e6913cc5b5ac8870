"""`tables.parquet` and `tables.huggingface` through their public doors."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st
from loretta_plugin_tables.huggingface import HuggingFaceSource
from loretta_plugin_tables.parquet import ParquetSource
from loretta_plugin_tables.settings import ParquetSettings, TableSettings
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from loretta_framework.api.errors import DamagedSampleError, ShardError
from loretta_framework.api.keys import key_hashes
from loretta_framework.api.protocols import SampleStore
from loretta_framework.testing.conformance import Conformance

SAVED = Path(__file__).parent / "saved_by_datasets"


def parquet(path: Path, rows: int | None = None, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=rows)
    return path


def opened(folder: Path, columns: dict[str, str], pattern: str = "*.parquet", **more: Any) -> Any:
    source = ParquetSource(ParquetSettings(columns=columns, **more), None)
    return source.open([pattern], folder)


def contents(store: Any) -> list[dict[str, bytes]]:
    return [
        {name: store.read(number, place) for place, name in enumerate(store.shapes[shape])}
        for number, shape in enumerate(store.shape_S.tolist())
    ]


class TestConformance(Conformance):
    plugin = "tables"


@pytest.mark.parametrize("kind", [ParquetSource, HuggingFaceSource])
def test_the_first_part_of_a_member_names_its_modality(kind: type) -> None:
    built = kind(ParquetSettings(columns={"a": "text.txt"}), None)
    assert built.modality_of("image.1.png") == "image"
    assert built.modality_of("meta.json") is None
    assert built.modality_of(".png") is None


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"columns": {}}, "at least 1"),
        ({"columns": {"a": "image"}}, "must become a member"),
        ({"columns": {"a": "image.0.png"}}, "must become a member"),
        ({"columns": {"a": "../x.png"}}, "must become a member"),
        ({"columns": {"a": "meta.json"}}, "facts go into `meta`"),
        ({"columns": {"a": "image.pkl"}}, "can run code"),
        ({"columns": {"a": "x.txt", "b": "x.txt"}}, "'a' and 'b' both become 'x.txt'"),
        ({"columns": {"a": "x.txt"}, "meta": ["l", "l"]}, "names a column twice"),
        ({"columns": {"a": "x.txt"}, "cache_mib": 0}, "greater than 0"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        ParquetSettings(**settings)


def test_rows_become_samples_and_nulls_are_missing(tmp_path: Path) -> None:
    parquet(
        tmp_path / "t.parquet",
        picture=pa.array([b"one", None, b""]),
        caption=pa.array(["eins", "zwei \u00fc", None]),
        label=pa.array([7, None, 9]),
    )
    store = opened(tmp_path, {"picture": "image.png", "caption": "text.txt"}, meta=["label"])
    assert isinstance(store, SampleStore)
    assert len(store) == 3
    assert contents(store) == [
        {"image.png": b"one", "text.txt": b"eins", "meta.json": b'{"label": 7}'},
        {"text.txt": "zwei \u00fc".encode(), "meta.json": b'{"label": null}'},
        {"image.png": b"", "meta.json": b'{"label": 9}'},
    ]
    assert store.shape_S.dtype == np.uint32
    assert [store.key(row) for row in range(3)] == ["000000000", "000000001", "000000002"]
    assert store.place(1) == str(tmp_path / "t.parquet")


def test_sizes_are_those_of_the_bytes(tmp_path: Path) -> None:
    parquet(tmp_path / "t.parquet", a=pa.array(["x", "yyy", None]), b=pa.array([[1], [], [1, 2]]))
    store = opened(tmp_path, {"a": "text.txt", "b": "wave.npy"})
    for sample, parts in enumerate(contents(store)):
        for member, data in enumerate(parts.values()):
            assert store.size(sample, member) == len(data)


@pytest.mark.parametrize(
    ("values", "member", "expected"),
    [
        (pa.array([3, -1]), "n.txt", [b"3", b"-1"]),
        (pa.array([0.1, 2.5], pa.float32()), "n.txt", [b"0.1", b"2.5"]),
        (pa.array([0.1, float("nan")]), "n.txt", [b"0.1", None]),
        (pa.array([True, None]), "n.txt", [b"true", None]),
        (pa.array(["a", "b", "a"]).dictionary_encode(), "t.txt", [b"a", b"b", b"a"]),
        (pa.array([b"ab", b"cd"], pa.binary(2)), "t.bin", [b"ab", b"cd"]),
        (pa.array(["x"], pa.large_string()), "t.txt", [b"x"]),
        (pa.array([["a", "b"]]), "sequence.json", [b'["a", "b"]']),
        (pa.array([{"k": float("inf"), "l": [1.5]}]), "d.json", [b'{"k": null, "l": [1.5]}']),
        (
            pa.array([{"bytes": b"p", "path": None}, {"bytes": None, "path": None}, None]),
            "image.png",
            [b"p", None, None],
        ),
    ],
)
def test_what_cells_become(
    tmp_path: Path, values: pa.Array, member: str, expected: list[bytes | None]
) -> None:
    parquet(tmp_path / "t.parquet", c=values)
    assert [parts.get(member) for parts in contents(opened(tmp_path, {"c": member}))] == expected


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (pa.array([[1, 2], [], [3]]), "<i8"),
        (pa.array([[1.5], [2.5, -1.0], []], pa.list_(pa.float64())), "<f4"),
        (pa.array([[1.5, 2], [3, 4], [5, 6]], pa.list_(pa.float32(), 2)), "<f4"),
        (pa.array([[[1, 2], [3, 4]], [[5, 6]], [[7, 8]]], pa.list_(pa.list_(pa.int16()))), "<i8"),
        (pa.array([[True], [False, True], []]), "<i8"),
    ],
)
def test_lists_of_numbers_become_arrays(tmp_path: Path, values: pa.Array, dtype: str) -> None:
    parquet(tmp_path / "t.parquet", c=values)
    for parts, wanted in zip(
        contents(opened(tmp_path, {"c": "x.npy"})), values.to_pylist(), strict=True
    ):
        array = np.load(io.BytesIO(parts["x.npy"]), allow_pickle=False)
        assert array.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(array, np.asarray(wanted, dtype))


def test_a_null_in_a_list_of_floats_is_nan(tmp_path: Path) -> None:
    parquet(tmp_path / "t.parquet", c=pa.array([[1.0, None]]))
    (parts,) = contents(opened(tmp_path, {"c": "x.npy"}))
    array = np.load(io.BytesIO(parts["x.npy"]))
    np.testing.assert_array_equal(array, np.array([1, np.nan], np.float32))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (pa.array([[1], [1, None]]), "holds nulls"),
        (pa.array([[[1]], [[1], [1, 2]]]), "differ in length"),
        (pa.array([[1], [2**63]], pa.list_(pa.uint64())), "larger than an int64"),
    ],
)
def test_one_unusable_cell_damages_one_sample(tmp_path: Path, values: pa.Array, text: str) -> None:
    parquet(tmp_path / "t.parquet", c=values)
    store = opened(tmp_path, {"c": "x.npy"})
    assert store.shapes == [("x.npy",)]
    store.read(0, 0)
    assert store.size(1, 0) == 0
    with pytest.raises(DamagedSampleError, match=text) as caught:
        store.read(1, 0)
    assert caught.value.member == "x.npy"
    assert "row 1, column 'c'" in caught.value.where


@pytest.mark.parametrize(
    ("values", "member", "text"),
    [
        (pa.array([1]), "x.png", "numbers .int64. become '.txt' or '.json'"),
        (pa.array([[1]]), "x.txt", "lists of numbers .* become '.npy'"),
        (pa.array([{"k": 1}]), "x.txt", "can become '.json' only"),
        (pa.array([{"bytes": None, "path": "a.png"}], pa.struct([("bytes", pa.binary()),
         ("path", pa.string())])), "x.png", "names files instead of holding them"),
    ],
)  # fmt: skip
def test_a_column_that_cannot_become_the_member(
    tmp_path: Path, values: pa.Array, member: str, text: str
) -> None:
    parquet(tmp_path / "t.parquet", c=values)
    with pytest.raises(ShardError, match=text) as caught:
        opened(tmp_path, {"c": member})
    assert "column 'c' cannot become" in caught.value.what
    assert str(tmp_path / "t.parquet") == caught.value.where


def test_files_and_row_groups_are_one_sequence(tmp_path: Path) -> None:
    parquet(tmp_path / "b.parquet", rows=2, c=pa.array(["3", "4", "5"]))
    parquet(tmp_path / "a.parquet", rows=2, c=pa.array(["0", "1", "2"]))
    parquet(tmp_path / "empty.parquet", c=pa.array([], pa.string()))
    store = opened(tmp_path, {"c": "t.txt"})
    assert [parts["t.txt"] for parts in contents(store)] == [b"%d" % i for i in range(6)]
    assert list(store.starts) == [0, 2, 3, 5]
    assert store.key(5) == "000000005"
    assert store.place(3).endswith("b.parquet")
    assert len(opened(tmp_path, {"c": "t.txt"}, "a*")) == 3


def test_keys_come_from_a_column(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", id=pa.array(["p\u00e9", "q"]), c=pa.array(["x", "y"]))
    parquet(tmp_path / "b.parquet", id=pa.array(["r"]), c=pa.array(["z"]))
    store = opened(tmp_path, {"c": "t.txt"}, key="id")
    assert [store.key(row) for row in range(3)] == ["p\u00e9", "q", "r"]
    np.testing.assert_array_equal(store.key_hashes(), key_hashes(["p\u00e9", "q", "r"]))
    plain = opened(tmp_path, {"c": "t.txt"})
    np.testing.assert_array_equal(
        plain.key_hashes(), key_hashes(plain.key(row) for row in range(3))
    )


def test_whole_numbers_may_be_keys(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", id=pa.array([12, 7]), c=pa.array(["x", "y"]))
    store = opened(tmp_path, {"c": "t.txt"}, key="id")
    assert [store.key(0), store.key(1)] == ["12", "7"]


@pytest.mark.parametrize("hole", [None, ""])
def test_a_row_without_key_is_refused(tmp_path: Path, hole: str | None) -> None:
    parquet(tmp_path / "a.parquet", rows=1, id=pa.array(["p", hole]), c=pa.array(["x", "y"]))
    with pytest.raises(ShardError, match="row 1 has no key in column 'id'"):
        opened(tmp_path, {"c": "t.txt"}, key="id")


@pytest.mark.parametrize("key", ["a.b", "d/a", "d\\a", "a\nb", "\u202e", "k" * 1001])
def test_a_key_that_no_shard_could_hold_is_refused(tmp_path: Path, key: str) -> None:
    path = parquet(tmp_path / "a.parquet", rows=1, id=pa.array(["p", key]), c=pa.array(["x", "y"]))
    with pytest.raises(ShardError, match=r"row 1 has the key .* in column 'id'") as caught:
        opened(tmp_path, {"c": "t.txt"}, key="id")
    assert caught.value.where == str(path)
    assert "without dots, slashes" in caught.value.fix


def test_two_rows_with_one_key_are_refused(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", id=pa.array(["p", "q"]), c=pa.array(["x", "y"]))
    parquet(tmp_path / "b.parquet", id=pa.array(["p"]), c=pa.array(["z"]))
    with pytest.raises(ShardError, match="rows 0 and 2 of the set have the same key 'p'") as caught:
        opened(tmp_path, {"c": "t.txt"}, key="id")
    assert caught.value.where.endswith("b.parquet")


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", caption=pa.array(["x"]))
    with pytest.raises(ShardError, match=r"one column 'captoin' \(did you mean 'caption'"):
        opened(tmp_path, {"captoin": "t.txt"})


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("s3://bucket/a.parquet", "must be a local path"),
        ("a{0..3}.parquet", "braces have no meaning"),
        ("missing-*.parquet", "nothing matches 'missing-"),
        ("missing.parquet", "nothing matches 'missing.parquet'"),
        ("*.csv", "must end in .parquet"),
        ("bad.parquet", "the table cannot be read"),
        ("empty.parquet", "the tables have no rows"),
    ],
)
def test_patterns_that_name_no_table(tmp_path: Path, pattern: str, text: str) -> None:
    (tmp_path / "x.csv").write_text("a,b")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but no more")
    parquet(tmp_path / "empty.parquet", c=pa.array([], pa.string()))
    with pytest.raises(ShardError, match=text):
        opened(tmp_path, {"c": "t.txt"}, pattern)


def test_the_digest_is_of_contents_not_of_places(tmp_path: Path) -> None:
    parquet(tmp_path / "one" / "a.parquet", c=pa.array(["x"]))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    parquet(tmp_path / "three" / "a.parquet", c=pa.array(["y"]))
    digests = [
        opened(tmp_path / name, {"c": "t.txt"}).digest for name in ("one", "two", "three", "one")
    ]
    assert digests[0] == digests[1] == digests[3] != digests[2]
    assert len(digests[0]) == 64


def test_the_index_is_made_once_and_again_when_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = parquet(tmp_path / "a.parquet", c=pa.array(["x"]))
    assert contents(opened(tmp_path, {"c": "t.txt"})) == [{"t.txt": b"x"}]
    (kept,) = tmp_path.glob("*.index.safetensors")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetFile", None)
        assert opened(tmp_path, {"c": "t.txt"}, "*").size(0, 0) == 1

    for damage in (b"", b"\xff" * 40, kept.read_bytes()[:-3]):
        kept.write_bytes(damage)
        assert contents(opened(tmp_path, {"c": "t.txt"})) == [{"t.txt": b"x"}]
    with safe_open(kept, framework="numpy") as file:
        stamp = file.metadata()
    arrays = load_file(kept)
    for name, array in arrays.items():
        for wrong in (array.astype(np.float32), np.zeros((7, 7), array.dtype)):
            save_file({**arrays, name: wrong}, kept, stamp)
            assert contents(opened(tmp_path, {"c": "t.txt"})) == [{"t.txt": b"x"}]
    save_file(arrays, kept, {**stamp, "sha256": "no"})
    assert contents(opened(tmp_path, {"c": "t.txt"})) == [{"t.txt": b"x"}]
    parquet(path, c=pa.array(["longer", "two"]))
    assert [p["t.txt"] for p in contents(opened(tmp_path, {"c": "t.txt"}))] == [b"longer", b"two"]
    assert list(opened(tmp_path, {"c": "other.txt"}).shapes) == [("other.txt",)]


def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise PermissionError("read-only")

    parquet(tmp_path / "a.parquet", c=pa.array(["x"]))
    monkeypatch.setattr("os.replace", refuse)
    assert contents(opened(tmp_path, {"c": "t.txt"})) == [{"t.txt": b"x"}]
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_content_that_differs_from_the_index_is_damage(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", c=pa.array(["aaaa"]))
    status = path.stat()
    opened(tmp_path, {"c": "t.txt"})
    parquet(path, c=pa.array(["bbbb"]))
    assert path.stat().st_size == status.st_size
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DamagedSampleError, match="not what was indexed"):
        opened(tmp_path, {"c": "t.txt"}).read(0, 0)


def test_a_file_that_changes_while_it_is_used(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", c=pa.array(["aaaa"]))
    store = pickle.loads(pickle.dumps(opened(tmp_path, {"c": "t.txt"})))
    parquet(path, c=pa.array(["much longer"]))
    with pytest.raises(ShardError, match="changed while it was in use"):
        store.read(0, 0)
    path.unlink()
    with pytest.raises(ShardError, match="cannot be read"):
        store.read(0, 0)


def _in_child(store: Any, pipe: Any) -> None:
    pipe.send(contents(store))


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("kind", ["parquet", "huggingface"])
def test_other_processes_read_the_same(tmp_path: Path, method: str, kind: str) -> None:
    if kind == "parquet":
        parquet(tmp_path / "a.parquet", rows=2, c=pa.array(["a", "b", None, "d"]))
        store = opened(tmp_path, {"c": "t.txt"})
    else:
        store = saved(tmp_path)
    before = contents(store)  # the parent's files are open by now
    processes = multiprocessing.get_context(method)
    here, there = processes.Pipe()
    child = processes.Process(target=_in_child, args=(store, there))
    child.start()
    assert here.poll(60)
    assert here.recv() == before
    child.join()
    assert contents(store) == before


def test_a_small_cache_gives_the_same_bytes(tmp_path: Path) -> None:
    values = [os.urandom(400_000) for _ in range(8)]
    parquet(tmp_path / "a.parquet", rows=1, c=pa.array(values))
    store = opened(tmp_path, {"c": "x.bin"}, cache_mib=1)
    for row in (0, 7, 3, 0, 1, 7, 6, 2):
        assert store.read(row, 0) == values[row]
        assert store._held <= 1 << 20


@given(st.lists(st.tuples(st.none() | st.binary(max_size=9), st.none() | st.text(max_size=9))))
@hypothesis_settings(max_examples=40, deadline=None)
def test_any_rows_come_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[bytes | None, str | None]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    rows = [*rows, (b"last", "last")]
    parquet(
        folder / "t.parquet",
        rows=3,
        a=pa.array([row[0] for row in rows], pa.binary()),
        b=pa.array([row[1] for row in rows], pa.string()),
    )
    store = opened(folder, {"a": "x.bin", "b": "y.txt"})
    for parts, (data, text) in zip(contents(store), rows, strict=True):
        assert parts.get("x.bin") == data
        assert parts.get("y.txt") == (None if text is None else text.encode())


def saved(folder: Path, split: str = "train", **more: Any) -> Any:
    shutil.copytree(SAVED, folder / "saved", dirs_exist_ok=True)
    columns = {"image": "image.png", "caption": "text.txt", "wave": "wave.npy", "grid": "grid.npy"}
    source = HuggingFaceSource(TableSettings(columns=columns, **more), None)
    return source.open([f"saved/{split}"], folder)


def test_a_saved_data_set_is_read(tmp_path: Path) -> None:
    store = saved(tmp_path, meta=["label"])
    assert isinstance(store, SampleStore)
    found = contents(store)
    assert len(found) == 5
    assert [parts.get("text.txt") for parts in found] == [
        *(b"number %d" % i for i in range(4)),
        None,
    ]
    assert ["image.png" in parts for parts in found] == [True, True, True, False, True]
    assert all(p["image.png"].startswith(b"\x89PNG") for p in found if "image.png" in p)
    waves = [np.load(io.BytesIO(parts["wave.npy"])).tolist() for parts in found]
    assert waves == [[0.0], [0.5, 1.0], [1.0, 1.0, -1.0], [1.5], [2.0, 1.0]]
    assert np.load(io.BytesIO(found[4]["grid.npy"])).tolist() == [[4, 1], [2, 3]]
    names = [json.loads(parts["meta.json"])["label"] for parts in found]
    assert names == ["cat", "dog", "fish", "cat", "dog"]
    assert list(store.starts) == [0, 3]
    assert store.place(4).endswith("data-00001-of-00002.arrow")
    assert len(saved(tmp_path, "test")) == 2


def test_classes_become_their_names(tmp_path: Path) -> None:
    store = hand_made(tmp_path, labels=[0, -1, 2])
    found = contents(store)
    assert [parts.get("label.txt") for parts in found] == [b"cat", None, b"fish"]
    with pytest.raises(DamagedSampleError, match="class 3 has no name; there are 3 classes"):
        hand_made(tmp_path / "more", labels=[3]).read(0, 0)


@pytest.mark.parametrize("meta", [False, True])
def test_classes_that_are_no_numbers_are_refused(tmp_path: Path, meta: bool) -> None:
    with pytest.raises(ShardError, match="a column of classes, but holds no whole"):
        hand_made(tmp_path, labels=["cat"], meta=meta)


def hand_made(folder: Path, labels: list[Any], meta: bool = False, **state: Any) -> Any:
    """The same files, written by hand."""
    (folder / "d").mkdir(parents=True)
    table = pa.table({"label": pa.array(labels), "text": pa.array(["x"] * len(labels))})
    with (
        pa.OSFile(str(folder / "d" / "data.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as stream,
    ):
        stream.write_table(table, max_chunksize=2)
    features = {"label": {"_type": "ClassLabel", "names": ["cat", "dog", "fish"]}}
    (folder / "d" / "dataset_info.json").write_text(json.dumps({"features": features}))
    state = {"_data_files": [{"filename": "data.arrow"}], **state}
    (folder / "d" / "state.json").write_text(json.dumps(state))
    columns, facts = ({"text": "t.txt"}, ["label"]) if meta else ({"label": "label.txt"}, [])
    return HuggingFaceSource(TableSettings(columns=columns, meta=facts), None).open(["d"], folder)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"_indices_data_files": [{"filename": "i.arrow"}]}, "chosen by a list of indices"),
        ({"_data_files": [{"filename": "../data.arrow"}]}, "must be a file name"),
        ({"_data_files": [{"filename": 3}]}, "must be a file name"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "cannot be read"),
        ({"_data_files": []}, "have no rows"),
    ],
)
def test_saved_data_sets_that_cannot_be_read(
    tmp_path: Path, state: dict[str, Any], text: str
) -> None:
    with pytest.raises(ShardError, match=text):
        hand_made(tmp_path, [0], **state)


def test_a_folder_of_splits_or_of_something_else(tmp_path: Path) -> None:
    source = HuggingFaceSource(TableSettings(columns={"caption": "text.txt"}), None)
    shutil.copytree(SAVED, tmp_path / "saved")
    with pytest.raises(ShardError, match="holds several splits: train, test"):
        source.open(["saved"], tmp_path)
    (tmp_path / "saved/dataset_dict.json").write_text('{"splits": 5}')
    with pytest.raises(ShardError, match=r"holds several splits\n"):
        source.open(["saved"], tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(ShardError, match=r"there is no state.json"):
        source.open(["other"], tmp_path)
    (tmp_path / "saved/train/state.json").write_text("{")
    with pytest.raises(ShardError, match="it is not JSON"):
        source.open(["saved/train"], tmp_path)


def test_a_truncated_arrow_file_is_refused(tmp_path: Path) -> None:
    shutil.copytree(SAVED, tmp_path / "saved")
    path = tmp_path / "saved/train/data-00001-of-00002.arrow"
    path.write_bytes(path.read_bytes()[:-900])
    source = HuggingFaceSource(TableSettings(columns={"caption": "text.txt"}), None)
    with pytest.raises(ShardError, match="cannot be read"):
        source.open(["saved/train"], tmp_path)


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in random.integers(len(data), size=int(random.integers(1, 4))):
        changed[place] ^= 1 << int(random.integers(8))
    return bytes(
        changed[: int(random.integers(1, len(data) + 1))] if random.random() < 0.2 else changed
    )


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_damaged_files_end_in_our_errors(tmp_path: Path, kind: str) -> None:
    """In a child, since a reader of damaged offsets could take the whole process with it."""
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "import test_tables_plugin as tests; tests.survive(Path(sys.argv[2]), sys.argv[3])\n"
    )
    where = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", code, where, str(tmp_path), kind],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def survive(folder: Path, kind: str) -> None:
    random = np.random.default_rng(0)
    if kind == "parquet":
        path = parquet(
            folder / "a.parquet", a=pa.array(["x", None, "zz"] * 9), b=pa.array([[1]] * 27)
        )
        columns, source = {"a": "t.txt", "b": "x.npy"}, None
    else:
        shutil.copytree(SAVED, folder / "saved")
        path = folder / "saved/train/data-00000-of-00002.arrow"
        columns = {"caption": "t.txt", "wave": "x.npy", "image": "i.png"}
        source = HuggingFaceSource(TableSettings(columns=columns), None)
    whole, refused = path.read_bytes(), 0
    for _ in range(150):
        path.write_bytes(mutated(whole, random))
        try:
            contents(source.open(["saved/train"], folder) if source else opened(folder, columns))
        except ShardError:
            refused += 1
    assert refused > 20
