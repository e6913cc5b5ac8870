"""Rows made ahead: an objective that takes several steps of samples fills it, each step draws.

The pool is part of the run's state: it was generated with weights that no longer exist, so a
restart in the middle of it cannot make it again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

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
        return {**columns, "lengths": torch.tensor([len(row) for row in self._rows])}

    def names(self) -> list[tuple[str, str, list[str]]]:
        """(sample, objective, edges) of each row, beside `tensors`."""
        return [(row.sample, row.objective, list(row.edges)) for row in self._rows]

    def restore(self, tensors: dict[str, Tensor], names: list[tuple[str, str, list[str]]]) -> None:
        """Take back what `tensors` and `names` gave."""
        self._rows = []
        if not tensors:
            return
        stops = np.cumsum(tensors["lengths"].numpy())[:-1]
        columns = [np.split(tensors[name].numpy(), stops) for name in _COLUMNS]
        for (sample, objective, edges), *arrays in zip(names, *columns, strict=True):
            fields: dict[str, Any] = dict(zip(_COLUMNS, arrays, strict=True))
            row = TokenRow(sample=sample, objective=objective, edges=tuple(edges), **fields)
            self._rows.append(row)
