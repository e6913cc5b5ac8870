"""Values that a person gives become segments of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from loretta_framework.api.errors import InputError, LorettaError, nearest
from loretta_framework.data.decode import features_of
from loretta_framework.sequence.rows import Content, Segment
from loretta_framework.sequence.vocabulary import Block

if TYPE_CHECKING:
    from loretta_framework.inference.loaded import LoadedModel

Given: TypeAlias = "Mapping[str, Any] | Sequence[tuple[str, Any]]"
"""Modality -> value, or (modality, value) in order, where a modality may occur more than once.

A value is what the modality's `parse` takes (array, text, (wave, rate), ...), or a `pathlib.Path`:
then the file is read.
"""

_BUGS = (ImportError, NameError, AttributeError, NotImplementedError, MemoryError, LorettaError)
"""Not a fault of the value given: what a broken plugin raises, or what already tells the user."""


def segments_of(loaded: LoadedModel, given: Given, weight: float = 1.0) -> list[Segment]:
    """Values as segments of tokens, in order.

    Raises:
        InputError: a modality is unknown or a value cannot be used.
    """
    pairs = list(given.items()) if isinstance(given, Mapping) else list(given)
    return [Segment(name, _content(loaded, name, value), weight) for name, value in pairs]


def block_of(loaded: LoadedModel, modality: str) -> Block:
    """The ids of a modality.

    Raises:
        InputError: the run has no such modality.
    """
    if modality not in loaded.modalities:
        raise InputError(
            f"unknown modality '{modality}'{nearest(modality, loaded.modalities)}",
            fix=f"the run has {', '.join(loaded.modalities)}",
        )
    return loaded.plan.vocabulary[modality]


def require_predicted(loaded: LoadedModel, modality: str) -> None:
    """Check that a modality can be generated and scored.

    Raises:
        InputError: it is unknown or continuous.
    """
    if block_of(loaded, modality).continuous:
        others = [name for name in loaded.modalities if name not in loaded.plan.vocabulary.inputs]
        raise InputError(
            f"'{modality}' is continuous: it can be given to the model, but neither generated "
            "nor scored",
            fix=f"name {' or '.join(others)} instead",
        )


def require(holds: bool, otherwise: str) -> None:
    """Raise `InputError` with the text unless the condition holds."""
    if not holds:
        raise InputError(otherwise)


@contextmanager
def told(where: str = "") -> Iterator[None]:
    """A `ValueError` inside is the user's: it becomes an `InputError` with its text."""
    try:
        yield
    except ValueError as error:
        raise InputError(str(error), where=where) from error


def _content(loaded: LoadedModel, modality: str, given: Any) -> Content:
    block, tokenizer = block_of(loaded, modality), loaded.tokenizers[modality]
    where = str(given) if isinstance(given, Path) else f"value of '{modality}'"
    try:
        read = isinstance(given, Path)
        value = _read(loaded, modality, given) if read else tokenizer.parse(given)
        if block.continuous:
            return features_of(modality, tokenizer, value)
        ids_T = np.asarray(tokenizer.encode(value), dtype=np.int64)
    except _BUGS:
        raise
    except Exception as error:  # decoders of plugins raise errors of their own
        raise InputError(
            f"it cannot be used as {modality}: {error or type(error).__name__}", where=where
        ) from error
    if not block.min_tokens <= len(ids_T) <= block.max_tokens:
        raise InputError(
            f"it must have {block.min_tokens} to {block.max_tokens} tokens as {modality}, "
            f"but has {len(ids_T)}",
            where=where,
            fix="shorten it" if len(ids_T) > block.max_tokens else "give more of it",
        )
    return ids_T


def _read(loaded: LoadedModel, modality: str, path: Path) -> Any:
    extension = path.suffix.lower().removeprefix(".")
    known = loaded.extensions.get(modality, ())
    if known and extension not in known:
        raise InputError(
            f"'{modality}' does not read files that end in '{path.suffix}'",
            where=str(path),
            fix=f"give one that ends in {' or '.join(f'.{name}' for name in known)}",
        )
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the file cannot be read: {error.strerror}", where=str(path), fix="check the path"
        ) from error
    return loaded.tokenizers[modality].read(data, extension)
