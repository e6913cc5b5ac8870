"""Looks at a member's bytes as they pass: checksum, text, JSON. Nothing is decoded or unpacked."""

from __future__ import annotations

import codecs
import json
import zlib
from typing import Any

MAX_JSON_BYTES = 1 << 20
"""A sample's facts and its order are small; longer ones are an attack or a mistake."""

COMPRESSED = frozenset({"gz", "tgz", "bz2", "xz", "lzma", "zst", "lz4", "zip", "7z", "rar", "tar"})
"""Extensions of members that hold others. Nothing unpacks them: a kilobyte can become a gigabyte."""

_TEXT = frozenset({"txt", "text", "caption", "csv", "tsv"})


class Inspector:
    """Takes the bytes of one member piece by piece.

    Attributes:
        crc32: checksum of what came so far.
        faults: (code, what, fix) found so far.
        value: the content of a JSON member once `close` has run, else None.
    """

    def __init__(self, extension: str, size: int) -> None:
        self.crc32 = 0
        self.faults: list[tuple[str, str, str]] = []
        self.value: Any = None
        self._text = codecs.getincrementaldecoder("utf-8")() if extension in _TEXT else None
        self._seen = 0
        self._json = bytearray() if extension == "json" else None
        if self._json is not None and size > MAX_JSON_BYTES:
            self._json = None
            what = f"a JSON member may have at most {MAX_JSON_BYTES} bytes, but has {size}"
            self.faults.append(("oversized-json", what, "keep large data in members of their own"))

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        self.crc32 = zlib.crc32(data, self.crc32)
        if self._json is not None:
            self._json += data
        if self._text is not None:
            self._decode(data, False)
        self._seen += len(data)

    def close(self) -> None:
        """The member is complete."""
        if self._text is not None:
            self._decode(b"", True)
        if self._json is None:
            return
        try:
            self.value = json.loads(bytes(self._json).decode("utf-8"))
        except UnicodeDecodeError as error:
            self._not_utf8(error)
        except (ValueError, RecursionError) as error:
            self.faults.append(("invalid-json", f"it is not JSON: {error}", "write it again"))

    def _decode(self, data: bytes, last: bool) -> None:
        assert self._text is not None
        before = self._seen - len(self._text.getstate()[0])
        try:
            self._text.decode(data, last)
        except UnicodeDecodeError as error:
            self._text = None
            self._not_utf8(error, before)

    def _not_utf8(self, error: UnicodeDecodeError, before: int = 0) -> None:
        byte = f"its byte {before + error.start} is {error.object[error.start]:#04x}"
        self.faults.append(("invalid-utf8", f"it is not UTF-8: {byte}", "write it as UTF-8"))
