"""Shards on web servers, read with the standard library: streams, byte ranges, checked answers.

fsspec's http file system would do for honest servers, but it takes a whole file for the range that
it asked for when a server ignores ranges, and keeps an event loop that forked workers must not use.
"""

from __future__ import annotations

import http.client
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.remote import transport
from loretta_framework.shards.remote.locations import shown
from loretta_framework.shards.remote.transport import Body, Changed, Interrupted, Revision

_CHUNK = 1 << 18
_NUMBER = r"[0-9]{1,18}"
"""A longer one is no size: files and buffers of such a length cannot be made."""

_CONTENT_RANGE = re.compile(rf"bytes (?:({_NUMBER})-{_NUMBER}|\*)/({_NUMBER})")
_FAULTS = (OSError, http.client.HTTPException)
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may pass; any other one above 399 is an answer."""


class Web:
    """`Transport` for http and https."""

    def revision(self, url: str) -> Revision:
        """See `Transport.revision`. Asked for with GET, since presigned URLs often refuse HEAD."""
        with _answer(url, "bytes=0-0") as answer:
            whole = _content_range(url, answer.headers)[1] if answer.status in (206, 416) else None
            if answer.status == 200:
                whole = _length(url, answer.headers)
            if whole is None:
                raise ShardError(
                    "the server does not say how large the file is",
                    where=shown(url),
                    fix="serve it with a Content-Length: a plain file server or an object store",
                )
            return Revision(whole, _tag(answer.headers))

    @contextmanager
    def body(self, url: str, start: int, revision: Revision) -> Iterator[Body]:
        """See `Transport.body`."""
        wanted = f"bytes={start}-" if start else None
        with _answer(url, wanted) as answer:
            if answer.status == 416 or _tag(answer.headers) != revision.tag:
                raise Changed
            first, whole = 0, _length(url, answer.headers)
            if answer.status == 206:
                first, whole = _content_range(url, answer.headers)
            if whole is not None and whole != revision.size:
                raise Changed
            if first not in (0, start):
                raise Interrupted(f"byte {start} was asked for, but byte {first} came")
            yield Body(first, _chunks(answer))


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to web servers only; urllib would also follow them to ftp."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            return None  # the answer then counts as refused, with its status
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@lru_cache(maxsize=1)
def _opener() -> urllib.request.OpenerDirector:
    # Not build_opener: it adds handlers for ftp, file and data.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


@contextmanager
def _answer(url: str, byte_range: str | None) -> Iterator[Any]:
    """An answer of status 200, 206 or 416, closed at the end."""
    headers = {"User-Agent": "loretta-framework", "Accept-Encoding": "identity"}
    if byte_range:
        headers["Range"] = byte_range
    try:
        request = urllib.request.Request(url, headers=headers)
        answer = _opener().open(request, timeout=transport.TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            with error:
                raise _refused(url, error) from error
        answer = error
    except (http.client.InvalidURL, ValueError, OverflowError) as error:  # of a redirect, too
        raise ShardError(
            f"the URL, or one that its server redirects to, cannot be used: {error}",
            where=shown(url),
            fix="write the URL again, or use the URL of the file itself",
        ) from error
    except _FAULTS as error:
        raise Interrupted(_said(error)) from error
    with answer:
        if answer.status not in (200, 206, 416):
            raise Interrupted(f"the server answered with status {answer.status}")
        encoding = answer.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise ShardError(
                f"the server compresses the file ({encoding}), so no byte of it can be found",
                where=shown(url),
                fix="turn compression off for .tar files on the server",
            )
        yield answer


def _chunks(answer: Any) -> Iterator[bytes]:
    while True:
        try:
            chunk = answer.read1(_CHUNK)
        except _FAULTS as error:
            raise Interrupted(_said(error)) from error
        if not chunk:
            return
        yield chunk


def _refused(url: str, error: urllib.error.HTTPError) -> ShardError | Interrupted:
    said = f"status {error.code}"
    if error.code in (404, 410):
        return transport.missing(url, said)
    if error.code in (401, 403):
        return transport.forbidden(url, said)
    if error.code in _AGAIN:
        return Interrupted(f"the server answered with {said}")
    if error.code < 400:
        return ShardError(
            f"the server redirects in a circle or to what is no web server ({said})",
            where=shown(url),
            fix="use the URL of the file itself",
        )
    return ShardError(
        f"the server refuses with {said}", where=shown(url), fix="check the URL and the server"
    )


def _said(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    error = reason if isinstance(reason, Exception) else error
    if isinstance(error, TimeoutError):
        return f"the server was silent for {transport.TIMEOUT_S:g} s"
    if isinstance(error, socket.gaierror):
        return "the host's name cannot be resolved"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _tag(headers: Any) -> str:
    return str(headers.get("ETag") or headers.get("Last-Modified") or "")


def _length(url: str, headers: Any) -> int | None:
    text = headers.get("Content-Length", "")
    if not (text.isascii() and text.isdigit()):
        return None
    if not re.fullmatch(_NUMBER, text):
        raise ShardError(
            f"the server states a length of {len(text)} digits",
            where=shown(url),
            fix="the server is faulty; copy the shard elsewhere",
        )
    return int(text)


def _content_range(url: str, headers: Any) -> tuple[int, int]:
    """(first byte, size of the whole file) of a partial answer."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is None:
        raise ShardError(
            "the server answers a range without saying how large the file is, or states no usable size",
            where=shown(url),
            fix="use a server that gives sizes: a plain file server or an object store",
        )
    return int(match[1] or 0), int(match[2])
