"""What tar's extended headers say: the records of pax, and the long names of GNU tar.

Both are parsed here from bytes whose length was bounded before they were read.
"""

from __future__ import annotations

MAX_PAX_BYTES = 64 << 10
"""Bytes of one pax header."""

MAX_NAME_BYTES = 4 << 10
"""Bytes of a member's name, however it is stated."""

_MAX_LENGTH_DIGITS = 6
_MAX_SIZE_DIGITS = 20


def pax_records(data: bytes) -> dict[str, str]:
    """The records of a pax header, `<length> <keyword>=<value>\\n` each.

    Of the values only `path` and `size` mean anything to us; the others are not kept.

    Raises:
        ValueError: a record is malformed, `path` or `size` stands there twice or cannot be used.
    """
    records: dict[str, str] = {}
    at = 0
    while at < len(data):
        keyword, value, at = _record(data, at)
        if keyword in ("path", "size"):
            if keyword in records:
                raise ValueError(f"it states '{keyword}' twice")
            # A slash at the end means nothing here: what is a folder the header says.
            records[keyword] = _path(value.rstrip(b"/")) if keyword == "path" else _size(value)
        else:
            records[keyword] = ""
    return records


def long_name(data: bytes) -> str:
    """The name in a GNU long-name header.

    Raises:
        ValueError: it is empty, too long, not UTF-8, or goes on behind its end.
    """
    name, _, rest = data.partition(b"\0")
    if rest.strip(b"\0"):
        raise ValueError("bytes follow the end of the name")
    return _path(name)


def _record(data: bytes, at: int) -> tuple[str, bytes, int]:
    """(keyword, value, where the next record begins)."""
    space = data.find(b" ", at, at + _MAX_LENGTH_DIGITS + 1)
    digits = data[at:space]
    if space < 0 or not digits.isdigit():
        raise ValueError("a record must begin with its length")
    stop = at + int(digits)
    keyword, equals, value = data[space + 1 : stop - 1].partition(b"=")
    if stop > len(data) or stop < space + 3 or data[stop - 1 : stop] != b"\n" or not equals:
        raise ValueError("a record's length is wrong")
    return keyword.decode("utf-8"), value, stop


def _path(value: bytes) -> str:
    if not value:
        raise ValueError("the name is empty")
    if len(value) > MAX_NAME_BYTES:
        raise ValueError(f"the name has {len(value)} bytes, at most {MAX_NAME_BYTES} are allowed")
    return value.decode("utf-8")


def _size(value: bytes) -> str:
    if not value.isdigit() or len(value) > _MAX_SIZE_DIGITS:
        raise ValueError("the size must be a whole number")
    return value.decode("ascii")
