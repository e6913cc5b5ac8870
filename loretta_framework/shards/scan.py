"""Walks a tar's headers once: samples, offsets, checksums; anything doubtful is refused.

The stock readers end early without a word on a truncated tar, join members of a key that lie
apart into partial samples, and run code from some extensions. Nothing is ever extracted to disk.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.members import MemberName, parse_member

_CHUNK = 1 << 20
_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a sample.

    Attributes:
        name: local name, without the key, extension in lower case: `image.1.png`.
        offset: first byte of its content in the shard.
        size: bytes.
        crc32: checksum of the content.
    """

    name: str
    offset: int
    size: int
    crc32: int


@dataclass(frozen=True, slots=True)
class SampleEntry:
    """One sample: its key, which shard of the index it lies in, and its members in file order."""

    key: str
    shard: int
    members: tuple[Member, ...]


def scan_shard(path: Path) -> tuple[str, tuple[SampleEntry, ...]]:
    """(sha256 of the file, its samples in file order, all with shard 0).

    Raises:
        ShardError: the shard is missing, empty, truncated, or holds what must not be in it.
    """
    try:
        with path.open("rb") as file:
            samples = tuple(_samples(path, file))
            file.seek(0)
            digest = sha256()
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise ShardError(
            f"the shard cannot be read: {error.strerror or error}",
            where=str(path),
            fix="check that the file exists and may be read",
        ) from error
    if not samples:
        raise ShardError(
            "the shard is empty", where=str(path), fix="write it again, or leave it out"
        )
    return digest.hexdigest(), samples


def _samples(path: Path, file: BinaryIO) -> Iterator[SampleEntry]:
    key, members, done = "", dict[str, Member](), set[str]()
    for info in _headers(path, file):
        name = _checked(path, info)
        if name.key != key:
            if members:
                yield SampleEntry(key, 0, tuple(members.values()))
            done.add(key)
            key, members = name.key, {}
            if key in done:
                raise _fault(
                    path,
                    info,
                    f"the members of key '{key}' must lie side by side, but others lie between",
                    "write the shard sorted by key (tar --sort=name)",
                )
        if name.local in members:
            raise _fault(
                path,
                info,
                f"key '{key}' holds '{name.local}' twice",
                "number them: image.0, image.1",
            )
        members[name.local] = _member(path, file, info, name.local)
    if members:
        yield SampleEntry(key, 0, tuple(members.values()))


def _headers(path: Path, file: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Every header that is not a folder; raises `ShardError` unless the tar ends as a tar must."""
    end = path.stat().st_size
    if not end:
        raise ShardError(
            "the shard is empty", where=str(path), fix="write it again, or leave it out"
        )
    offset = 0
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (info := tar.next()) is not None:
                offset = info.offset
                if info.size < 0 or info.offset_data + info.size > end:
                    raise _truncated(path, info.offset)
                if not info.isdir():
                    yield info
                tar.members.clear()  # type: ignore[attr-defined]  # or every header stays in memory
            offset = tar.offset
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise _truncated(path, offset) from error
    file.seek(offset)
    tail = file.read(2 * _BLOCK)
    if len(tail) < 2 * _BLOCK or any(tail):
        raise _truncated(path, offset)
    while chunk := file.read(_CHUNK):
        if any(chunk):
            raise ShardError(
                "data follows the end mark of the tar; readers would not see it",
                where=f"{path} at byte {offset}",
                fix="tars cannot be joined with cat; keep them as separate shards",
            )


def _checked(path: Path, info: tarfile.TarInfo) -> MemberName:
    if not info.isreg() or info.issparse():
        raise _fault(
            path, info, "only plain files may lie in a shard, no links or devices", "write it again"
        )
    try:
        return parse_member(info.name)
    except ValueError as error:
        fix = "name members <key>.<modality>[.<number>].<extension>, and leave pickles out"
        raise _fault(path, info, str(error), fix) from error


def _member(path: Path, file: BinaryIO, info: tarfile.TarInfo, name: str) -> Member:
    file.seek(info.offset_data)
    crc, left = 0, info.size
    while left:
        chunk = file.read(min(left, _CHUNK))
        if not chunk:
            raise _truncated(path, info.offset)
        crc, left = zlib.crc32(chunk, crc), left - len(chunk)
    return Member(name, info.offset_data, info.size, crc)


def _fault(path: Path, info: tarfile.TarInfo, what: str, fix: str) -> ShardError:
    return ShardError(what, where=f"{path} at byte {info.offset}, member '{info.name}'", fix=fix)


def _truncated(path: Path, offset: int) -> ShardError:
    return ShardError(
        "the shard is truncated or is no tar",
        where=f"{path} at byte {offset}",
        fix="copy or write it again; nothing of it is used",
    )
