"""jsonl: each line of a file of JSON lines becomes a sample of files, texts and facts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from loretta_framework.api.errors import InputError
from loretta_framework.api.settings import Settings
from loretta_framework.shards.members import META, SEQUENCE, parse_local
from loretta_framework.shards.prepare import Say
from loretta_framework.shards.preparers.captions import read_lines
from loretta_framework.shards.preparers.keys import as_key, as_name
from loretta_framework.shards.preparers.left_out import LeftOut
from loretta_framework.shards.preparing.card import CardFacts, source_file, source_files
from loretta_framework.shards.preparing.sources import require_folder
from loretta_framework.shards.writing import ShardWriter

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


class Options(Settings):
    """Which fields of a line are files and which are texts; all others go into meta.json."""

    lines: tuple[str, ...] = Field(
        (),
        description="files of lines, each a set named after it; none: every .jsonl of the source",
    )
    files: tuple[str, ...] = Field(
        (), description="fields with a path, or a list of paths, relative to the lines' folder"
    )
    texts: tuple[str, ...] = Field(("text",), description="fields with a text, or a list of texts")
    id: str = Field("id", description="field with the sample's id; without one its line number")
    sequence: str = Field(
        "sequence", description='field with the order of the parts, ["text.0", "image.0", "text.1"]'
    )
    max_file_mib: int = Field(64, ge=1, description="a line that names a larger file is bad")
    max_bad: int = Field(0, ge=0, description="bad lines that may be left out, in all files")
    samples_per_shard: int = Field(1000, ge=1, description="samples after which a shard ends")
    licence: str = Field("not stated", description="licence of the content, for the data card")

    @model_validator(mode="after")
    def _distinct(self) -> Options:
        names = [*self.files, *self.texts, self.id, self.sequence]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the field '{name}' is given two meanings")
        for name in (*self.files, *self.texts):
            if not _NAME.fullmatch(name) or name in ("meta", "sequence"):
                raise ValueError(f"a modality must be a name such as 'image', but is '{name}'")
        return self


def prepare(source: Path | None, out: Path, seed: int, options: Options, say: Say) -> CardFacts:
    """See `shards.prepare`."""
    root = require_folder(source, "jsonl")
    bad = LeftOut(options.max_bad, say)
    used: set[Path] = set()
    written: dict[str, str] = {}
    tables = _tables(root, options)
    for name, path in tables.items():
        say(f"reading {path.name}")
        maker = _Maker(root, path, options)
        if _write(out, name, maker, options, bad):
            written[name] = "training" if name == "train" else name
        used |= maker.used
    bad.check()
    files = [source_files(used, root.resolve(), "files named in the lines")] if used else []
    return CardFacts(
        title="Samples of JSON lines",
        about="Each line is a sample." + (f"\n\n{bad.card()}" if bad.card() else ""),
        purposes=written,
        licences=(options.licence,),
        sources=(*(source_file(path) for path in tables.values()), *files),
    )


def _tables(root: Path, options: Options) -> dict[str, Path]:
    """Set -> its file of lines."""
    paths = [root / name for name in options.lines] or sorted(root.glob("*.jsonl"))
    found: dict[str, Path] = {}
    for path in paths:
        name = as_name(path.stem)
        if not path.is_file() or not path.resolve().is_relative_to(root.resolve()):
            raise InputError(
                f"the source holds no file '{path.name}'",
                where=str(root),
                fix="correct --set lines=...",
            )
        if not name or name in found:
            raise InputError(
                f"'{path.name}' gives no set a name of its own (it would be '{name}')",
                where=str(root),
                fix="rename the file, for example to train.jsonl",
            )
        found[name] = path
    if not found:
        raise InputError("the source holds no .jsonl file", where=str(root), fix="correct --source")
    return found


def _write(out: Path, name: str, maker: _Maker, options: Options, bad: LeftOut) -> int:
    keys: dict[str, int] = {}
    with ShardWriter(out, name, options.samples_per_shard) as writer:
        for line, data in read_lines(maker.path):
            where = f"{maker.path.name} line {line}"
            if isinstance(data, str):
                bad.add(where, data)
                continue
            try:
                key = maker.key(data, line)
                if key in keys:
                    raise ValueError(f"line {keys[key]} has the same '{options.id}'")
                members = maker.members(data)
            except (OSError, ValueError) as error:
                bad.add(where, str(error))
                continue
            keys[key] = line
            writer.write(key, members)
    return len(keys)


class _Maker:
    """Lines of one file to members.

    Attributes:
        path: the file of lines.
        used: files that lines named.
    """

    def __init__(self, root: Path, path: Path, options: Options) -> None:
        self.root, self.path, self.options = root.resolve(), path, options
        self.used: set[Path] = set()

    def key(self, data: Mapping[str, Any], line: int) -> str:
        """Raises `ValueError` when the id cannot be one."""
        name = data.get(self.options.id, f"{line:09d}")
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise ValueError(f"'{self.options.id}' must be a text or a whole number")
        return as_key(str(name))

    def members(self, data: Mapping[str, Any]) -> dict[str, bytes]:
        """Raises `ValueError` and `OSError` when a field cannot be used."""
        members: dict[str, bytes] = {}
        parts: list[tuple[str, int]] = []
        for name in (*self.options.files, *self.options.texts):
            for number, value in enumerate(_listed(data.get(name), name)):
                extension, content = "txt", value.encode()
                if name in self.options.files:
                    extension, content = self._file(value)
                place = f".{number}" if number else ""
                members[_local(f"{name}{place}.{extension}")] = content
                parts.append((name, number))
        if not members:
            fields = ", ".join((*self.options.files, *self.options.texts))
            raise ValueError(f"it has none of the fields {fields}")
        if data.get(self.options.sequence) is not None:
            order = _checked_order(data[self.options.sequence], parts)
            members[SEQUENCE] = json.dumps(order, ensure_ascii=False).encode()
        taken = {*self.options.files, *self.options.texts, self.options.sequence}
        meta = {name: value for name, value in data.items() if name not in taken}
        members[META] = _facts(meta)
        return members

    def _file(self, name: str) -> tuple[str, bytes]:
        """(extension, content) of a file within the source."""
        path = (self.path.parent / name).resolve()
        if not path.is_relative_to(self.root):
            raise ValueError(f"'{name}' lies outside of the source")
        if not path.is_file():
            raise ValueError(f"there is no file '{name}'")
        limit = self.options.max_file_mib
        if path.stat().st_size > limit << 20:
            raise ValueError(f"'{name}' has {path.stat().st_size} bytes; max_file_mib is {limit}")
        self.used.add(path)
        return path.suffix.lower()[1:], path.read_bytes()


def _facts(meta: Mapping[str, Any]) -> bytes:
    """The content of meta.json; raises `ValueError` for what JSON cannot state."""
    try:
        text = json.dumps(meta, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except ValueError as error:  # 1e999 is a number in JSON, but is read as infinity
        raise ValueError("it holds a number that is too large for a float") from error
    return text.encode()


def _listed(value: Any, name: str) -> list[str]:
    values = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(item, str) for item in values):
        raise ValueError(f"'{name}' must be a text or a list of texts")
    return values


def _local(name: str) -> str:
    """The name, if a member may have it; raises `ValueError`."""
    modality, _, extension = parse_local(name)
    if not extension or not modality:
        raise ValueError(f"'{name}' has no extension")
    return name


def _checked_order(order: Any, parts: list[tuple[str, int]]) -> list[str]:
    """`order`, if it names each part once; raises `ValueError`."""
    names = order if isinstance(order, list) else []
    wanted = []
    for name in names:
        modality, _, number = str(name).partition(".")
        wanted.append((modality, _number(number)))
    if not all(isinstance(name, str) for name in names) or sorted(wanted) != sorted(parts):
        shown = ", ".join(f"{name}.{number}" for name, number in parts)
        raise ValueError(f"the sequence must name each part once: {shown}")
    return names


def _number(text: str) -> int:
    """A part's number; -1, which no part has, for one of more digits than a name may have."""
    if not (text.isascii() and text.isdigit()):
        return 0
    return int(text) if len(text) < 10 else -1
