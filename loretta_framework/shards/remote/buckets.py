"""Shards in object stores (s3, gs), through fsspec. Its packages are imported on first use."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from loretta_framework.api.errors import MissingDependencyError, StorageError
from loretta_framework.shards.remote import transport
from loretta_framework.shards.remote.locations import shown
from loretta_framework.shards.remote.transport import Body, Changed, Interrupted, Revision

PART_BYTES = 8 << 20
PARTS = 4
"""Ranges of `PART_BYTES` asked for at once: one connection to an object store is slow."""

_TAGS = ("ETag", "etag", "LastModified", "updated", "mtime", "generation")
_FAULTS = {
    "botocore.exceptions": ("BotoCoreError", "ClientError"),
    "aiohttp": ("ClientError",),
    "gcsfs.retry": ("HttpError",),
    "google.auth.exceptions": ("GoogleAuthError",),
}
"""What the packages under fsspec raise besides OSError, which most of their faults become."""


class Bucket:
    """`Transport` for s3 and gs."""

    def revision(self, url: str) -> Revision:
        """See `Transport.revision`."""
        found = _ask(url, "info", _path(url))
        size = found.get("size")
        if found.get("type") != "file" or size is None:
            raise transport.missing(url, "it is a folder")
        return Revision(int(size), " ".join(str(found[tag]) for tag in _TAGS if found.get(tag)))

    @contextmanager
    def body(self, url: str, start: int, revision: Revision) -> Iterator[Body]:
        """See `Transport.body`."""
        if self.revision(url) != revision:
            raise Changed
        yield Body(start, self._parts(url, start, revision.size))

    def _parts(self, url: str, start: int, size: int) -> Iterator[bytes]:
        while start < size:
            starts = list(range(start, size, PART_BYTES))[:PARTS]
            ends = [min(first + PART_BYTES, size) for first in starts]
            paths = [_path(url)] * len(starts)
            parts = _ask(url, "cat_ranges", paths, starts, ends, on_error="return")
            for part, first, end in zip(parts, starts, ends, strict=True):
                if isinstance(part, BaseException):
                    raise _translated(url, part) from part
                if len(part) <= end - first:  # more is another range than the one asked for
                    yield part
                if len(part) != end - first:
                    raise Interrupted(f"a range of {end - first} bytes had {len(part)}")
            start = ends[-1]


def list_bucket(pattern: str) -> list[str]:
    """URLs of the objects that an s3 or gs URL with `*` matches; `*` stays between two slashes.

    Raises:
        ShardError: the bucket does not exist or may not be listed.
        StorageError: the store does not answer.
        MissingDependencyError: its package is not installed.
    """
    # fsspec also reads brackets, question marks and '**' as wildcards; shard patterns have '*' only.
    escaped = re.sub(r"\*+", "*", pattern).replace("[", "[[]").replace("?", "[?]")
    try:
        found = _ask(pattern, "glob", _path(escaped))
    except Interrupted as error:
        raise StorageError(
            f"the bucket cannot be listed: {error}",
            where=shown(pattern),
            fix="check the connection, and try again",
        ) from error
    scheme = pattern.partition(":")[0]
    return [f"{scheme}://{path}" for path in found]


def put_object(url: str, data: bytes) -> None:
    """Write an object.

    Raises:
        ShardError: it may not be written.
        Interrupted: the store did not take it.
    """
    _ask(url, "pipe_file", _path(url), data)


def _path(url: str) -> str:
    return url.partition("://")[2]


def _ask(url: str, method: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method of the URL's file system; its faults become ours."""
    try:
        files = _file_system(url)
        files.invalidate_cache()
        return getattr(files, method)(*args, **kwargs)
    except _fault_types() as error:
        raise _translated(url, error) from error


def _file_system(url: str) -> Any:
    import fsspec

    # Our own tries resume where a transfer stopped; those of the packages below would start again,
    # each with its own patience.
    settings: dict[str, Any] = {"use_listings_cache": False}
    if url.startswith("s3"):
        seconds = transport.TIMEOUT_S
        settings["config_kwargs"] = {
            "connect_timeout": seconds,
            "read_timeout": seconds,
            "retries": {"max_attempts": 0},
        }
    scheme = url.partition(":")[0]
    try:
        files = fsspec.filesystem(scheme, **settings)
    except ImportError as error:
        raise MissingDependencyError(
            f"{scheme}:// shards need a package that is not installed: {error}",
            where=shown(url),
            fix=f"pip install 'loretta-framework[{scheme}]'",
        ) from error
    if url.startswith("s3"):
        files.retries = 1
    return files


def _fault_types() -> tuple[type[Exception], ...]:
    found: list[type[Exception]] = [OSError]
    for module, names in _FAULTS.items():  # a package that was not imported raised nothing
        if module in sys.modules:
            found += [getattr(sys.modules[module], name) for name in names]
    return tuple(found)


def _translated(url: str, error: BaseException) -> BaseException:
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, FileNotFoundError | IsADirectoryError):
        return transport.missing(url, "the store has no such object or bucket")
    # gcsfs says so in the text of an OSError.
    if isinstance(error, PermissionError) or said.startswith("Forbidden:"):
        return transport.forbidden(url, said)
    if type(error).__name__ in ("NoCredentialsError", "DefaultCredentialsError", "RefreshError"):
        return transport.forbidden(url, said)
    if isinstance(error, TimeoutError):
        return Interrupted(f"the store was silent for {transport.TIMEOUT_S:g} s")
    if isinstance(error, _fault_types()):
        return Interrupted(said)
    return error
