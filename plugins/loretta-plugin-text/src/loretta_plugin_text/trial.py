"""With what the conformance kit tries `text.sentencepiece`."""

from __future__ import annotations

import numpy as np

from loretta_framework.api import Trial
from loretta_plugin_text.settings import SentencePieceSettings

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_FORMS = ("{}", "the digit {}", "it says {}, twice", "a handwritten  {}", "{0} {0} {0}")


def _texts(settings: SentencePieceSettings, random: np.random.Generator, count: int) -> list[str]:
    """Sentences on numbers: together they hold every character."""
    words = random.permutation(_WORDS)
    return [_FORMS[i % len(_FORMS)].format(words[i % len(words)]) for i in range(count)]


def _refused(settings: SentencePieceSettings, random: np.random.Generator, count: int) -> list[str]:
    """Too long in tokens, too long at sight, with a character that no piece has, empty."""
    return ["one " * settings.max_tokens + "one", "one" * 1000, "\N{SNOWMAN}", ""]


TRIAL = Trial(settings={"max_tokens": 24}, values=_texts, refused=_refused)
