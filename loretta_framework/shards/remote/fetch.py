"""One shard from its URL to a writer: resumed where it stopped, never two revisions mixed."""

from __future__ import annotations

import time
from collections.abc import Callable

from loretta_framework.api.errors import StorageError
from loretta_framework.shards.remote.locations import shown
from loretta_framework.shards.remote.transport import (
    Changed,
    Interrupted,
    Revision,
    Transport,
    transport_of,
)

ATTEMPTS = 5
"""Tries in a row that bring less than `PROGRESS_BYTES` before the download is given up."""

PROGRESS_BYTES = 1 << 20
BACKOFF_S = 0.5
"""Seconds before the second try; they double up to `BACKOFF_LIMIT_S`."""

BACKOFF_LIMIT_S = 8.0

Writer = Callable[[int, bytes], None]
"""Puts bytes at an offset."""


def current_revision(url: str) -> Revision:
    """Size and mark of the content that the storage holds now.

    Raises:
        ShardError: there is no such object, it may not be read, or its size is not given.
        StorageError: the storage does not answer, whatever the number of tries.
        MissingDependencyError: the package for such URLs is not installed.
    """
    transport, fault = transport_of(url), ""
    for attempt in range(ATTEMPTS):
        _pause(attempt)
        try:
            return transport.revision(url)
        except Interrupted as error:
            fault = str(error)
    raise StorageError(
        f"the shard cannot be reached after {ATTEMPTS} tries: {fault}",
        where=shown(url),
        fix="check the connection and the server",
    )


def download(url: str, revision: Revision, write: Writer) -> None:
    """Hand all bytes of a revision to `write`, in order but for what is sent again.

    Raises:
        Changed: the storage holds another revision; what was written is worth nothing.
        ShardError: the object is gone or may not be read.
        StorageError: it broke off too often, or more came than was announced.
    """
    transport, got, best, failures = transport_of(url), 0, 0, 0
    while True:
        _pause(failures)
        try:
            # Without a mark of the content a second answer may be another file: start again.
            got = _attempt(transport, url, got if revision.tag else 0, revision, write)
            fault = "the connection was closed early"
        except _Broken as broken:
            got, fault = broken.got, str(broken)
        if got == revision.size:
            break
        failures = 1 if got - best >= PROGRESS_BYTES else failures + 1
        best = max(best, got)
        if failures >= ATTEMPTS:
            raise StorageError(
                f"the download broke off after {got} of {revision.size} bytes, {failures} times "
                f"in a row: {fault}",
                where=shown(url),
                fix="check the connection and the server; what was complete stays in the cache",
            )
    if current_revision(url) != revision:
        raise Changed


class _Broken(Exception):
    """A try that ended early."""

    def __init__(self, fault: str, got: int) -> None:
        super().__init__(fault)
        self.got = got


def _attempt(transport: Transport, url: str, start: int, revision: Revision, write: Writer) -> int:
    """Bytes that are written after one try."""
    got = start
    try:
        with transport.body(url, start, revision) as body:
            got = body.start
            for chunk in body.chunks:
                if got + len(chunk) > revision.size:
                    raise StorageError(
                        f"the server sends more than the {revision.size} bytes it announced",
                        where=shown(url),
                        fix="the server is faulty; copy the shard elsewhere",
                    )
                write(got, chunk)
                got += len(chunk)
    except Interrupted as error:
        raise _Broken(str(error), got) from error
    return got


def _pause(failures: int) -> None:
    if failures:
        time.sleep(min(BACKOFF_S * 2 ** (failures - 1), BACKOFF_LIMIT_S))
