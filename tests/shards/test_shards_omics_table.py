"""`loretta data prepare omics-table`."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from loretta_framework.api.errors import InputError, MissingDependencyError, ShardError
from loretta_framework.shards.members import parse_member
from loretta_framework.shards.prepare import PrepareReport, parse, prepare
from loretta_framework.shards.preparers.keys import as_key, from_key
from loretta_framework.shards.preparers.splitting import split_names
from loretta_framework.testing.shard_contents import shard_samples as samples

DATA = Path(os.environ.get("LORETTA_TEST_DATA", ""))
needs_data = pytest.mark.skipif(
    "LORETTA_TEST_DATA" not in os.environ, reason="LORETTA_TEST_DATA is unset"
)
Samples = dict[str, dict[str, bytes]]


def run(source: Path, out: Path, *options: str, seed: int = 0) -> PrepareReport:
    return prepare("omics-table", source, out, seed, parse("omics-table", options))


def write(folder: Path, **tables: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text)
    return folder


def table(data: bytes) -> dict[str, str]:
    header, row = csv.reader(io.StringIO(data.decode()))
    return dict(zip(header, row, strict=True))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write(
        tmp_path / "in",
        RNA='id,"g,1",g2\np.1,0.1,1e-300\np/2,3,NA\np3,,\n',
        protein="id,q\np.1,-2.5\np4,7\n",
    )


def test_assays_become_members_and_numbers_survive(small: Path, tmp_path: Path) -> None:
    report = run(small, tmp_path / "out")
    found = samples(tmp_path / "out", "train")
    by_id = {json.loads(parts["meta.json"])["id"]: (key, parts) for key, parts in found.items()}
    assert set(by_id) == {"p.1", "p/2", "p4"}
    assert {from_key(key): name for name, (key, _) in by_id.items()} == {n: n for n in by_id}
    assert table(by_id["p.1"][1]["rna.csv"]) == {"g,1": "0.1", "g2": "1e-300"}
    assert table(by_id["p.1"][1]["protein.csv"]) == {"q": "-2.5"}
    assert table(by_id["p/2"][1]["rna.csv"]) == {"g,1": "3.0", "g2": ""}
    assert set(by_id["p4"][1]) == {"protein.csv", "meta.json"}
    assert dict(report.sets[0].combinations) == {
        ("protein", "rna"): 1,
        ("rna",): 1,
        ("protein",): 1,
    }


def test_the_card_counts_what_is_empty_and_left_out(small: Path, tmp_path: Path) -> None:
    run(small, tmp_path / "out", "licence=CC0 1.0")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| rna | 3 | 2 | 3 |" in card
    assert "patient 'p3' has none of the assays" in card
    assert "CC0 1.0" in card
    assert str(tmp_path) not in card


def test_the_same_source_gives_the_same_bytes(small: Path, tmp_path: Path) -> None:
    options = ("validation=0.3", "test=0.3")
    digests = [
        run(small, tmp_path / name, *options, seed=seed).digest
        for name, seed in (("a", 0), ("b", 0), ("c", 5))
    ]
    assert digests[0] == digests[1]
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.tar")} for name in "ab"
    ]
    assert files[0] == files[1]


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv", "tsv.gz", "parquet"])
def test_every_kind_of_table(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / f"rna.{suffix}"
    if suffix == "parquet":
        pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        pq = pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.table({"id": ["a", "b"], "x": [0.1, None], "y": [1, 2]}), path)
    else:
        comma = "\t" if "tsv" in suffix else ","
        data = "\ufeffid,x,y\r\na,0.1,1\r\n\r\nb,,2\r\n".replace(",", comma).encode()
        path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    run(folder, tmp_path / "out")
    found = samples(tmp_path / "out", "train")
    assert table(found["a"]["rna.csv"]) == {"x": "0.1", "y": "1.0"}
    assert table(found["b"]["rna.csv"]) == {"x": "", "y": "2.0"}


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "rna.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'loretta-framework\[parquet\]'"):
        run(tmp_path / "in", tmp_path / "out")


def test_a_transposed_table(tmp_path: Path) -> None:
    write(tmp_path / "in", rna="gene,p1,p2\ng1,1,2\ng2,3,\n")
    run(tmp_path / "in", tmp_path / "out", "transpose=true")
    found = samples(tmp_path / "out", "train")
    assert table(found["p1"]["rna.csv"]) == {"g1": "1.0", "g2": "3.0"}
    assert table(found["p2"]["rna.csv"]) == {"g1": "2.0", "g2": ""}


def test_ids_from_another_column(tmp_path: Path) -> None:
    write(tmp_path / "in", rna="x,who\n1,p1\n")
    run(tmp_path / "in", tmp_path / "out", "id_column=who")
    assert table(samples(tmp_path / "out", "train")["p1"]["rna.csv"]) == {"x": "1.0"}


def test_clinical_columns_go_into_the_facts(tmp_path: Path) -> None:
    write(
        tmp_path / "in",
        rna="id,x\na,1\nb,2\n",
        clinic="id,kind,age,code,note\na,Basal,58,007,\nz,LumA,1,1,1\n",
    )
    run(tmp_path / "in", tmp_path / "out", "labels=clinic.csv", "label_column=kind")
    facts = {
        key: json.loads(parts["meta.json"])
        for key, parts in samples(tmp_path / "out", "train").items()
    }
    assert facts["a"] == {
        "id": "a",
        "label": "Basal",
        "clinical": {"kind": "Basal", "age": 58, "code": "007"},
    }
    assert facts["b"] == {"id": "b", "clinical": {}}


def cohort(folder: Path, count: int = 60) -> Path:
    rows = range(count)
    kinds = "".join(f"p{n:02d},{'rare' if n % 6 == 0 else 'usual'}\n" for n in rows)
    return write(
        folder,
        **{
            name: "id,x\n" + "".join(f"p{n:02d},{n}.5\n" for n in rows)
            for name in ("mrna", "mirna", "protein")
        },
        kinds="id,kind\n" + kinds,
    )


def test_splits_are_disjoint_and_stratified(tmp_path: Path) -> None:
    run(
        cohort(tmp_path / "in"),
        tmp_path / "out",
        "labels=kinds.csv",
        "label_column=kind",
        "validation=0.1",
        "test=0.2",
    )
    sets = {n: samples(tmp_path / "out", n) for n in ("train", "validation", "test")}
    assert [len(found) for found in sets.values()] == [42, 6, 12]
    assert len({key for found in sets.values() for key in found}) == 60
    rare = {
        name: Counter(json.loads(parts["meta.json"])["label"] for parts in found.values())["rare"]
        for name, found in sets.items()
    }
    assert rare == {"train": 7, "validation": 1, "test": 2}


def test_splits_from_a_column(tmp_path: Path) -> None:
    write(tmp_path / "in", rna="id,x\na,1\nb,2\nc,3\n", how="id,part\na,test\nb,train\nc,nope\n")
    options = ("labels=how.csv", "split_column=part")
    with pytest.raises(ShardError, match=r"patient 'c': 'part' must be one of .* but is 'nope'"):
        run(tmp_path / "in", tmp_path / "out", *options)
    run(tmp_path / "in", tmp_path / "out", *options, "max_bad=1")
    assert list(samples(tmp_path / "out", "test")) == ["a"]
    assert list(samples(tmp_path / "out", "train")) == ["b"]


def test_pairs_divide_the_patients_and_hide_the_other_assays(tmp_path: Path) -> None:
    report = run(
        cohort(tmp_path / "in"),
        tmp_path / "out",
        "assays=mrna:mrna.csv,mirna:mirna.csv,protein:protein.csv",
        "labels=kinds.csv",
        "label_column=kind",
        "test=0.2",
        "pairs=mrna+mirna,mrna+protein",
    )
    assert {found.name: found.combinations for found in report.sets} == {
        "train-mrna-mirna": ((("mirna", "mrna"), 24),),
        "train-mrna-protein": ((("mrna", "protein"), 24),),
        "test": ((("mirna", "mrna", "protein"), 12),),
    }
    halves = [samples(tmp_path / "out", f"train-mrna-{name}") for name in ("mirna", "protein")]
    assert not set(halves[0]) & set(halves[1])
    for half in halves:
        labels = Counter(json.loads(parts["meta.json"])["label"] for parts in half.values())
        assert labels["rare"] == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,x\na,1\nb,one\n", "rna.csv line 3, 'b': column 'x' must hold a number, .* 'one'"),
        ("id,x\na,1\nb,inf\n", "column 'x' must hold a number, but holds 'inf'"),
        ("id,x\na,1\nb,1_0\n", "column 'x' must hold a number, but holds '1_0'"),
        ("id,x\na,1\nb,1,2\n", "line 3: it has 3 cells, but the header has 2"),
        ("id,x\na,1\n,2\n", "line 3: the id is empty"),
    ],
)
def test_a_bad_row_is_named_and_may_be_left_out(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / "in", rna=text)
    with pytest.raises(ShardError, match=message) as caught:
        run(tmp_path / "in", tmp_path / "out")
    assert "1 rows cannot be used, but 0 may be left out" in caught.value.what
    assert not list((tmp_path / "out").glob("*.tar"))
    run(tmp_path / "in", tmp_path / "out", "max_bad=1")
    assert list(samples(tmp_path / "out", "train")) == ["a"]
    assert "Left out (1)" in (tmp_path / "out" / "README.md").read_text()


def test_many_bad_rows_stop_early_and_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "in", rna="id,x\n" + "".join(f"p{n},no\n" for n in range(500)))
    with pytest.raises(ShardError, match=r"13 rows .*(\n.*){10}\nand 3 more"):
        run(tmp_path / "in", tmp_path / "out", "max_bad=3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,x\na,1\nb,2\na,3\n", "'a' occurs twice: lines 2 and 4"),
        ("id,x,y,x\na,1,2,3\n", "'x' occurs twice: columns 1 and 3"),
        ("", "the table is empty"),
    ],
)
def test_a_table_that_is_wrong_as_a_whole(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path / "in", rna=text)
    with pytest.raises(ShardError, match=message):
        run(tmp_path / "in", tmp_path / "out", "max_bad=100")


def test_a_bad_row_does_not_hide_a_second_one(tmp_path: Path) -> None:
    write(tmp_path / "in", rna="id,x\na,no\na,2\n")
    with pytest.raises(ShardError, match="'a' occurs twice: lines 2 and 3"):
        run(tmp_path / "in", tmp_path / "out", "max_bad=9")


@pytest.mark.parametrize(
    "damage", [b"\x1f\x8b but no gzip", gzip.compress(b"id,x\na,1\n", mtime=0)[:-6]]
)
def test_a_damaged_table(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "rna.csv.gz").write_bytes(damage)
    with pytest.raises(ShardError, match="the table cannot be read"):
        run(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize("name", ["rna.csv", "rna.parquet"])
def test_bytes_that_are_no_table(tmp_path: Path, name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(b"id,x\n\xff\xfe,1\n")
    with pytest.raises(ShardError, match="the table cannot be read"):
        run(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["assays=rna"], "must be name:file"),
        (["assays=rna:rna.csv,rna:x.csv"], "'rna' is given twice"),
        (["assays=rna:../rna.csv"], "lies outside of the source"),
        (["assays=rna:rma.csv"], r"no file 'rma.csv' \(did you mean 'rna.csv'\?\)"),
        (["label_column=kind"], "need --set labels=FILE"),
        (["labels=how.csv", "split_column=kind", "test=0.5"], "exclude each other"),
        (["test=0.5", "validation=0.5"], "must leave patients for training"),
        (["main=test", "test=0.5"], "a name that no other set has"),
        (["pairs=a+a"], "each once"),
        (["pairs=a+b,b+a"], "must name other assays"),
        (["pairs=rna+how,rna+hov"], r"no assay 'hov' \(did you mean 'how'\?\)"),
    ],
)
def test_options_that_make_no_sense(tmp_path: Path, options: list[str], message: str) -> None:
    write(tmp_path / "in", rna="id,x\na,1\n", how="id,x\na,1\n")
    with pytest.raises(InputError, match=message):
        run(tmp_path / "in", tmp_path / "out", *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["labels=how.csv", "label_column=kin", "assays=rna:rna.csv"],
            r"no column 'kin' \(did you mean 'kind'",
        ),
        (["id_column=who", "assays=rna:rna.csv"], "no column 'who'; the first ones are: id, x"),
        (["assays=rna:notes.txt"], "a table must end in"),
        (["labels=twice.csv", "assays=rna:rna.csv"], "'a' occurs twice: lines 2 and 3"),
        (["labels=bad.csv", "assays=rna:rna.csv"], "line 2: it has 1 cells"),
        (["labels=noid.csv", "assays=rna:rna.csv"], "line 2: the id is empty"),
    ],
)
def test_sources_that_do_not_fit(tmp_path: Path, options: list[str], message: str) -> None:
    folder = write(tmp_path / "in", rna="id,x\na,1\n", how="id,kind\na,b\n")
    (folder / "notes.txt").write_text("no table")
    (folder / "twice.csv").write_text("id,k\na,1\na,2\n")
    (folder / "bad.csv").write_text("id,k\na\n")
    (folder / "noid.csv").write_text("id,k\n,1\n")
    with pytest.raises(ShardError, match=message):
        run(folder, tmp_path / "out", *options)


def test_folders_without_tables(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="add --source DIR"):
        prepare("omics-table", None, tmp_path / "out")
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="the folder holds no table"):
        run(tmp_path / "in", tmp_path / "out")
    write(tmp_path / "in", rna="id,x\na,1\n", RNA="id,x\na,1\n")
    with pytest.raises(InputError, match="gives no assay name of its own"):
        run(tmp_path / "in", tmp_path / "out")


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40))
def test_any_name_becomes_a_key_and_comes_back(name: str) -> None:
    key = as_key(name)
    assert from_key(key) == name
    assert parse_member(f"{key}.x.txt").key == key


def test_names_that_cannot_be_keys() -> None:
    for name, message in (("", "empty"), ("x" * 2000, "too long"), ("\ud800", "no valid Unicode")):
        with pytest.raises(ValueError, match=message):
            as_key(name)


@given(
    st.lists(st.integers(0, 500), unique=True, max_size=80),
    st.integers(0, 4),
    st.integers(0, 99),
)
def test_every_name_goes_to_one_part_at_most(numbers: list[int], kinds: int, seed: int) -> None:
    names = [f"n{number}" for number in numbers]
    classes = {name: str(int(name[1:]) % (kinds + 1)) for name in names}
    fractions = {"a": 0.25, "b": 0.5}
    parts = split_names(names, fractions, seed, "test", classes)
    assert parts == split_names(names[::-1], fractions, seed, "test", classes)
    together = [name for part in parts.values() for name in part]
    assert len(set(together)) == len(together)
    assert set(together) <= set(names)
    assert [len(part) for part in parts.values()] == [round(f * len(names)) for f in (0.25, 0.5)]


@needs_data
def test_real_omics_with_missing_pairs(tmp_path: Path) -> None:
    options = (
        "assays=mrna:train_mrna.csv.gz,mirna:train_mirna.csv.gz,protein:train_protein.csv.gz",
        "labels=train_subtype.csv",
        "label_column=subtype",
        "test=0.2",
        "pairs=mirna+mrna,mrna+protein",
    )
    report = run(DATA / "breast_tcga", tmp_path / "out", *options)
    assert {found.name: found.combinations for found in report.sets} == {
        "train-mirna-mrna": ((("mirna", "mrna"), 60),),
        "train-mrna-protein": ((("mrna", "protein"), 60),),
        "test": ((("mirna", "mrna", "protein"), 30),),
    }
    for name, wanted in (("test", (9, 6, 15)), ("train-mirna-mrna", (18, 12, 30))):
        found = samples(tmp_path / "out", name)
        labels = Counter(json.loads(parts["meta.json"])["label"] for parts in found.values())
        assert tuple(labels[kind] for kind in ("Basal", "Her2", "LumA")) == wanted
    with gzip.open(DATA / "breast_tcga" / "train_protein.csv.gz", "rt") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    found = {**samples(tmp_path / "out", "test"), **samples(tmp_path / "out", "train-mrna-protein")}
    compared = 0
    for row in rows:
        (_, patient), *cells = row.items()
        if as_key(patient) in found:
            kept = table(found[as_key(patient)]["protein.csv"])
            assert {name: float(cell) for name, cell in cells} == {
                name: float(cell) for name, cell in kept.items()
            }
            compared += 1
    assert compared == 90


@needs_data
def test_real_omics_with_missing_assays(tmp_path: Path) -> None:
    options = ("labels=clinical.csv", "label_column=C1A.C1B")
    report = run(DATA / "mini_acc", tmp_path / "out", *options)
    (train,) = report.sets
    assert train.samples == 92
    have = {
        assay: sum(count for names, count in train.combinations if assay in names)
        for assay in train.modalities
    }
    assert have == {
        "gistict": 90,
        "mirnaseqgene": 80,
        "mutations": 90,
        "rnaseq2genenorm": 79,
        "rppaarray": 46,
    }
    assert sum(count for names, count in train.combinations if len(names) == 5) == 43
