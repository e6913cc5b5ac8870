"""What web servers and object stores have in common: revisions, bodies that may break off, faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.remote.locations import shown

TIMEOUT_S = 60.0
"""Seconds a server may stay silent before the connection counts as lost."""


class Revision(NamedTuple):
    """Which content a URL has: as long as it is the same, so are the bytes.

    Attributes:
        size: bytes.
        tag: the server's mark of the content (ETag or time of change), "" when it gives none.
    """

    size: int
    tag: str


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes of a shard that arrive: from `start`, in pieces. They may end too early."""

    start: int
    chunks: Iterator[bytes]


class Transport(Protocol):
    """How one kind of storage is read. Used from several threads and processes."""

    def revision(self, url: str) -> Revision:
        """The revision that the storage holds now.

        Raises:
            ShardError: there is no such object, or it may not be read.
            Interrupted: the storage did not answer as it should; another try may help.
        """

    def body(self, url: str, start: int, revision: Revision) -> AbstractContextManager[Body]:
        """The bytes of that revision from `start`, or from 0 where ranges are not served.

        Raises:
            Changed: the storage holds another revision.
            ShardError: see `revision`.
            Interrupted: see `revision`; also while the chunks are read.
        """


class Interrupted(Exception):
    """A fault of the connection or of the server that another try may mend; says which."""


class Changed(Exception):
    """The object is not the revision that was asked for."""


def transport_of(url: str) -> Transport:
    """The transport of a checked URL."""
    if url.startswith("http"):
        from loretta_framework.shards.remote.web import Web

        return Web()
    from loretta_framework.shards.remote.buckets import Bucket

    return Bucket()


def missing(url: str, detail: str) -> ShardError:
    """The error for a URL that names nothing."""
    return ShardError(
        f"no such file ({detail})", where=shown(url), fix="check the URL; names are case-sensitive"
    )


def forbidden(url: str, detail: str) -> ShardError:
    """The error for a URL that may not be read with the credentials at hand."""
    if url.startswith("http"):
        fix = "check the URL; a presigned one may have expired"
    elif url.startswith("s3"):
        fix = "set AWS_PROFILE, or FSSPEC_S3='{\"anon\": true}' for a public bucket"
    else:
        fix = 'log in with gcloud, or set FSSPEC_GS=\'{"token": "anon"}\' for a public bucket'
    return ShardError(f"access is refused ({detail})", where=shown(url), fix=fix)
