"""folder: files that share a name become one sample, for example images with their captions."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from loretta_framework.api.errors import InputError, nearest
from loretta_framework.api.settings import Settings
from loretta_framework.shards.members import PICKLES
from loretta_framework.shards.prepare import Say
from loretta_framework.shards.preparers.captions import (
    find_captions,
    read_captions,
    read_object,
)
from loretta_framework.shards.preparers.keys import as_key
from loretta_framework.shards.preparers.left_out import LeftOut
from loretta_framework.shards.preparers.splitting import split_names
from loretta_framework.shards.preparing.card import CardFacts, source_files
from loretta_framework.shards.preparing.sources import require_folder
from loretta_framework.shards.writing import ShardWriter

_MODALITY = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):([a-z0-9]+(\|[a-z0-9]+)*)")
_TEXTS = {"caption": "txt", "json": "txt"}
"""Extensions whose content becomes a text file: a caption, and JSON with a `caption`."""


class Options(Settings):
    """Which files belong to which modality, and how samples are divided."""

    modalities: tuple[str, ...] = Field(
        ("image:png|jpg|jpeg|webp", "text:txt|caption|json"),
        description="name:extension|extension; files of one name are one sample",
    )
    captions: str | None = Field(
        None,
        description="table (.csv, .tsv) or .jsonl with columns file and caption; null: "
        "captions.csv, .tsv or .jsonl where there is one",
    )
    text: str = Field("text", description="modality of the captions")
    validation: float = Field(0.0, ge=0, lt=1, description="fraction of samples for validation")
    test: float = Field(0.0, ge=0, lt=1, description="fraction of samples for the test set")
    max_file_mib: int = Field(64, ge=1, description="larger files are named and left out")
    max_bad: int = Field(0, ge=0, description="bad samples that may be left out")
    samples_per_shard: int = Field(1000, ge=1, description="samples after which a shard ends")
    licence: str = Field("not stated", description="licence of the files, for the data card")

    @field_validator("modalities")
    @classmethod
    def _formed(cls, modalities: tuple[str, ...]) -> tuple[str, ...]:
        owner: dict[str, str] = {}
        for text in modalities:
            match = _MODALITY.fullmatch(text)
            if match is None or match[1] in ("meta", "sequence"):
                raise ValueError(f"a modality must be name:ext|ext, but is '{text}'")
            for extension in match[2].split("|"):
                if extension in owner or extension in PICKLES:
                    why = "belongs to two" if extension in owner else "can run code when opened"
                    raise ValueError(f"the extension '{extension}' {why}")
                owner[extension] = match[1]
        return modalities

    @model_validator(mode="after")
    def _leaves_some(self) -> Options:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test must leave samples for training")
        return self

    def owners(self) -> dict[str, str]:
        """Extension -> modality."""
        parts = [text.partition(":") for text in self.modalities]
        return {extension: name for name, _, rest in parts for extension in rest.split("|")}


@dataclass(slots=True)
class _Group:
    """Files of one name: modality -> file, captions of a table, and what is wrong with them."""

    files: dict[str, Path] = field(default_factory=dict)
    captions: list[str] = field(default_factory=list)
    fault: str = ""


def prepare(source: Path | None, out: Path, seed: int, options: Options, say: Say) -> CardFacts:
    """See `shards.prepare`."""
    root = require_folder(source, "folder")
    bad = LeftOut(options.max_bad, say)
    table = _table(root, options)
    groups, ignored = _grouped(root, table, options, bad)
    if table is not None:
        _attach(groups, table, root, bad)
    for name, group in list(groups.items()):
        if group.fault:
            bad.add(name, group.fault)
            del groups[name]
    fractions = {"validation": options.validation, "test": options.test}
    parts = split_names(list(groups), fractions, seed, "folder/split")
    held = {name for part in parts.values() for name in part}
    parts = {"train": sorted(set(groups) - held), **parts}
    written = {
        name: purpose
        for name, purpose in _PURPOSES.items()
        if parts[name] and _write(out, name, {n: groups[n] for n in parts[name]}, options, bad)
    }
    bad.check()
    used = [path for group in groups.values() for path in group.files.values()]
    return CardFacts(
        title="Files of a folder",
        about=_about(options, ignored, bad),
        purposes=written,
        licences=(options.licence,),
        sources=(source_files([*used, *([table] if table else [])], root, "the folder"),),
    )


_PURPOSES = {
    "train": "training",
    "validation": "watched in training",
    "test": "judged afterwards",
}


def _table(root: Path, options: Options) -> Path | None:
    if options.captions is None:
        return find_captions(root)
    path = root / options.captions
    if path.is_file() and path.resolve().is_relative_to(root.resolve()):
        return path
    known = [entry.name for entry in sorted(root.iterdir())]
    raise InputError(
        f"the folder holds no file '{options.captions}'{nearest(options.captions, known)}",
        where=str(root),
        fix="correct --set captions=...",
    )


def _walk(root: Path, bad: LeftOut) -> Iterator[Path]:
    """Files below the root, sorted; links are named and not followed, hidden files passed over."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*files, *folders]):
            path = Path(folder, name)
            if path.is_symlink():
                bad.note(f"{path.relative_to(root).as_posix()}: it is a link")
            elif path.is_file() and not name.startswith("."):
                yield path


