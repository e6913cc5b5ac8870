"""Files that are either the old ones or the new ones, also after a kill or a power loss.

Writing in place loses both: a kill in the middle leaves half a file under the good name. Here the
bytes go to a neighbour, reach the disk, and only then take the name.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def sync_directory(directory: Path) -> None:
    """Make the entries of a directory durable: names and renames are lost in a power cut without.

    Raises:
        OSError: the directory cannot be opened or synchronised.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def durable_file(path: Path) -> Iterator[BinaryIO]:
    """A new binary file that has reached the disk when the block ends. It must not exist yet.

    Raises:
        OSError: it exists, or cannot be written.
    """
    with open(path, "xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write a file aside and rename it into place; the directory must exist.

    Raises:
        OSError: it cannot be written. The old file is untouched then, and nothing is left beside it.
    """
    aside = path.parent / f".{path.name}.tmp-{secrets.token_hex(6)}"
    try:
        with durable_file(aside) as file:
            file.write(data)
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_json_atomically(path: Path, data: Any) -> None:
    """Write plain data as JSON, aside and renamed.

    Raises:
        OSError: it cannot be written.
        ValueError: the data would not come back equal; see `plain_json`.
    """
    write_bytes_atomically(path, plain_json(data))


def plain_json(data: Any) -> bytes:
    """UTF-8 JSON that reads back to the same data, but that tuples become lists.

    `json.dumps` alone turns the key 1 into "1" and NaN into what no other JSON reader accepts.

    Raises:
        ValueError: names the first part that is no string, boolean, integer, finite float, None,
            list, or mapping with string keys.
    """
    _require_plain(data, "")
    return (json.dumps(data, indent=1, allow_nan=False) + "\n").encode()


def _require_plain(data: Any, where: str) -> None:
    if data is None or isinstance(data, str | bool | int):
        return
    if isinstance(data, float):
        if data - data != 0.0:
            raise ValueError(f"'{where or '.'}' must be finite, but is {data}")
        return
    if isinstance(data, Mapping):
        for key, value in data.items():
            if not isinstance(key, str):
                raise ValueError(
                    f"the keys of '{where or '.'}' must be strings, but one is {key!r}"
                )
            _require_plain(value, f"{where}.{key}" if where else key)
    elif isinstance(data, Sequence) and not isinstance(data, bytes | bytearray):
        for index, value in enumerate(data):
            _require_plain(value, f"{where}[{index}]")
    else:
        raise ValueError(f"'{where or '.'}' must be plain data, but is a {type(data).__name__}")
