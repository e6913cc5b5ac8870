"""`manifest.json`: sizes and digests of a checkpoint's files, written last, checked before use.

safetensors has no checksum: every single flipped bit would load as other weights without an error.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Collection
from hashlib import file_digest
from pathlib import Path

from pydantic import Field, ValidationError

from loretta_framework.api.errors import CheckpointError
from loretta_framework.api.settings import Settings

MANIFEST = "manifest.json"
STATE = "state.json"
FORMAT = 1
"""Version of the directory's format; raised when an older reader would misread it."""

_MAX_BYTES = 1 << 20
_FILE_NAME = re.compile(r"[a-z][a-z0-9_]*\.safetensors|state\.json")
_DAMAGED = "use another checkpoint, or copy this one again"


class FileRecord(Settings):
    """Size in bytes and sha256 (hexadecimal) of a file."""

    bytes: int = Field(ge=0)
    sha256: str


class Manifest(Settings):
    """What a complete checkpoint consists of."""

    format: int
    step: int
    files: dict[str, FileRecord]


def read_manifest(directory: Path) -> Manifest:
    """Read a checkpoint's manifest; the files it lists are all there with the size it states.

    Raises:
        CheckpointError: the manifest or a file is missing, cut, damaged or of a newer format.
    """
    path = directory / MANIFEST
    if not directory.is_dir():
        raise CheckpointError("there is no such checkpoint", where=str(directory), fix=_DAMAGED)
    if _size(path) is None:
        raise CheckpointError(
            f"the checkpoint is incomplete: {MANIFEST} is missing",
            where=str(directory),
            fix=_DAMAGED,
        )
    manifest = _parse(path)
    for name, record in manifest.files.items():
        size = _size(directory / name)
        if size != record.bytes:
            has = "it is missing" if size is None else f"it has {size}"
            raise CheckpointError(
                f"{name} must have {record.bytes} bytes, but {has}",
                where=str(directory),
                fix=_DAMAGED,
            )
    return manifest


def verify(directory: Path, only: Collection[str] | None = None) -> Manifest:
    """Read the manifest and compare the digest of each file with it.

    Args:
        directory: the checkpoint.
        only: names of the files to digest; all by default.

    Raises:
        CheckpointError: names the first file that differs.
    """
    manifest = read_manifest(directory)
    for name, record in manifest.files.items():
        if only is None or name in only:
            require_digest(directory / name, record)
    return manifest


def require_digest(path: Path, record: FileRecord) -> None:
    """Raise `CheckpointError` when the file's bytes are not those of the record."""
    try:
        with open(path, "rb") as file:
            digest = file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"{path.name} cannot be read: {error.strerror}", where=str(path.parent), fix=_DAMAGED
        ) from error
    if digest != record.sha256:
        raise CheckpointError(
            f"{path.name} is damaged: its sha256 must be {record.sha256}, but is {digest}",
            where=str(path.parent),
            fix=_DAMAGED,
        )


def _parse(path: Path) -> Manifest:
    where = str(path)
    try:
        with open(path, "rb") as file:
            manifest = Manifest.model_validate_json(file.read(_MAX_BYTES))
    except (ValidationError, OSError) as error:
        raise CheckpointError(f"{MANIFEST} is damaged", where=where, fix=_DAMAGED) from error
    if manifest.format != FORMAT:
        raise CheckpointError(
            f"the format must be {FORMAT}, but is {manifest.format}",
            where=where,
            fix="use the version of loretta-framework that wrote it",
        )
    # A name from a file must never become a path outside the checkpoint.
    wrong = [name for name in manifest.files if not _FILE_NAME.fullmatch(name)]
    if wrong or STATE not in manifest.files:
        raise CheckpointError(
            f"{MANIFEST} is damaged: its files are {sorted(manifest.files)}",
            where=where,
            fix=_DAMAGED,
        )
    return manifest


def _size(path: Path) -> int | None:
    """Bytes of a plain file; None for anything else, links and devices included."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
