"""Where shards may lie: local paths, and URLs of a few schemes. Nothing else is ever opened.

webdataset and fsspec take commands (`pipe:`), chains (`simplecache::s3://`) and two dozen schemes
from a string; here a string from a recipe is a path or a plain URL, or it is refused.
"""

from __future__ import annotations

import re
import shlex
from urllib.parse import quote, urlsplit

from loretta_framework.api.errors import ShardError

SCHEMES = ("http", "https", "s3", "gs")
"""What a URL may start with; `gcs://` is read as `gs://`."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_QUERY = re.compile(r"(https?://[^\s?'\"]*)\?[^\s'\"]+", re.IGNORECASE)
_SAFE = "%/:=&?~+!$,;'@()*[]{}-._"
_ALLOWED = "a shard lies at a local path or at an http://, https://, s3:// or gs:// URL"


def is_url(location: str) -> bool:
    """True for a URL that may be read, False for a local path.

    Raises:
        ShardError: the text is neither: a command, a chain, or a scheme that is not allowed.
    """
    match = _SCHEME.match(location)
    if match is None:
        return False
    checked_url(location)
    return True


def checked_url(url: str) -> str:
    """The URL in the one form used as its name: scheme in lower case, `gs` for `gcs`.

    Raises:
        ShardError: scheme not allowed, credentials, chains or control characters inside, or no
            host (bucket) or path (key).
    """
    scheme, colon, rest = url.partition(":")
    scheme = {"gcs": "gs"}.get(scheme.lower(), scheme.lower())
    if not colon or scheme not in SCHEMES or not rest.startswith("//"):
        raise ShardError(f"'{shown(url)}' cannot be read as a shard", fix=_ALLOWED)
    if _CONTROL.search(url):
        raise ShardError(f"'{shown(url)}' holds a control character", fix="write the URL again")
    host, _, path = rest[2:].partition("/")
    if "@" in host:
        raise ShardError(
            f"'{shown(url)}' holds a user or password, which would be written into plans and runs",
            fix="take them out; credentials come from the environment (AWS_PROFILE, "
            "GOOGLE_APPLICATION_CREDENTIALS), or use a presigned URL",
        )
    if not host or not path:
        raise ShardError(
            f"'{shown(url)}' names no file", fix="write https://host/path or s3://bucket/key"
        )
    if scheme in ("s3", "gs"):
        if "::" in rest:  # fsspec would take it for a chain of file systems
            raise ShardError(f"'{shown(url)}' is a chain of URLs", fix=_ALLOWED)
        return f"{scheme}:{rest}"
    _require_host(url)
    return f"{scheme}:{quote(rest.partition('#')[0], safe=_SAFE)}"


def shown(location: str) -> str:
    """The location as it may stand in a message: without credentials, query or control characters.

    The query of a presigned URL is a password.
    """
    text = _CONTROL.sub("?", location)
    head, slashes, rest = text.partition("://")
    if not slashes or "/" in head:
        return text
    host, slash, path = rest.partition("/")
    host = host.rpartition("@")[2]
    if head.lower() in ("http", "https"):
        path, question, _ = path.partition("?")
        host = host.partition("?")[0]
        path += "?..." if question else ""
    return f"{head}://{host}{slash}{path}"


def without_queries(text: str) -> str:
    """A text with web URLs anywhere in it, as it may stand in a message; see `shown`."""
    return _QUERY.sub(r"\1?...", text)


def indexing_anew(location: str) -> str:
    """The command that indexes a shard again, whatever its index says."""
    return f"loretta data index --anew {shlex.quote(shown(location))}"


def url_path(url: str) -> str:
    """The URL's path, without its query: what its file name is taken from."""
    if url.startswith(("http:", "https:")):
        return urlsplit(url).path
    return url.partition("://")[2]


def _require_host(url: str) -> None:
    """Refuse an http URL whose host or port no request can be sent to."""
    try:
        urlsplit(url).port  # noqa: B018 - reading it checks it
    except ValueError as error:
        raise ShardError(
            f"'{shown(url)}' cannot be used: {error}", fix="write the URL again"
        ) from error
