"""`text.sentencepiece`: text as learned pieces of words."""

from __future__ import annotations

import io
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from loretta_framework.api.ids import checked_ids
from loretta_framework.api.protocols import Artifact, FloatArray, IntArray
from loretta_framework.api.trigrams import trigram_features
from loretta_plugin_text.settings import SentencePieceSettings

MODEL_FILE = "sentencepiece.model"
LONGEST_PIECE = 16
"""Characters of a piece at most."""

_UNKNOWN = 0
_ERRORS_ONLY = 2


class SentencePieceTokenizer:
    """A `protocols.FittedTokenizer` and `protocols.Judgeable`; its values are `str`.

    Values are in Unicode's composed form (NFC) without white space at their ends; `decode` gives
    exactly what `encode` was given. The class is its own factory and needs no context.
    """

    def __init__(self, settings: SentencePieceSettings, context: object = None) -> None:
        self._settings = settings
        self._model = b""
        self._processor: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"_settings": self._settings, "_model": self._model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._settings, self._processor = state["_settings"], None
        self._model = state["_model"]
        if self._model:
            self._processor = self._open(self._model)

    def read(self, data: bytes, extension: str) -> str:
        """A UTF-8 file as a value.

        Raises:
            ValueError: it is not UTF-8, or has more than `max_bytes`.
        """
        limit = self._settings.max_bytes
        if len(data) > limit:
            text = f"but has {len(data)}"
            raise ValueError(f"a text file may have at most {limit} bytes (max_bytes), {text}")
        try:
            return self.parse(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            text = f"byte {error.start} is {data[error.start]:#04x}"
            raise ValueError(f"a text file must be UTF-8, but {text}") from error

    def write(self, value: str) -> tuple[bytes, str]:
        """UTF-8."""
        return _text(value).encode("utf-8"), "txt"

    def show(self, value: str) -> Sequence[Artifact]:
        """The text itself."""
        return [Artifact(self.write(value)[0], "txt")]

    def parse(self, value: Any) -> str:
        """Compose characters and strip the ends of a `str`. Raises `ValueError` for others."""
        return unicodedata.normalize("NFC", _text(value)).strip()

    def fit(self, values: Iterable[str], seed: int) -> Mapping[str, float]:
        """Learn the pieces; no randomness is involved, so the seed changes nothing.

        Returns:
            `texts`, `pieces` in use and `tokens_per_text`.

        Raises:
            ValueError: there are no texts, or `vocab_size` does not hold their characters.
        """
        texts = [text for text in map(self.parse, values) if text]
        if not texts:
            raise ValueError("there must be at least one text to fit on that is not empty")
        model = self._train(texts)
        self._processor, self._model = self._open(model), model
        pieces = self._processor.get_piece_size()
        tokens = sum(len(ids) for ids in self._processor.encode(texts, num_threads=1))
        return {
            "texts": float(len(texts)),
            "pieces": float(pieces),
            "tokens_per_text": tokens / len(texts),
        }

    def _train(self, texts: list[str]) -> bytes:
        settings, model = self._settings, io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(texts),
                model_writer=model,
                vocab_size=settings.vocab_size,
                max_sentencepiece_length=LONGEST_PIECE,
                model_type=settings.model_type,
                character_coverage=settings.character_coverage,
                byte_fallback=settings.byte_fallback,
                hard_vocab_limit=False,  # a small corpus has fewer pieces than ids
                # The library's own normalisation would map characters that `decode` cannot bring back.
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                unk_surface="\N{REPLACEMENT CHARACTER}",
                # Longer texts would be left out silently; below 10 the trainer refuses to start.
                max_sentence_length=max(10, 1 + max(len(text.encode()) for text in texts)),
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                num_threads=1,  # threads sum in another order from run to run
                minloglevel=_ERRORS_ONLY,
            )
        except RuntimeError as error:
            characters = len(set("".join(texts)))
            raise ValueError(
                f"text.sentencepiece cannot be fitted with vocab_size {self._settings.vocab_size} "
                f"on texts of {characters} different characters (each needs an id): {error}"
            ) from error
        return model.getvalue()

    def save(self, directory: Path) -> None:
        """Write the model, a protobuf message. Raises `ValueError` before the fit."""
        self._fitted()
        directory.mkdir(parents=True, exist_ok=True)
        aside = directory / f"{MODEL_FILE}.tmp"
        aside.write_bytes(self._model)
        os.replace(aside, directory / MODEL_FILE)

    def load(self, directory: Path) -> None:
        """Read what `save` wrote. Raises `ValueError` when it is missing or does not fit."""
        try:
            model = (directory / MODEL_FILE).read_bytes()
            self._processor = self._open(model)
        except (OSError, ValueError) as error:
            raise ValueError(f"{directory / MODEL_FILE}: {error}") from error
        self._model = model

    def _open(self, model: bytes) -> Any:
        try:
            processor = sentencepiece.SentencePieceProcessor(model_proto=model)
            pieces = processor.get_piece_size() if model else 0
        except RuntimeError as error:
            raise ValueError(f"this is no SentencePiece model: {error}") from error
        if not 0 < pieces <= self._settings.vocab_size:
            raise ValueError(
                f"a SentencePiece model must have 1..{self._settings.vocab_size} pieces "
                f"(vocab_size), but has {pieces}"
            )
        return processor

    def encode(self, value: str) -> IntArray:
        """The pieces of a text.

        Raises:
            ValueError: not fitted, no text, empty, too long, or with a character that has no piece.
        """
        processor, text = self._fitted(), _text(value)
        if not text:
            raise ValueError("a text must have at least 1 character, but is empty")
        if len(text) > LONGEST_PIECE * self._settings.max_tokens:
            least = -(-len(text) // LONGEST_PIECE)  # told before the text is cut, which takes long
            raise ValueError(self._too_long(text, f"at least {least}"))
        ids = processor.encode(text, num_threads=1)
        if _UNKNOWN in ids or processor.decode(ids, num_threads=1) != text:
            raise ValueError(_unknown(processor, text))
        if len(ids) > self._settings.max_tokens:
            raise ValueError(self._too_long(text, str(len(ids))))
        return np.array(ids, np.int64)

    def _too_long(self, text: str, tokens: str) -> str:
        return (
            f"a text must have at most {self._settings.max_tokens} tokens (max_tokens), "
            f"but has {tokens}: {text[:40]!r}"
        )

    def decode(self, ids: IntArray) -> str:
        """The text; ids that no piece uses become U+FFFD.

        Raises:
            ValueError: not fitted, or ids are not integers (T,) in 0..vocab_size-1.
        """
        processor, ids_T = self._fitted(), checked_ids(ids, self._settings.vocab_size)
        used_T = np.where(ids_T < processor.get_piece_size(), ids_T, _UNKNOWN)
        return str(processor.decode([int(i) for i in used_T], num_threads=1))

    def features(self, value: str) -> FloatArray:
        """float32 (1, 16, 32), see `api.trigrams`."""
        return trigram_features(_text(value))

    def _fitted(self) -> Any:
        if self._processor is None:
            raise ValueError("the tokenizer must be fitted or loaded before it is used")
        return self._processor


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a text must be str, but is {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        text = f"character {error.start} is {value[error.start]!r}"
        raise ValueError(f"a text must be valid Unicode, but {text}") from error
    return value


def _unknown(processor: Any, text: str) -> str:
    """Which characters of the text cannot be brought back."""
    lost = [c for c in dict.fromkeys(text) if not _survives(processor, c)]
    named = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in lost[:5]) or "a combination of characters"
    return (
        f"the text {text[:40]!r} holds what the tokenizer never met: {named}; fit it on texts that "
        "hold it, or set byte_fallback: true with a vocab_size above 257"
    )


def _survives(processor: Any, character: str) -> bool:
    ids = processor.encode(character, num_threads=1)
    return _UNKNOWN not in ids and bool(processor.decode(ids, num_threads=1) == character)
