"""Prompts into a cache. What prompts share is computed once.

R rows, U distinct ones, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from loretta_framework.api.layout import PADDING, SequenceLayout
from loretta_framework.api.protocols import Cache
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.rows import COLUMNS, TokenRow

SHARED_LEAST = 16
"""Shorter common beginnings are not worth the second pass."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Prompts that the backbone has read.

    Attributes:
        hidden_RD: outputs at the last token of each.
        cache: with room for the target.
        lengths_R: int64 tokens of each: the position of the next one.
    """

    hidden_RD: Tensor
    cache: Cache
    lengths_R: Tensor


def encode(model: AnyToAny, rows: Sequence[TokenRow], room: int) -> Encoded:
    """Read prompts, with `room` tokens to come after each.

    Equal prompts are read once and their cache repeated. If the distinct ones begin alike, that
    beginning is read once too.
    """
    device = model.embedding.weight.device
    numbers: dict[object, int] = {}
    where = [numbers.setdefault(_identity(row), len(numbers)) for row in rows]
    first = dict(zip(reversed(where), reversed(rows), strict=True))
    distinct = [first[number] for number in range(len(numbers))]
    shared = _common(distinct)
    cache = None
    if shared:
        cache = _begin(model, distinct[0], shared, max(map(len, distinct)) + room)
        cache = cache.select(torch.zeros(len(distinct), dtype=torch.int64, device=device))
    batch = collate([_cut(row, shared, None) for row in distinct]).to(device)
    lengths_U = torch.tensor([len(row) for row in distinct], device=device)
    layout = batch.layout
    if shared:
        real_UT = layout.documents_BT != PADDING
        layout = replace(layout, positions_BT=(layout.positions_BT + shared) * real_UT)
    hidden_UD, cache = read(
        model, batch.ids_BT, batch.places_BT, layout, lengths_U - 1 - shared,
        room=room, features=batch.features, cache=cache,
    )  # fmt: skip
    if len(distinct) == len(rows):
        return Encoded(hidden_UD, cache, lengths_U)
    where_R = torch.tensor(where, device=device)
    return Encoded(hidden_UD[where_R], cache.select(where_R), lengths_U[where_R])


def read(
    model: AnyToAny,
    ids_UT: Tensor,
    places_UT: Tensor,
    layout: SequenceLayout,
    last_U: Tensor,
    *,
    room: int,
    features: Mapping[str, Tensor] = MappingProxyType({}),
    cache: Cache | None = None,
) -> tuple[Tensor, Cache]:
    """The outputs (U, D) at the tokens `last_U`, and the cache. Nothing waits for the device.

    Args:
        model: in evaluation mode.
        ids_UT: int64 inputs, padded on the right.
        places_UT: int64 rows of the position-in-segment table.
        layout: of these tokens.
        last_U: int64 index of the last token of each row.
        room: tokens that follow.
        features: as in `Batch.features`.
        cache: what to go on from; None: from nothing.
    """
    rows, tokens = ids_UT.shape
    if cache is None:
        cache = model.backbone.new_cache(rows, tokens + room)
    x_UTD = model.embed(ids_UT, places_UT, features)
    hidden_UTD = model.backbone.extend(x_UTD, layout, cache)
    return hidden_UTD[torch.arange(rows, device=last_U.device), last_U], cache


def _begin(model: AnyToAny, row: TokenRow, tokens: int, slots: int) -> Cache:
    batch = collate([_cut(row, 0, tokens)]).to(model.embedding.weight.device)
    last_U = torch.zeros(1, dtype=torch.int64, device=batch.ids_BT.device)
    _, cache = read(
        model, batch.ids_BT, batch.places_BT, batch.layout, last_U, room=slots - tokens
    )  # fmt: skip
    return cache


def _identity(row: TokenRow) -> object:
    features = tuple((name, values.shape, values.tobytes()) for name, values in row.features)
    return row.ids_T.tobytes(), row.places_T.tobytes(), features


def _cut(row: TokenRow, first: int, stop: int | None) -> TokenRow:
    if first == 0 and stop is None:
        return row
    return replace(row, **{name: getattr(row, name)[first:stop] for name in COLUMNS})


def _common(rows: Sequence[TokenRow]) -> int:
    """Tokens that all rows begin with, at most all but one of the shortest; 0 when too few."""
    if len(rows) == 1 or any(row.features for row in rows):
        return 0
    most = min(map(len, rows)) - 1
    same_T = np.ones(most, dtype=bool)
    for row in rows[1:]:
        for name in ("ids_T", "places_T"):
            same_T &= getattr(row, name)[:most] == getattr(rows[0], name)[:most]
    tokens = most if same_T.all() else int(np.argmin(same_T))
    return tokens if tokens >= SHARED_LEAST else 0
