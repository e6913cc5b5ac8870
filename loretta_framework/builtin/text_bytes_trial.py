"""With what the conformance kit tries `text_bytes`."""

from __future__ import annotations

import numpy as np

from loretta_framework.api import Trial
from loretta_framework.builtin.settings import TextBytesSettings

_ODD = ("a", "é", "two words", " spaces ", "line\nbreak", "\x00", "\N{GRINNING FACE}", "a\u0301")


def _texts(settings: TextBytesSettings, random: np.random.Generator, count: int) -> list[str]:
    """The shortest, odd ones, and the longest."""
    letters = random.choice(list("abcdefghij "), (count, settings.max_tokens))
    longest = ["".join(row) for row in letters]
    return [*_ODD, *longest][-count:] if count < len(_ODD) else [*_ODD, *longest][:count]


def _too_long(settings: TextBytesSettings, random: np.random.Generator, count: int) -> list[str]:
    return ["x" * (settings.max_tokens + 1), "é" * settings.max_tokens, ""]


TRIAL = Trial(settings={"max_tokens": 24}, values=_texts, refused=_too_long)
