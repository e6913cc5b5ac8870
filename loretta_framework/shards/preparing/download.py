"""Source files from their official homes: each of a known size and checksum, or it is not used.

A download that was cut off goes on where it stopped, in this run and in the next one. A file
appears under its name only when it is whole and right, so nothing that lies there is ever lost to a
bad answer.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from loretta_framework.api.errors import StorageError

ATTEMPTS = 5
"""Tries in a row that bring nothing before a download is given up."""

BACKOFF_S = 0.5
"""Seconds before the second try; they double up to `BACKOFF_LIMIT_S`."""

BACKOFF_LIMIT_S = 8.0
TIMEOUT_S = 30.0
"""Seconds a server may stay silent."""

_BLOCK = 1 << 18
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that another try may change."""

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Original:
    """A file as its publisher offers it.

    Attributes:
        name: the file's name on disk.
        url: its official home, http or https.
        size: bytes; a server that sends more is cut off.
        checksum: "sha256:<hex>", or "md5:<hex>" where only that is published.
    """

    name: str
    url: str
    size: int
    checksum: str


def download_original(original: Original, folder: Path) -> Path:
    """The file in the folder, downloaded unless it is there already and right.

    Raises:
        StorageError: it could not be had, or is not the file that was published.
    """
    target = folder / original.name
    if target.is_file() and _checksum(target, original) == original.checksum:
        return target
    part = folder / f".{original.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        resumed = part.exists()
        _complete(original, part)
        found = _checksum(part, original)
        if found != original.checksum and resumed:  # what lay there may be of another file
            part.unlink()
            _complete(original, part)
            found = _checksum(part, original)
        if found != original.checksum:
            part.unlink()
            text = f"the checksum must be {original.checksum}, but is {found}"
            raise _failed(original, text)
        os.replace(part, target)
    except OSError as error:
        raise StorageError(
            f"the download cannot be written: {error.strerror or error}",
            where=str(folder),
            fix="make room, or set LORETTA_CACHE to a folder that can be written",
        ) from error
    return target


class _Again(Exception):
    """A try that failed in a way that another may not."""


def _complete(original: Original, part: Path) -> None:
    """Append to the part until it has the size of the file."""
    failures = 0
    with _shown(original) as progress:
        while (got := part.stat().st_size if part.exists() else 0) != original.size:
            if got > original.size:
                part.unlink()
                continue
            if failures:
                time.sleep(min(BACKOFF_S * 2 ** (failures - 1), BACKOFF_LIMIT_S))
            fault = "the connection was closed early"
            try:
                _append(original, part, got, progress)
            except _Again as again:
                fault = str(again)
            now = part.stat().st_size if part.exists() else 0
            failures = 0 if now > got else failures + 1
            if failures >= ATTEMPTS:
                text = f"the download broke off after {now} of {original.size} bytes: {fault}"
                raise _failed(original, text)


def _append(original: Original, part: Path, got: int, progress: Progress) -> None:
    """One try: from byte `got` on, or from the start when the server cannot resume."""
    for start, block in _blocks(original, got, part):
        if start + len(block) > original.size:
            part.unlink(missing_ok=True)
            text = f"the server sends more than the file's {original.size} bytes"
            raise _failed(original, text)
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(start)
            file.seek(start)
            file.write(block)
        progress(start + len(block))


def _blocks(original: Original, got: int, part: Path) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) as they arrive."""
    if urlsplit(original.url).scheme not in ("http", "https"):
        raise _failed(original, "only http and https are downloaded")
    request = urllib.request.Request(original.url, headers={"User-Agent": "loretta-framework"})
    if got:
        request.add_header("Range", f"bytes={got}-")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            start = got if answer.status == 206 and _resumes(answer, got) else 0
            while block := answer.read(_BLOCK):
                yield start, block
                start += len(block)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # what lies there is of another file: the next try starts anew
            part.unlink(missing_ok=True)
        elif error.code not in _LATER:
            text = f"the server answers {error.code} {error.reason}"
            raise _failed(original, text) from error
        raise _Again(f"the server answers {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Again(str(getattr(error, "reason", "") or error or type(error).__name__)) from error


def _resumes(answer: http.client.HTTPResponse, got: int) -> bool:
    return (answer.headers.get("Content-Range") or "").startswith(f"bytes {got}-")


def _failed(original: Original, what: str) -> StorageError:
    return StorageError(
        what,
        where=original.url,
        fix=f"get '{original.name}' by hand, put it into a folder, and name that with --source",
    )


def _checksum(path: Path, original: Original) -> str:
    """The file's checksum by the algorithm of the published one, in its form."""
    algorithm = original.checksum.partition(":")[0]
    if algorithm not in ("sha256", "md5"):
        raise ValueError(f"a checksum must be sha256 or md5, but is {algorithm}")
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return f"{algorithm}:{digest.hexdigest()}"


@contextmanager
def _shown(original: Original) -> Iterator[Progress]:
    """A progress bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress as Bar,
        TextColumn,
        TransferSpeedColumn,
    )

    columns = (TextColumn(original.name), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(original.name, total=original.size)
        yield lambda done: bar.update(task, completed=done)
