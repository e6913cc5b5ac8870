"""Names of a data set's own (patients, files, lines) as keys of samples, and back."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from loretta_framework.shards.members import MAX_KEY_CHARACTERS


def as_key(name: str) -> str:
    """A key for any name: what a key may not hold is written as %XX of its UTF-8 bytes.

    Different names give different keys, and `from_key` finds the name again.

    Raises:
        ValueError: the name is empty, too long, or no valid Unicode.
    """
    try:
        key = quote(name, safe="").replace(".", "%2E")
    except UnicodeEncodeError as error:
        raise ValueError(f"the name {name!r} is no valid Unicode") from error
    if not key:
        raise ValueError("the name is empty")
    if len(key) >= MAX_KEY_CHARACTERS:
        raise ValueError(f"the name is too long for a key ({len(key)} characters)")
    return key


def as_name(text: str) -> str:
    """A name for a set or a modality from that of a file; "" where nothing of it can be used."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).lstrip("_-0123456789")


def from_key(key: str) -> str:
    """The name that `as_key` was given."""
    return unquote(key)
