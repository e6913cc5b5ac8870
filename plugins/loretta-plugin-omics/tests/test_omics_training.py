"""From tables to a trained model and back, through the command line, on real profiles."""

from __future__ import annotations

import csv
import gzip
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from loretta_plugin_omics.settings import BinsSettings
from loretta_plugin_omics.tables import read_profile, read_table
from loretta_plugin_omics.tokenizer import build

import loretta_framework as framework

DATA = Path(os.environ.get("LORETTA_TEST_DATA", "")) / "breast_tcga"
pytestmark = pytest.mark.skipif(
    "LORETTA_TEST_DATA" not in os.environ, reason="LORETTA_TEST_DATA is unset"
)
ASSAYS = {"mrna": 200, "mirna": 184, "protein": 142}
RECIPE = """
schema_version: 1
name: omics
modalities:
  mrna:    {kind: omics.bins, settings: {features: 200}}
  mirna:   {kind: omics.bins, settings: {features: 184, augment: {missing: 0.1}}}
  protein: {kind: omics.bins, settings: {features: 142}}
data:
  train:
    - {name: first, shards: "shards/train-mirna-mrna-*.tar", modalities: [mirna, mrna]}
    - {name: second, shards: "shards/train-mrna-protein-*.tar", modalities: [mrna, protein]}
  test:
    - {name: triples, shards: "shards/test-*.tar", modalities: [mrna, mirna, protein]}
backbone: {kind: transformer, settings: {width: 32, depth: 1, heads: 2}}
train: {steps: 10, batch_tokens: 2048}
"""


def loretta(folder: Path, *arguments: str) -> str:
    command = Path(sys.executable).with_name("loretta")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [str(command), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def prepared(folder: Path, tables: Path) -> Path:
    folder.mkdir()
    (folder / "omics.yaml").write_text(RECIPE)
    options = (
        "assays=" + ",".join(f"{assay}:train_{assay}.csv.gz" for assay in ASSAYS),
        "labels=train_subtype.csv",
        "label_column=subtype",
        "test=0.2",
        "pairs=mirna+mrna,mrna+protein",
    )
    chosen = [part for option in options for part in ("--set", option)]
    source = ("--source", str(tables), "--out", "shards")
    loretta(folder, "data", "prepare", "omics-table", *source, *chosen)
    return folder


def patients(folder: Path, part: str) -> dict[str, bytes]:
    """The protein files of a set, by patient."""
    with tarfile.open(folder / "shards" / f"{part}-000000.tar") as shard:
        files = {
            member.name.partition(".")[0]: shard.extractfile(member)
            for member in shard
            if member.name.endswith(".protein.csv")
        }
        return {key: file.read() for key, file in files.items() if file}


def changed_tables(folder: Path, changed: set[str]) -> Path:
    """The source tables; all numbers of some patients are tripled."""
    folder.mkdir()
    (folder / "train_subtype.csv").write_bytes((DATA / "train_subtype.csv").read_bytes())
    for assay in ASSAYS:
        with gzip.open(DATA / f"train_{assay}.csv.gz", "rt", newline="") as source:
            header, *rows = csv.reader(source)
        for row in rows:
            if row[0] in changed:
                row[1:] = [str(3 * float(cell)) for cell in row[1:]]
        with gzip.open(folder / f"train_{assay}.csv.gz", "wt", newline="") as target:
            csv.writer(target).writerows([header, *rows])
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shards, the recipe and its run."""
    folder = prepared(tmp_path_factory.mktemp("omics") / "work", DATA)
    framework.train(framework.load_recipe(folder / "omics.yaml"), run_dir=folder / "run")
    return folder


@pytest.mark.soak
def test_bins_are_fitted_on_training_rows_only(trained: Path, tmp_path: Path) -> None:
    test = patients(trained, "test")
    other = prepared(tmp_path / "other", changed_tables(tmp_path / "tables", set(test)))
    changed = patients(other, "test")
    assert changed.keys() == test.keys()
    assert all(changed[key] != test[key] for key in test)
    loretta(other, "fit", "omics.yaml", "--out", "fitted")
    for assay, features in ASSAYS.items():
        table = np.load(other / "fitted" / assay / "bins.npy", allow_pickle=False)
        assert table.shape == (features, 4 * 16 + 1)
        original = np.load(trained / "run" / "tokenizers" / assay / "bins.npy", allow_pickle=False)
        np.testing.assert_array_equal(table, original)


@pytest.mark.soak
def test_a_protein_profile_from_mirna(trained: Path) -> None:
    row = next(iter(read_table(DATA / "test_mirna.csv.gz").values()))
    lines = (row, (str(value) for value in row.values()))
    (trained / "mirna.csv").write_text("".join(",".join(line) + "\n" for line in lines))
    to = ("--to", "protein", "--num-samples", "3", "--out", "out")
    loretta(trained, "generate", "run", "--from", "mirna=mirna.csv", *to)
    files = sorted((trained / "out").glob("*.csv"))
    assert len(files) == 3
    measured = read_table(DATA / "train_protein.csv.gz")
    names = tuple(next(iter(measured.values())))
    values_NF = np.array([[found[name] for name in names] for found in measured.values()])
    for path in files:
        profile = read_profile(path)
        assert profile.names == names
        assert (profile.lower <= profile.values).all()  # also: none is missing
        assert (profile.values <= profile.upper).all()
        assert (profile.lower >= np.float32(values_NF.min(axis=0))).all()
        assert (profile.upper <= np.float32(values_NF.max(axis=0))).all()


@pytest.mark.parametrize("assay", ASSAYS)
def test_sixteen_bins_explain_real_profiles(assay: str) -> None:
    rows = list(read_table(DATA / f"train_{assay}.csv.gz").values())
    tokenizer = build(BinsSettings(features=ASSAYS[assay]))
    figures = tokenizer.fit([tokenizer.parse(row) for row in rows], seed=0)
    assert figures["rows"] == 150
    assert figures["bins_used"] == 1
    assert 0.9 < figures["explained"] < 1
    # An independent measure: half of the rows stand for the bins of the other half.
    half = build(BinsSettings(features=ASSAYS[assay]))
    half.fit([half.parse(row) for row in rows[::2]], seed=0)
    held = [half.parse(row) for row in rows[1::2]]
    values = np.stack([profile.values for profile in held])
    restored = np.stack([half.decode(half.encode(profile)).values for profile in held])
    lost = ((values - restored) ** 2).mean(axis=0) / values.var(axis=0)
    assert 1 - lost.mean() > 0.9
