"""omics-table: one table per assay, one row per patient, become samples with the assays they have."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, field_validator, model_validator

from loretta_framework.api.errors import InputError, nearest
from loretta_framework.api.settings import Settings
from loretta_framework.shards.prepare import Say
from loretta_framework.shards.preparers.clinic import Clinic, read_clinic
from loretta_framework.shards.preparers.keys import as_key, as_name
from loretta_framework.shards.preparers.left_out import LeftOut
from loretta_framework.shards.preparers.splitting import split_names
from loretta_framework.shards.preparers.tables import (
    NumberTable,
    read_numbers,
    stem,
)
from loretta_framework.shards.preparing.card import CardFacts, source_file
from loretta_framework.shards.preparing.sources import require_folder
from loretta_framework.shards.writing import ShardWriter

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_SPLITS = ("train", "validation", "test")


class Options(Settings):
    """What the tables are, and how patients are divided."""

    assays: tuple[str, ...] = Field(
        (), description="tables as name:file, for example mrna:train_mrna.csv.gz; none: every table"
    )
    id_column: str | None = Field(
        None, description="column of the patient ids in every table; null: the first one"
    )
    transpose: bool = Field(
        False, description="tables have a row per feature, a column per patient"
    )
    labels: str | None = Field(
        None, description="table with a row per patient whose columns go into meta.json"
    )
    label_column: str | None = Field(
        None, description="its column with the class: meta.label, and what splits are balanced by"
    )
    split_column: str | None = Field(
        None, description="its column that says train, validation or test"
    )
    validation: float = Field(0.0, ge=0, lt=1, description="fraction of patients for validation")
    test: float = Field(0.0, ge=0, lt=1, description="fraction of patients for the test set")
    main: str = Field("train", description="name of the set of all other patients")
    pairs: tuple[str, ...] = Field(
        (),
        description="divides those patients into equal groups that keep only these assays, for "
        "example mrna+mirna,mrna+protein",
    )
    max_bad: int = Field(0, ge=0, description="bad rows that may be left out")
    samples_per_shard: int = Field(1000, ge=1, description="samples after which a shard ends")
    licence: str = Field("not stated", description="licence of the tables, for the data card")

    @field_validator("assays")
    @classmethod
    def _named(cls, assays: tuple[str, ...]) -> tuple[str, ...]:
        names = [assay.partition(":")[0] for assay in assays]
        for assay, name in zip(assays, names, strict=True):
            if not _NAME.fullmatch(name) or not assay.partition(":")[2]:
                raise ValueError(f"an assay must be name:file, but is '{assay}'")
            if names.count(name) > 1:
                raise ValueError(f"the assay '{name}' is given twice")
        return assays

    @field_validator("pairs")
    @classmethod
    def _distinct(cls, pairs: tuple[str, ...]) -> tuple[str, ...]:
        seen = [frozenset(pair.split("+")) for pair in pairs]
        for pair, names in zip(pairs, seen, strict=True):
            if seen.count(names) > 1 or len(names) != len(pair.split("+")):
                raise ValueError(f"each group must name other assays, each once, but has '{pair}'")
        return pairs

    @model_validator(mode="after")
    def _agree(self) -> Options:
        if self.labels is None and (self.label_column or self.split_column):
            raise ValueError("label_column and split_column need --set labels=FILE")
        if self.split_column and (self.validation or self.test):
            raise ValueError("split_column and the fractions validation, test exclude each other")
        if self.validation + self.test >= 1:
            raise ValueError("validation and test must leave patients for training")
        if not _NAME.fullmatch(self.main) or self.main in ("validation", "test")[: self._taken()]:
            raise ValueError(f"main must be a name that no other set has, but is '{self.main}'")
        return self

    def _taken(self) -> int:
        return 2 if self.validation or self.test or self.split_column else 0


def prepare(source: Path | None, out: Path, seed: int, options: Options, say: Say) -> CardFacts:
    """See `shards.prepare`."""
    folder = require_folder(source, "omics-table")
    files = _files(folder, options)
    _require_known(options.pairs, list(files))
    bad = LeftOut(options.max_bad, say)
    tables: dict[str, NumberTable] = {}
    for name, path in files.items():
        say(f"reading {path.name}")
        tables[name] = read_numbers(path, options.id_column, options.transpose, bad)
    clinic = Clinic()
    if options.labels is not None:
        clinic = read_clinic(
            _inside(folder, options.labels),
            options.id_column,
            options.label_column,
            options.split_column,
            bad,
        )
    patients = sorted({patient for table in tables.values() for patient in table.rows})
    excluded = set(_excluded(patients, clinic, options, bad))
    bad.check()
    sets = _sets([name for name in patients if name not in excluded], clinic, seed, options)
    names = tuple(tables)
    written: dict[str, str] = {}
    for name, (members, kept, purpose) in sets.items():
        chosen = {assay: tables[assay] for assay in kept or names}
        if _write(out, name, members, chosen, clinic, options, bad):
            written[name] = purpose
    paths = [*files.values(), *([_inside(folder, options.labels)] if options.labels else [])]
    return CardFacts(
        title="Assays of patients",
        about=_about(tables, bad),
        purposes=written,
        licences=(options.licence,),
        sources=tuple(source_file(path, path.relative_to(folder).as_posix()) for path in paths),
    )


def _files(folder: Path, options: Options) -> dict[str, Path]:
    """Assay -> its table."""
    if options.assays:
        parts = [assay.partition(":") for assay in options.assays]
        return {name: _inside(folder, file) for name, _, file in parts}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = stem(path)
        if name is None or not path.is_file() or path.name == options.labels:
            continue
        assay = as_name(name.lower())
        if not assay or assay in found:
            raise InputError(
                f"'{path.name}' gives no assay name of its own (it would be '{assay}')",
                where=str(folder),
                fix="name the tables: --set assays=name:file,name:file",
            )
        found[assay] = path
    if not found:
        raise InputError(
            "the folder holds no table", where=str(folder), fix="correct --source or name the files"
        )
    return found


def _require_known(pairs: Sequence[str], assays: Sequence[str]) -> None:
    for name in (name for pair in pairs for name in pair.split("+")):
        if name not in assays:
            raise InputError(
                f"there is no assay '{name}'{nearest(name, assays)}",
                where="--set pairs=...",
                fix=f"choose from: {', '.join(assays)}",
            )


def _inside(folder: Path, file: str) -> Path:
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(
            f"'{file}' lies outside of the source", where=str(folder), fix="copy it into the folder"
        )
    if not path.is_file():
        known = [entry.name for entry in sorted(folder.iterdir())]
        raise InputError(
            f"there is no file '{file}'{nearest(file, known)}", where=str(folder), fix="correct it"
        )
    return path


def _excluded(patients: Sequence[str], clinic: Clinic, options: Options, bad: LeftOut) -> list[str]:
    """Patients whose split is none of the three."""
    found = []
    for patient in patients if options.split_column else ():
        split = clinic.splits.get(patient, "")
        if split not in _SPLITS:
            text = f"'{options.split_column}' must be one of {', '.join(_SPLITS)}, but is '{split}'"
            bad.add(f"patient '{patient}'", text)
            found.append(patient)
    return found


_Set = tuple[list[str], tuple[str, ...], str]
"""Patients, assays that they keep (none: all), what the set is for."""


def _sets(patients: list[str], clinic: Clinic, seed: int, options: Options) -> dict[str, _Set]:
    if options.split_column:
        parts = {name: [p for p in patients if clinic.splits[p] == name] for name in _SPLITS[1:]}
    else:
        fractions = {"validation": options.validation, "test": options.test}
        purpose = "omics-table/split"
        parts = split_names(patients, fractions, seed, purpose, clinic.labels)
    gone = {name for part in parts.values() for name in part}
    rest = [name for name in patients if name not in gone]
    sets: dict[str, _Set] = {}
    if options.pairs:
        names = [f"{options.main}-{pair.replace('+', '-')}" for pair in options.pairs]
        fraction = dict.fromkeys(names, 1 / len(names))
        groups = split_names(rest, fraction, seed, "omics-table/pairs", clinic.labels)
        # Rounding may leave a patient over; nobody is lost to it.
        over = sorted(set(rest) - {name for group in groups.values() for name in group})
        groups[names[-1]] = sorted([*groups[names[-1]], *over])
        for name, pair in zip(names, options.pairs, strict=True):
            sets[name] = (groups[name], tuple(pair.split("+")), f"training, only {pair}")
    else:
        sets[options.main] = (rest, (), "training" if options.main == "train" else options.main)
    sets["validation"] = (parts["validation"], (), "watched in training")
    sets["test"] = (parts["test"], (), "judged afterwards")
    return {name: found for name, found in sets.items() if found[0]}


def _write(
    out: Path,
    name: str,
    patients: Sequence[str],
    tables: Mapping[str, NumberTable],
    clinic: Clinic,
    options: Options,
    bad: LeftOut,
) -> int:
    count = 0
    with ShardWriter(out, name, options.samples_per_shard) as writer:
        for patient in patients:
            members = {}
            for assay, table in tables.items():
                row = table.rows.get(patient)
                if row is not None and not np.isnan(table.values_NF[row]).all():
                    members[f"{assay}.csv"] = _cells(table, row)
            if not members:
                bad.note(f"patient '{patient}' has none of the assays of set '{name}'")
                continue
            meta: dict[str, Any] = {"id": patient, "clinical": clinic.facts.get(patient, {})}
            if patient in clinic.labels:
                meta["label"] = clinic.labels[patient]
            text = json.dumps(meta, ensure_ascii=False, sort_keys=True)
            writer.write(as_key(patient), {**members, "meta.json": text.encode()})
            count += 1
    return count


def _cells(table: NumberTable, row: int) -> bytes:
    """A header line of feature names and a line of numbers that read back exactly."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(table.features)
    values = table.values_NF[row].tolist()
    lines.writerow(["" if value != value else repr(value) for value in values])
    return text.getvalue().encode()


def _about(tables: Mapping[str, NumberTable], bad: LeftOut) -> str:
    lines = ["One table per assay; a sample holds the assays that were measured for the patient."]
    lines += ["", "| assay | patients | features | empty cells |", "|---|---|---|---|"]
    for name, table in tables.items():
        empty = int(np.isnan(table.values_NF).sum())
        lines.append(f"| {name} | {len(table.rows)} | {len(table.features)} | {empty} |")
    lines += ["", "An empty cell stays empty. A patient without any value of an assay lacks it."]
    lines += ["Original ids stand in `meta.json`; in keys `%XX` stands for a character."]
    return "\n".join(lines) + (f"\n\n{bad.card()}" if bad.card() else "")
