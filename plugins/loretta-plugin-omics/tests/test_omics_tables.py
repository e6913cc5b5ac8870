"""Whole tables in and out."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from loretta_plugin_omics.__main__ import main
from loretta_plugin_omics.profile import Profile
from loretta_plugin_omics.tables import read_profile, read_table, write_table

PROFILES = {
    "p1": Profile(("a", 'b,"'), *(np.float32([n, np.nan]) for n in (0.1, 0.0, 0.2))),
    "p2": Profile.measured(("a", 'b,"'), [3.0, -1e-30]),
}


@pytest.mark.parametrize(("quantity", "first"), [("values", 0.1), ("lower", 0.0), ("upper", 0.2)])
def test_a_table_comes_back(tmp_path: Path, quantity: str, first: float) -> None:
    write_table(tmp_path / "out.csv", PROFILES, quantity)  # type: ignore[arg-type]
    table = read_table(tmp_path / "out.csv")
    assert list(table) == ["p1", "p2"]
    assert table["p1"] == {"a": first, 'b,"': None}
    assert table["p2"] == {"a": 3.0, 'b,"': -1e-30}


@pytest.mark.parametrize("name", ["t.tsv", "t.csv.gz"])
def test_kinds_of_tables(tmp_path: Path, name: str) -> None:
    data = b"id,x,y\np1,1,NA\n\np2,,2\n"
    data = data.replace(b",", b"\t") if ".tsv" in name else data
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    wanted = {"p1": {"x": 1.0, "y": None}, "p2": {"x": None, "y": 2.0}}
    assert read_table(tmp_path / name) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an id column and named features, each once"),
        ("id,x,x\n", "an id column and named features, each once"),
        ("id,x\np1,1\np1,2\n", "line 3: it must have a new id and 1 cells"),
        ("id,x\np1\n", "line 2: it must have a new id and 1 cells"),
        ("id,x\np1,one\n", "t.csv line 2: feature 'x' must be a number, but is 'one'"),
        ("id,x\np1,1\n\np2,1e39\n", "t.csv line 4: feature 'x' must be finite"),
        ("id,,x\np1,1,2\n", "t.csv line 1: .* named features, each once"),
        ('id,x\np1,"' + "1" * 140_000, "t.csv line 2: field larger than field limit"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / "t.csv")


PACKED = gzip.compress(b"id,x\n" + b"".join(b"p%d,%d\n" % (n, n * n) for n in range(400)))


def damaged(data: bytes) -> bytes:
    """The same with other bits in the middle."""
    half = len(data) // 2
    return data[:half] + bytes(byte ^ 255 for byte in data[half : half + 40]) + data[half + 40 :]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv.gz", PACKED[:-200], "t.csv.gz: it must be a whole gzip file, but: .* ended"),
        ("t.csv.gz", damaged(PACKED), "t.csv.gz: it must be a whole gzip file, but: Error"),
        ("t.csv.gz", b"id,x\np1,1\n", "t.csv.gz: it must be a whole gzip file, but: Not a gzip"),
        ("t.csv", "id,x\np1,1\né,2\n".encode("latin-1"), "t.csv line 3: it must be UTF-8: "),
    ],
)
def test_files_that_hold_no_text_are_refused(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / name)


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"id,x\n" + b"\n" * 5_000_000))
    assert (tmp_path / "t.csv.gz").stat().st_size < 10_000
    with pytest.raises(ValueError, match=r"t\.csv\.gz: .* at most 1000000 bytes, but has more"):
        read_table(tmp_path / "t.csv.gz", max_bytes=1_000_000)
    assert read_table(tmp_path / "t.csv.gz") == {}


def test_what_makes_no_table(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one profile"):
        write_table(tmp_path / "t.csv", {})
    other = Profile.measured(("a",), [1])
    with pytest.raises(ValueError, match="'q' must have the same features as the first"):
        write_table(tmp_path / "t.csv", {**PROFILES, "q": other})


def test_generated_files_become_one_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("p2", "0.5"), ("p1", "")):
        (tmp_path / f"{name}.csv").write_text(f"feature,value,lower,upper\nx,{value},,1\n")
    files = [str(tmp_path / f"{name}.csv") for name in ("p1", "p2")]
    out = tmp_path / "all.csv"
    assert main([*files, "--out", str(out)]) == 0
    assert out.read_text() == "id,x\np1,\np2,0.5\n"
    assert main([*files, "--out", str(out), "--quantity", "upper"]) == 0
    assert out.read_text() == "id,x\np1,1.0\np2,1.0\n"
    assert main([files[0], files[0], "--out", str(out)]) == 2
    assert "the name 'p1' occurs twice" in capsys.readouterr().err
    assert read_profile(files[1]).as_dict() == {"x": 0.5}
    (tmp_path / "p3.csv").write_text("x\nhigh\n")
    assert main([str(tmp_path / "p3.csv"), "--out", str(out)]) == 2
    assert "p3.csv: feature 'x' must be a number, but is 'high'" in capsys.readouterr().err
