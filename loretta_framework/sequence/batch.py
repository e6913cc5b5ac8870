"""Rows become a batch: one document a row (padded) or several (packed). Needs torch.

B rows, T tokens a row, E edges, N segments of a continuous modality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from loretta_framework.api.errors import PluginError
from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.api.protocols import FloatArray, IntArray
from loretta_framework.sequence.packing import best_fit_decreasing, bucketed, evened, widest
from loretta_framework.sequence.predicted import Predicted, moved
from loretta_framework.sequence.rows import COLUMNS, TokenRow, require_fit
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
        predicted: which positions have a weight, and the groups of their targets.
        tokens: input tokens, padding not counted.
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
    predicted: Predicted
    tokens: int
    features: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        """Positions that are computed, padding counted: B x T."""
        return self.ids_BT.numel()

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        layout = replace(
            self.layout,
            documents_BT=moved(self.layout.documents_BT, device),
            positions_BT=moved(self.layout.positions_BT, device),
            cu_lengths=moved(self.layout.cu_lengths, device),
        )
        tensors: dict[str, Any] = {
            item.name: moved(getattr(self, item.name), device)
            for item in fields(self)
            if item.name.endswith("_BT")
        }
        features = {name: moved(values, device) for name, values in self.features.items()}
        predicted = self.predicted.to(device)
        return replace(self, layout=layout, predicted=predicted, features=features, **tensors)

    def edge_losses(self, nll_BT: Tensor, task: str) -> dict[str, tuple[Tensor, Tensor]]:
        """Edge name -> (sum of weight x nll, sum of weights) over the rows of `task`."""
        index_N = self.edges_BT.flatten() + 1  # slot 0 takes what has no edge
        zeros_E = nll_BT.new_zeros(len(self.edges) + 1, dtype=torch.float32)
        weights_N = self.weights_BT.flatten()
        sums = zeros_E.index_add(0, index_N, weights_N * nll_BT.flatten()).unbind()
        counts = zeros_E.index_add(0, index_N, weights_N).unbind()
        return {
            edge: (sums[i + 1], counts[i + 1])
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
            at most `capacity` tokens by best fit, of the length that leaves few positions empty,
            unless a line for each row takes no more positions: then attention is spared the mask.
            Documents are never cut.
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
        _require_fit(vocabulary, rows)
    longest = max(len(row) for row in rows)
    capacity = capacity or 2 * longest
    alone = [[i] for i in range(len(rows))]
    if form == "padded":
        return _fill(rows, alone, bucketed(longest, capacity // 2, buckets))
    lengths = [len(row) for row in rows]
    # Few lengths are asked for so that shapes repeat; lines of any length would undo that.
    lines = (evened if buckets is None else best_fit_decreasing)(lengths, capacity)
    tokens = bucketed(widest(lengths, lines), capacity, buckets)
    shorter = bucketed(longest, capacity, buckets)
    if len(rows) * shorter <= len(lines) * tokens:
        return _fill(rows, alone, shorter)
    return _fill(rows, lines, tokens)


_NAMES = ("ids", "places", "targets", "weights", "groups")
_COLUMNS = tuple(f"{name}_T" for name in _NAMES)
_EMPTY = {"ids_T": PAD_ID}


def _joined(rows: Sequence[TokenRow], column: str) -> NDArray[Any]:
    """A column of all rows, one behind the other."""
    joined: NDArray[Any] = np.concatenate([getattr(row, column) for row in rows])
    return joined


def _require_fit(vocabulary: Vocabulary, rows: Sequence[TokenRow]) -> None:
    """`require_fit` of every row. All at once, and one by one to name the row that does not."""
    if not vocabulary.inputs:  # the vectors that one row lacks, another may have too many of
        together: dict[str, Any] = {name: _joined(rows, name) for name in COLUMNS}
        try:
            require_fit(vocabulary, TokenRow(sample="", edges=(), **together))
        except PluginError:
            pass
        else:
            return
    for row in rows:
        require_fit(vocabulary, row)


def _fill(rows: Sequence[TokenRow], lines: list[list[int]], tokens: int) -> Batch:
    """R rows with N tokens in all, in reading order."""
    members = np.array([len(line) for line in lines])
    rows = [rows[index] for line in lines for index in line]
    lengths_R = np.array([len(row) for row in rows])
    stops_R = lengths_R.cumsum()
    firsts_R = stops_R - lengths_R
    # A line's first token is `line * tokens`, and the tokens of all rows above it come before.
    above_B = firsts_R[members.cumsum() - members]
    moved_R = np.repeat(np.arange(len(lines)) * tokens - above_B, members)
    positions_N = np.arange(stops_R[-1]) - np.repeat(firsts_R, lengths_R)
    places_N = np.arange(stops_R[-1]) + np.repeat(moved_R, lengths_R)

    def spread(column_N: NDArray[Any], empty: int = 0) -> NDArray[Any]:
        flat = np.full(len(lines) * tokens, empty, column_N.dtype)
        flat[places_N] = column_N
        return flat.reshape(len(lines), tokens)

    columns = {name: spread(_joined(rows, name), _EMPTY.get(name, 0)) for name in _COLUMNS}
    edges_N, edges = _edges(rows, lengths_R)
    layout = SequenceLayout(
        documents_BT=torch.from_numpy(spread(np.repeat(np.arange(len(rows)), lengths_R), PADDING)),
        positions_BT=torch.from_numpy(spread(positions_N)),
        cu_lengths=torch.from_numpy(np.concatenate([[0], stops_R]).astype(np.int32)),
        max_length=int(lengths_R.max()),
        packed=len(rows) > len(lines),
    )
    tensors = {f"{name}_BT": torch.from_numpy(columns[f"{name}_T"]) for name in _NAMES}
    return Batch(
        layout=layout,
        **tensors,
        edges_BT=torch.from_numpy(spread(edges_N, -1)),
        edges=edges,
        predicted=Predicted.of(columns["groups_T"], columns["weights_T"]),
        tokens=int(stops_R[-1]),
        features=_stacked(rows),
    )


def _edges(
    rows: Sequence[TokenRow], lengths_R: IntArray
) -> tuple[IntArray, tuple[tuple[str, str], ...]]:
    """(N,) index of each token's edge among those of the batch, -1 where it has none; and those."""
    table: dict[tuple[str, str], int] = {}
    numbers: list[int] = []
    firsts_R = np.empty(len(rows), np.int64)
    for place, row in enumerate(rows):
        numbers.append(-1)  # a row's own numbers stand behind what its -1 picks
        firsts_R[place] = len(numbers)
        numbers += [table.setdefault((row.objective, edge), len(table)) for edge in row.edges]
    picked_N = _joined(rows, "edges_T") + np.repeat(firsts_R, lengths_R)
    return np.array(numbers)[picked_N], tuple(table)


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