def _grouped(
    root: Path, table: Path | None, options: Options, bad: LeftOut
) -> tuple[dict[str, _Group], Counter[str]]:
    """Path without extension -> its files; and how many files of other extensions there are."""
    owners = options.owners()
    if table is not None:  # then it alone says what the captions are
        owners = {ext: name for ext, name in owners.items() if name != options.text}
    groups: dict[str, _Group] = {}
    ignored: Counter[str] = Counter()
    for path in _walk(root, bad):
        if path == table:
            continue
        extension = path.suffix.lower()[1:]
        if extension not in owners:
            ignored[extension] += 1
            continue
        local = path.relative_to(root).as_posix()
        size = path.stat().st_size
        if size > options.max_file_mib << 20:
            bad.note(f"{local}: it has {size} bytes, and max_file_mib is {options.max_file_mib}")
            continue
        group = groups.setdefault(local[: -len(path.suffix)], _Group())
        modality = owners[extension]
        if modality in group.files:
            other = group.files[modality].name
            group.fault = f"'{other}' and '{path.name}' are both {modality}"
        group.files[modality] = path
    return groups, ignored


def _attach(groups: Mapping[str, _Group], table: Path, root: Path, bad: LeftOut) -> None:
    for line, file, caption in read_captions(table, bad):
        path = os.path.normpath(os.path.join(table.relative_to(root).parent.as_posix(), file))
        group = groups.get(os.path.splitext(path)[0])
        if group is None or path not in _locals(group, root):
            bad.add(f"{table.name} line {line}", f"there is no file '{file}' that is used")
        else:
            group.captions.append(caption)


def _locals(group: _Group, root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in group.files.values()}


def _write(
    out: Path, name: str, groups: Mapping[str, _Group], options: Options, bad: LeftOut
) -> int:
    count = 0
    with ShardWriter(out, name, options.samples_per_shard) as writer:
        for local, group in groups.items():
            try:
                key = "/".join(as_key(part) for part in local.split("/"))
                members = _members(group, options)
            except (OSError, ValueError) as error:
                bad.add(local, str(error))
                continue
            meta = {"file": local, **members.pop("meta", {})}
            text = json.dumps(meta, ensure_ascii=False, sort_keys=True)
            writer.write(key, {**members, "meta.json": text.encode()})
            count += 1
    return count


def _members(group: _Group, options: Options) -> dict[str, Any]:
    """Local name -> bytes; under "meta" what a JSON file holds beside its caption."""
    members: dict[str, Any] = {}
    for modality, path in group.files.items():
        extension, data = path.suffix.lower()[1:], path.read_bytes()
        if modality == options.text and extension == "json":
            caption, members["meta"] = _caption(data)
            data = caption.encode()
        if modality == options.text:
            extension = _TEXTS.get(extension, extension)
        members[f"{modality}.{extension}"] = data
    for number, caption in enumerate(group.captions):
        place = f".{number}" if number else ""
        members[f"{options.text}{place}.txt"] = caption.encode()
    return members


def _caption(data: bytes) -> tuple[str, dict[str, Any]]:
    found = read_object(data)
    if isinstance(found, str):
        raise ValueError(f"the caption's file: {found}")
    if not isinstance(found.get("caption"), str):
        raise ValueError("the JSON must hold a text 'caption'")
    return found["caption"], {name: value for name, value in found.items() if name != "caption"}


def _about(options: Options, ignored: Counter[str], bad: LeftOut) -> str:
    text = "Files of one name are one sample; sub-folders are part of the key."
    if ignored:
        shown = ", ".join(f"{count} '.{name}'" for name, count in sorted(ignored.items()))
        text += f" Files of other kinds were passed over: {shown}."
    text += "\n\nPaths stand in `meta.json`; in keys `%XX` stands for a character."
    return text + (f"\n\n{bad.card()}" if bad.card() else "")
