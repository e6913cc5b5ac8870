"""Files to values to tokens or features, through the modality objects. What cannot be decoded is
named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from loretta_framework.api.errors import LorettaError
from loretta_framework.api.protocols import FloatArray, IntArray, Modality
from loretta_framework.api.random import generator
from loretta_framework.api.settings import DEFAULT_MAX_BYTES
from loretta_framework.data.sample import RawSample, SetReader
from loretta_framework.recipe.plan import Plan
from loretta_framework.sequence.rows import Content, TokenizedSample
from loretta_framework.sequence.vocabulary import Block, Vocabulary
from loretta_framework.shards.reading import DamagedSampleError

T = TypeVar("T")

BUGS = (ImportError, NameError, AttributeError, TypeError, NotImplementedError, MemoryError)
"""Never a fault of the data: a plugin that raises one is broken, and skipping rows would hide it."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A sample that cannot be used: where it lies and why."""

    shard: str
    key: str
    modality: str
    cause: str

    def __str__(self) -> str:
        part = f", {self.modality}" if self.modality else ""
        return f"{self.shard}, key '{self.key}'{part}: {self.cause}"


class DecodeFailure(Exception):
    """A sample cannot be decoded. Internal: callers count it, or raise a `ShardError` of it."""

    def __init__(self, row: BadRow) -> None:
        super().__init__(row)
        self.row = row


@dataclass(frozen=True, slots=True)
class Decoder:
    """Decodes rows of data sets.

    Attributes:
        modalities: recipe name -> tokenizer, fitted.
        vocabulary: bounds that tokens must keep; None checks nothing (before fitting).
        augment_seed: the run's seed in training; None, as in evaluation, never augments.
        max_bytes: recipe name -> largest file, see `byte_limits`; others have the default limit.
    """

    modalities: Mapping[str, Modality]
    vocabulary: Vocabulary | None = None
    augment_seed: int | None = None
    max_bytes: Mapping[str, int] = field(default_factory=dict)

    def raw(self, reader: SetReader, row: int, only: str | None = None) -> RawSample:
        """The files of a row.

        Raises:
            DecodeFailure: its bytes, order or label are damaged, or a file is larger than allowed.
            ShardError: the shard cannot be read at all.
        """
        self._require_sizes(reader, row, only)
        try:
            return reader.read(row, only)
        except DamagedSampleError as error:
            shard, key = reader.place(row)
            raise DecodeFailure(BadRow(shard, key, error.member, error.what)) from error

    def _require_sizes(self, reader: SetReader, row: int, only: str | None) -> None:
        """Told from the index: what is too large is never read."""
        for name, size in reader.sizes(row):
            limit = self.max_bytes.get(name, DEFAULT_MAX_BYTES)
            if size > limit and only in (None, name):
                shard, key = reader.place(row)
                text = f"the file may have at most {limit} bytes (max_bytes), but has {size}"
                raise DecodeFailure(BadRow(shard, key, name, text))

    def values(self, reader: SetReader, row: int, raw: RawSample) -> list[tuple[str, Any]]:
        """(modality, value) of each part, before augmentation.

        Raises:
            DecodeFailure: a file cannot be decoded.
        """
        return [
            (name, _attempt(reader, row, name, self.modalities[name].read, data, extension))
            for name, data, extension in raw.parts
        ]

    def sample(self, reader: SetReader, row: int, position: int = 0) -> TokenizedSample:
        """The row's tokens, augmented when this decoder trains.

        Raises:
            DecodeFailure: a part cannot be decoded or encoded.
        """
        raw = self.raw(reader, row)
        return self.encode(reader, row, raw, self.values(reader, row, raw), position)

    def encode(
        self,
        reader: SetReader,
        row: int,
        raw: RawSample,
        values: list[tuple[str, Any]],
        position: int = 0,
    ) -> TokenizedSample:
        """Values to tokens, those of continuous modalities to features.

        Raises:
            DecodeFailure: a value cannot be encoded, or gives no tokens, too many, or wrong ids, or
                features that are not finite.
        """
        parts, seen = [], dict[str, int]()
        for name, value in values:
            instance = seen[name] = seen.get(name, -1) + 1
            varied = _attempt(
                reader, row, name, self._augment, name, value, raw.key, position, instance
            )
            parts.append((name, _attempt(reader, row, name, self._content, name, varied)))
        return TokenizedSample(raw.key, tuple(parts), position, raw.ordered, raw.label)

    def _augment(self, name: str, value: Any, key: str, position: int, instance: int) -> Any:
        # Looked up by name: isinstance against a protocol costs more than a small tokenizer.
        change = getattr(self.modalities[name], "augment", None)
        if self.augment_seed is None or change is None:
            return value
        number = (instance,) if instance else ()
        draw = generator(self.augment_seed, f"augment/{name}", key, position, *number)
        return change(value, draw)

    def _content(self, name: str, value: Any) -> Content:
        if self.vocabulary is not None and self.vocabulary[name].continuous:
            return features_of(name, self.modalities[name], value)
        return self._ids(name, value)

    def _ids(self, name: str, value: Any) -> IntArray:
        encode = getattr(self.modalities[name], "encode", None)
        if encode is None:
            raise TypeError(f"modality '{name}' has no `encode`")
        ids_T = np.asarray(encode(value))
        if not len(ids_T):
            raise ValueError("it decodes to nothing: there are no tokens")
        if ids_T.ndim != 1 or ids_T.dtype.kind not in "iu":
            raise TypeError(
                f"`encode` of '{name}' must give integers of shape (T,), "
                f"but gives {ids_T.dtype} of shape {ids_T.shape}"
            )
        ids_T = ids_T.astype(np.int64)  # always a copy: a tokenizer may give a view of its own
        if self.vocabulary is not None:
            _require_bounds(self.vocabulary[name], ids_T)
        return ids_T


