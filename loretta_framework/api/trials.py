"""With what the conformance kit tries a component: small settings, and example values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Examples: TypeAlias = "Callable[[Any, np.random.Generator, int], Sequence[Any]]"
"""(settings, random, count) -> that many values, various, as `read` or `parse` would give them."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Named by a spec's `trial`; lives in the plugin, so that `plugins doctor` can use it too.

    Attributes:
        settings: what the settings class is given; small, so that a check takes milliseconds. Leave
            out what the defaults say.
        values: a modality's example values. None: the kit decodes random ids, which works for a
            tokenizer that needs no fit.
        distance: how far a restored value is from the original, in the component's own unit.
        max_distance: the most that decode(encode(value)) may lose by `distance`. None: nothing is
            promised, and only that decoding works is checked.
        refused: values that `encode` must refuse with a `ValueError`, those that are too long first
            of all: what a modality might cut short, only its author knows.
        write_shards: for a `RowSource`: writes a few rows into the folder given, and returns the
            patterns that its `open` takes.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    values: Examples | None = None
    distance: Callable[[Any, Any], float] | None = None
    max_distance: float | None = None
    refused: Examples | None = None
    write_shards: Callable[[Path], Sequence[str]] | None = None
