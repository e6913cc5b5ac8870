"""Training from tables is training: the same rows in tars give the same losses."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

import loretta_framework as loretta
from loretta_framework.api.errors import ShardError
from loretta_framework.testing.toy_worlds import write_bijection_world, write_recipe

STEPS = 3
SETS = {"ab": ("a", "b"), "bc": ("b", "c"), "test": ("a", "b", "c")}


def rows_of(shard: Path) -> pa.Table:
    """The samples of a tar as a table, in the same order and with the same keys."""
    samples: dict[str, dict[str, str]] = {}
    with tarfile.open(shard) as archive:
        for info in archive:
            key, name, _ = info.name.split(".")
            file = archive.extractfile(info)
            assert file is not None
            samples.setdefault(key, {})[name] = file.read().decode()
    columns = {
        f"the_{name}": [sample.get(name) for sample in samples.values()]
        for name in sorted({name for sample in samples.values() for name in sample})
    }
    return pa.table({"id": list(samples), **columns})


def world(folder: Path, kind: str, changes: list[str] | None = None) -> Path:
    """A recipe over tars, or over the same samples in tables."""
    folder.mkdir()
    write_bijection_world(folder, count=40)
    recipe = write_recipe(
        folder / "small.yaml",
        lengths={"a": 4, "b": 4, "c": 4},
        train={name: SETS[name] for name in ("ab", "bc")},
        objectives=[{"kind": "causal"}],
        steps=STEPS,
        batch_tokens=200,
        backbone={"kind": "transformer", "settings": {"width": 32, "depth": 1, "heads": 2}},
    )
    if kind == "tars":
        return recipe
    data = json.loads(recipe.read_text())
    for item in (*data["data"]["train"], *data["data"]["test"]):
        name = item["name"]
        table = rows_of(folder / f"{name}-0.tar")
        columns = {f"the_{part}": f"{part}.txt" for part in SETS[name]}
        item["shards"] = save(folder, name, table, kind)
        item["source"] = {"kind": f"tables.{kind}", "settings": {"columns": columns, "key": "id"}}
        (folder / f"{name}-0.tar").unlink()
    recipe.write_text(json.dumps(data))
    return recipe


def save(folder: Path, name: str, table: pa.Table, kind: str) -> str:
    if kind == "parquet":
        pq.write_table(table, folder / f"{name}.parquet", row_group_size=16)
        return f"{name}.*"
    (folder / name).mkdir()
    with (
        pa.OSFile(str(folder / name / "data.arrow"), "wb") as file,
        pa.ipc.new_stream(file, table.schema) as stream,
    ):
        stream.write_table(table, max_chunksize=16)
    (folder / name / "state.json").write_text('{"_data_files": [{"filename": "data.arrow"}]}')
    return name


def losses(folder: Path, kind: str, *overrides: str) -> list[dict[str, Any]]:
    recipe = loretta.load_recipe(world(folder, kind), ["train.threads=1", *overrides])
    loretta.train(recipe, run_dir=folder / "run")
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    kept = [
        {name: value for name, value in json.loads(line).items() if "loss" in name or "->" in name}
        for line in lines
    ]
    return [line for line in kept if line]


@pytest.mark.parametrize("kind", ["parquet", "huggingface"])
@pytest.mark.parametrize("workers", [0, 1])
def test_tables_train_as_tars_do(tmp_path: Path, kind: str, workers: int) -> None:
    wanted = losses(tmp_path / "tars", "tars")
    assert len(wanted) >= STEPS
    assert losses(tmp_path / kind, kind, f"data.workers={workers}") == wanted


def test_the_plan_counts_what_rows_have(tmp_path: Path) -> None:
    recipe = world(tmp_path / "in", "parquet")
    table = pq.read_table(tmp_path / "in" / "ab.parquet")
    holes = pa.array(
        [None if row < 10 else text.as_py() for row, text in enumerate(table["the_b"])]
    )
    place = table.column_names.index("the_b")
    pq.write_table(table.set_column(place, "the_b", holes), tmp_path / "in" / "ab.parquet")
    for index in (tmp_path / "in").glob("*.index.safetensors"):
        index.unlink()
    plan = loretta.plan(loretta.load_recipe(recipe))
    (found,) = (item for item in plan.sets if item.name == "ab")
    assert found.combinations == ((("a", "b"), 30), (("a",), 10))
    assert found.source is not None
    assert found.source.kind == "tables.parquet"


def test_a_fault_names_the_recipe_s_line(tmp_path: Path) -> None:
    recipe = world(tmp_path / "in", "parquet")
    (tmp_path / "in" / "bc.parquet").unlink()
    with pytest.raises(ShardError, match=r"small\.yaml.*nothing matches '.*bc\.\*'"):
        loretta.plan(loretta.load_recipe(recipe))