def features_of(name: str, modality: Modality, value: Any) -> FloatArray:
    """The features of a value of the continuous modality `name`, as an array of its own.

    Raises:
        ValueError: they are not finite.
        TypeError: the modality is no `Encoder`.
    """
    preprocess = getattr(modality, "preprocess", None)
    if preprocess is None:
        raise TypeError(f"modality '{name}' has no `preprocess`")
    features = np.asarray(preprocess(value))
    if features.dtype != np.float32 or not features.size:
        raise TypeError(
            f"`preprocess` of '{name}' must give float32 features, "
            f"but gives {features.dtype} of shape {features.shape}"
        )
    if not np.isfinite(features).all():
        raise ValueError("its features must be finite, but are not")
    return features.copy()


def byte_limits(plan: Plan) -> dict[str, int]:
    """Recipe name -> the largest file of the modality, as its settings say."""
    return {
        item.name: int(item.component.settings.get("max_bytes", DEFAULT_MAX_BYTES))
        for item in plan.modalities
    }


def _attempt(
    reader: SetReader, row: int, modality: str, work: Callable[..., T], *arguments: Any
) -> T:
    try:
        return work(*arguments)
    except (*BUGS, LorettaError):
        raise
    except Exception as error:
        shard, key = reader.place(row)
        cause = f"{type(error).__name__}: {error}"
        raise DecodeFailure(BadRow(shard, key, modality, cause)) from error


def _require_bounds(block: Block, ids_T: IntArray) -> None:
    if not block.min_tokens <= len(ids_T) <= block.max_tokens:
        raise ValueError(
            f"it must have {block.min_tokens} to {block.max_tokens} tokens, but has {len(ids_T)}"
        )
    if ids_T.min() < 0 or ids_T.max() >= block.vocab_size:
        raise ValueError(
            f"its tokens must lie in 0..{block.vocab_size - 1}, "
            f"but lie in {ids_T.min()}..{ids_T.max()}"
        )
