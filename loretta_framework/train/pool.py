"""Rows made ahead: an objective that takes several steps of samples fills it, each step draws.

The pool is part of the run's state: it was generated with weights that no longer exist, so a
restart in the middle of it cannot make it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loretta_framework.api.protocols import FloatArray
from loretta_framework.sequence.rows import TokenRow

_COLUMNS = ("ids_T", "places_T", "targets_T", "weights_T", "groups_T", "edges_T")


class RowPool:
    """Rows of one task in the order in which steps will use them."""

    def __init__(self) -> None:
        self._rows: list[TokenRow] = []

    def __len__(self) -> int:
        return len(self._rows)

    def fill(self, rows: list[TokenRow]) -> None:
        """Add rows behind those that are left."""
        self._rows.extend(rows)

    def draw(self, count: int) -> list[TokenRow]:
        """Take the next rows; fewer when the pool runs out."""
        taken, self._rows = self._rows[:count], self._rows[count:]
        return taken

    def tensors(self) -> dict[str, Tensor]:
        """The rows as one tensor a column, and the row lengths; {} when empty."""
        if not self._rows:
            return {}
        columns = {
            name: torch.from_numpy(np.concatenate([getattr(row, name) for row in self._rows]))
            for name in _COLUMNS
        }
        features = {
            f"features/{name}": torch.from_numpy(np.stack(arrays))
            for name, arrays in self._features().items()
        }
        return {**columns, **features, "lengths": torch.tensor([len(row) for row in self._rows])}

    def names(self) -> list[tuple[str, str, list[str], list[str]]]:
        """(sample, objective, edges, modalities of the features) of each row, beside `tensors`."""
        return [
            (row.sample, row.objective, list(row.edges), [name for name, _ in row.features])
            for row in self._rows
        ]

    def _features(self) -> dict[str, list[FloatArray]]:
        found: dict[str, list[FloatArray]] = {}
        for row in self._rows:
            for name, array in row.features:
                found.setdefault(name, []).append(array)
        return found

    def restore(self, tensors: dict[str, Tensor], names: Sequence[Sequence[Any]]) -> None:
        """Take back what `tensors` and `names` gave; names of before there were features too."""
        self._rows = []
        if not tensors:
            return
        stops = np.cumsum(tensors["lengths"].numpy())[:-1]
        columns = [np.split(tensors[name].numpy(), stops) for name in _COLUMNS]
        kept = {
            key.removeprefix("features/"): iter(values.numpy())
            for key, values in tensors.items()
            if key.startswith("features/")
        }
        for (sample, objective, edges, *given), *arrays in zip(names, *columns, strict=True):
            fields: dict[str, Any] = dict(zip(_COLUMNS, arrays, strict=True))
            features = tuple((name, next(kept[name])) for name in chain(*given))
            row = TokenRow(
                sample=sample,
                objective=objective,
                edges=tuple(edges),
                features=features,
                **fields,
            )
            self._rows.append(row)
