"""Rows made ahead: an objective that takes several steps of samples fills it, each step draws.

The pool is part of the run's state: it was generated with weights that no longer exist, so a
restart in the middle of it cannot make it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loretta_framework.api.protocols import FloatArray
from loretta_framework.sequence.rows import COLUMNS, TokenRow


@dataclass(frozen=True, slots=True)
class Pooled:
    """A row and the steps that were finished when it was made: which weights made it."""

    row: TokenRow
    made: int


class RowPool:
    """Rows of one task in the order in which steps will use them."""

    def __init__(self) -> None:
        self._rows: list[Pooled] = []

    def __len__(self) -> int:
        return len(self._rows)

    def fill(self, rows: Sequence[TokenRow], made: int) -> None:
        """Add rows made after `made` finished steps behind those that are left."""
        self._rows.extend(Pooled(row, made) for row in rows)

    def draw(self, count: int) -> list[Pooled]:
        """Take the next rows; fewer when the pool runs out."""
        taken, self._rows = self._rows[:count], self._rows[count:]
        return taken

    def tensors(self) -> dict[str, Tensor]:
        """The rows as one tensor a column, and the row lengths; {} when empty."""
        if not self._rows:
            return {}
        rows = [pooled.row for pooled in self._rows]
        columns = {
            name: torch.from_numpy(np.concatenate([getattr(row, name) for row in rows]))
            for name in COLUMNS
        }
        features = {
            f"features/{name}": torch.from_numpy(np.stack(arrays))
            for name, arrays in self._features().items()
        }
        return {
            **columns,
            **features,
            "lengths": torch.tensor([len(row) for row in rows]),
            "generated": torch.tensor([row.generated for row in rows]),
            "made": torch.tensor([pooled.made for pooled in self._rows]),
        }

    def names(self) -> list[tuple[str, str, list[str], list[str]]]:
        """(sample, objective, edges, modalities of the features) of each row, beside `tensors`."""
        return [
            (row.sample, row.objective, list(row.edges), [name for name, _ in row.features])
            for row in (pooled.row for pooled in self._rows)
        ]

    def _features(self) -> dict[str, list[FloatArray]]:
        found: dict[str, list[FloatArray]] = {}
        for pooled in self._rows:
            for name, array in pooled.row.features:
                found.setdefault(name, []).append(array)
        return found

    def restore(
        self, tensors: dict[str, Tensor], names: Sequence[Sequence[Any]], made: int = 0
    ) -> None:
        """Take back what `tensors` and `names` gave; names of before there were features too.

        Args:
            tensors: the columns.
            names: of each row.
            made: when the rows were made where the checkpoint does not tell: older ones do not.
        """
        self._rows = []
        if not tensors:
            return
        stops = np.cumsum(tensors["lengths"].numpy())[:-1]
        columns = [np.split(tensors[name].numpy(), stops) for name in COLUMNS]
        kept = {
            key.removeprefix("features/"): iter(values.numpy())
            for key, values in tensors.items()
            if key.startswith("features/")
        }
        lengths = tensors["lengths"]
        generated = tensors.get("generated", torch.zeros_like(lengths)).tolist()
        steps = tensors.get("made", torch.full_like(lengths, made)).tolist()
        for (sample, objective, edges, *given), count, step, *arrays in zip(
            names, generated, steps, *columns, strict=True
        ):
            fields: dict[str, Any] = dict(zip(COLUMNS, arrays, strict=True))
            features = tuple((name, next(kept[name])) for name in chain(*given))
            row = TokenRow(
                sample=sample,
                objective=objective,
                edges=tuple(edges),
                features=features,
                generated=count,
                **fields,
            )
            self._rows.append(Pooled(row, step))
