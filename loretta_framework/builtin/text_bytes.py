"""`text_bytes`: text as its UTF-8 bytes. Nothing to fit, nothing lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from loretta_framework.api.ids import checked_ids
from loretta_framework.api.protocols import Artifact, FloatArray, IntArray
from loretta_framework.api.trigrams import trigram_features
from loretta_framework.builtin.settings import TextBytesSettings


class TextBytes:
    """A `protocols.Tokenizer` and `protocols.Judgeable`; its values are `str`.

    The class is its own factory; it needs nothing from the context.
    """

    def __init__(self, settings: TextBytesSettings, context: object = None) -> None:
        self._settings = settings

    def read(self, data: bytes, extension: str) -> str:
        """The bytes as text, exactly.

        Raises:
            ValueError: they are not UTF-8, or more than `max_bytes`.
        """
        limit = self._settings.max_bytes
        if len(data) > limit:
            text = f"but has {len(data)}"
            raise ValueError(f"a text file may have at most {limit} bytes (max_bytes), {text}")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            text = f"byte {error.start} is {data[error.start]:#04x}"
            raise ValueError(f"a text file must be UTF-8, but {text}") from error

    def write(self, value: str) -> tuple[bytes, str]:
        """UTF-8."""
        return _bytes(value), "txt"

    def show(self, value: str) -> Sequence[Artifact]:
        """The text itself."""
        return [Artifact(_bytes(value), "txt")]

    def parse(self, value: Any) -> str:
        """A `str` as it is. Raises `ValueError` for anything else."""
        _bytes(value)
        return str(value)

    def encode(self, value: str) -> IntArray:
        """The bytes. Raises `ValueError` when they are fewer or more than the settings allow."""
        data = _bytes(value)
        if len(data) < self._settings.min_tokens:
            raise ValueError(
                f"a text must have at least {self._settings.min_tokens} bytes (min_tokens), "
                f"but has {len(data)}: {value!r}"
            )
        if len(data) > self._settings.max_tokens:
            raise ValueError(
                f"a text must have at most {self._settings.max_tokens} bytes (max_tokens), "
                f"but has {len(data)}: {value[:40]!r}..."
            )
        return np.frombuffer(data, np.uint8).astype(np.int64)

    def decode(self, ids: IntArray) -> str:
        """The text; bytes that are not UTF-8 become U+FFFD.

        Raises:
            ValueError: ids are not integers (T,) in 0..255.
        """
        ids_T = checked_ids(ids, 256)
        return ids_T.astype(np.uint8).tobytes().decode("utf-8", errors="replace")

    def features(self, value: str) -> FloatArray:
        """float32 (1, 16, 32), see `api.trigrams`."""
        return trigram_features(value)


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"a text must be str, but is {type(value).__name__}")
    try:
        return value.encode("utf-8")
    except UnicodeEncodeError as error:
        text = f"character {error.start} is {value[error.start]!r}"
        raise ValueError(f"a text must be valid Unicode, but {text}") from error
