"""The README's commands, recipe and program work, in the order in which they stand."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml
from loretta_plugin_omics.settings import Augmentation, BinsSettings
from loretta_plugin_omics.tables import read_table

from loretta_framework.cli.main import main

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
PATIENTS = 10
SMALL = ("backbone.settings.width=16", "backbone.settings.depth=1", "backbone.settings.heads=2")
QUICK = ("train.steps=1", "train.batch_tokens=1024", "train.threads=1", "data.workers=0")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def settings_of_the_recipe() -> dict[str, BinsSettings]:
    (recipe,) = blocks("yaml")
    nodes = yaml.safe_load(recipe)["modalities"]
    return {name: BinsSettings(**node["settings"]) for name, node in nodes.items()}


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tables that the README's commands name, of few patients."""
    random = np.random.default_rng(0)
    folder = tmp_path / "tables"
    folder.mkdir()
    patients = [f"p{number}" for number in range(PATIENTS)]
    for assay, settings in settings_of_the_recipe().items():
        header = [f"{assay}{feature}" for feature in range(settings.count)]
        with (folder / f"{assay}.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["id", *header])
            rows.writerows([patient, *random.normal(size=settings.count)] for patient in patients)
    labels = (f"{patient},{'ab'[number % 2]}\n" for number, patient in enumerate(patients))
    (folder / "clinical.csv").write_text("id,subtype\n" + "".join(labels))
    two = (folder / "mirna.csv").read_text().splitlines(keepends=True)[:3]
    (tmp_path / "mirna.csv").write_text("".join(two))
    monkeypatch.chdir(tmp_path)
    return folder


def test_the_readmes_commands_recipe_and_program_work(
    tables: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prepare = re.search(r"^\$ (loretta data prepare .*)$", README, re.MULTILINE)
    assert prepare
    assert main(shlex.split(prepare[1])[1:]) == 0, capfd.readouterr()
    (recipe,), (program,) = blocks("yaml"), blocks("python")
    Path("omics.yaml").write_text(recipe)
    changes = [word for change in (*SMALL, *QUICK) for word in ("--set", change)]
    done = main(["train", "omics.yaml", "--run-dir", "runs/omics", *changes])
    assert done == 0, capfd.readouterr()
    exec(compile(program, "README.md", "exec"), {})
    values, lower = read_table("protein.csv"), read_table("protein-lower.csv")
    assert list(values) == list(lower) == ["p0", "p1"]
    for patient, row in values.items():
        assert len(row) == settings_of_the_recipe()["protein"].count
        for feature, value in row.items():
            end = lower[patient][feature]
            assert value is not None
            assert end is not None
            assert end <= value


def test_every_setting_stands_in_the_readme() -> None:
    names = {*BinsSettings.model_fields, *Augmentation.model_fields}
    assert not [name for name in sorted(names) if not re.search(rf"`[^`\n]*\b{name}\b", README)]
