"""Rows become a batch: one document a row (padded) or several (packed). Needs torch.

B rows, T tokens a row, E edges, N segments of a continuous modality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from loretta_framework.api.errors import PluginError
from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.api.protocols import FloatArray
from loretta_framework.sequence.packing import best_fit_decreasing, bucketed
from loretta_framework.sequence.rows import TokenRow, require_fit
from loretta_framework.sequence.vocabulary import PAD_ID, Vocabulary

LayoutForm = Literal["padded", "packed"]


@dataclass(frozen=True, slots=True)
class Batch:
    """What the model reads. All (B, T) but the features; axes in `sequence.rows.TokenRow`.

    Attributes:
        layout: documents and positions.
        ids_BT: int64 inputs.
        places_BT: int64 rows of the position-in-segment table.
        targets_BT: int64 next ids.
        weights_BT: float32 loss weights; 0 at padding.
        groups_BT: int64 id groups of the targets.
        edges_BT: int64 index into `edges`; -1 where the weight is 0.
        edges: (task, edge) names.
        features: modality -> float32 (N, ...), in reading order: line by line. Each takes the
            places of `max_tokens` feature ids of the modality in `ids_BT`, in the same order.
    """

    layout: SequenceLayout
    ids_BT: Tensor
    places_BT: Tensor
    targets_BT: Tensor
    weights_BT: Tensor
    groups_BT: Tensor
    edges_BT: Tensor
    edges: tuple[tuple[str, str], ...]
    features: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """Input tokens, padding not counted."""
        return int(self.layout.cu_lengths[-1])

    @property
    def slots(self) -> int:
        """Positions that are computed, padding counted: B x T."""
        return self.ids_BT.numel()

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        layout = replace(
            self.layout,
            documents_BT=self.layout.documents_BT.to(device),
            positions_BT=self.layout.positions_BT.to(device),
            cu_lengths=self.layout.cu_lengths.to(device),
        )
        moved = {
            item.name: getattr(self, item.name).to(device)
            for item in fields(self)
            if item.name.endswith("_BT")
        }
        features = {name: values.to(device) for name, values in self.features.items()}
        return replace(self, layout=layout, features=features, **moved)

    def edge_losses(self, nll_BT: Tensor, task: str) -> dict[str, tuple[Tensor, Tensor]]:
        """Edge name -> (sum of weight x nll, sum of weights) over the rows of `task`."""
        index_N = self.edges_BT.flatten() + 1  # slot 0 takes what has no edge
        zeros_E = nll_BT.new_zeros(len(self.edges) + 1, dtype=torch.float32)
        weights_N = self.weights_BT.flatten()
        sums_E = zeros_E.index_add(0, index_N, weights_N * nll_BT.flatten())
        counts_E = zeros_E.index_add(0, index_N, weights_N)
        return {
            edge: (sums_E[i + 1], counts_E[i + 1])
            for i, (owner, edge) in enumerate(self.edges)
            if owner == task
        }


def collate(
    rows: Sequence[TokenRow],
    form: LayoutForm = "padded",
    capacity: int | None = None,
    buckets: int | None = None,
    vocabulary: Vocabulary | None = None,
) -> Batch:
    """Lay rows out as a batch.

    Args:
        rows: at least one.
        form: "padded" puts each row on its own line, padded on the right; "packed" fills lines of
            `capacity` tokens by best fit. Documents are never cut.
        capacity: tokens of a packed line; default: twice the longest row.
        buckets: number of line lengths up to `capacity` (of padded lines: up to half of it, what a
            row may have); None: as long as the longest line.
        vocabulary: what rows that a plugin's objective made must fit; None: they came straight from
            `build_row`.

    Raises:
        ValueError: there are no rows, or one is longer than the capacity.
        PluginError: features of one modality have several shapes, or a row does not fit the
            vocabulary.
    """
    if not rows:
        raise ValueError("a batch must have at least one row")
    if vocabulary is not None:
        for row in rows:
            require_fit(vocabulary, row)
    longest = max(len(row) for row in rows)
    capacity = capacity or 2 * longest
    if form == "packed":
        lines, top = best_fit_decreasing([len(row) for row in rows], capacity), capacity
    else:
        lines, top = [[i] for i in range(len(rows))], capacity // 2
    tokens = max(sum(len(rows[i]) for i in line) for line in lines)
    return _fill(rows, lines, bucketed(tokens, top, buckets))


_COLUMNS = ("ids", "places", "targets", "weights", "groups")


def _fill(rows: Sequence[TokenRow], lines: list[list[int]], tokens: int) -> Batch:
    shape = (len(lines), tokens)
    columns = {name: np.zeros(shape, np.int64) for name in _COLUMNS}
    columns["ids"].fill(PAD_ID)
    columns["weights"] = np.zeros(shape, np.float32)
    documents_BT, positions_BT = np.full(shape, PADDING, np.int64), np.zeros(shape, np.int64)
    edges_BT = np.full(shape, -1, np.int64)
    table: dict[tuple[str, str], int] = {}
    lengths: list[int] = []
    for line, members in enumerate(lines):
        start = 0
        for index in members:
            row = rows[index]
            here = (line, slice(start, start + len(row)))
            for name in _COLUMNS:
                columns[name][here] = getattr(row, f"{name}_T")
            documents_BT[here] = len(lengths)
            positions_BT[here] = np.arange(len(row))
            names = [table.setdefault((row.objective, edge), len(table)) for edge in row.edges]
            edges_BT[here] = np.array([*names, -1])[row.edges_T]  # -1 picks the last
            lengths.append(len(row))
            start += len(row)
    layout = SequenceLayout(
        documents_BT=torch.from_numpy(documents_BT),
        positions_BT=torch.from_numpy(positions_BT),
        cu_lengths=torch.tensor([0, *np.cumsum(lengths)], dtype=torch.int32),
        max_length=max(lengths),
        packed=any(len(members) > 1 for members in lines),
    )
    tensors = {f"{name}_BT": torch.from_numpy(column) for name, column in columns.items()}
    return Batch(
        layout=layout,
        **tensors,
        edges_BT=torch.from_numpy(edges_BT),
        edges=tuple(table),
        features=_stacked([rows[index] for members in lines for index in members]),
    )


def _stacked(rows: Sequence[TokenRow]) -> dict[str, Tensor]:
    """Features of all rows by modality, in the order of the rows."""
    found: dict[str, list[FloatArray]] = {}
    for row in rows:
        for modality, features in row.features:
            found.setdefault(modality, []).append(features)
    for modality, arrays in found.items():
        shapes = sorted({array.shape for array in arrays})
        if len(shapes) > 1:
            raise PluginError(
                f"`preprocess` must give features of one shape for all values, but gives {shapes}",
                where=f"modalities.{modality}",
                fix="report it to the authors of its plugin, or use another version of it",
            )
    return {modality: torch.from_numpy(np.stack(arrays)) for modality, arrays in found.items()}
