"""The rows a fit looks at. Axes: N rows, F features."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from loretta_framework.api import FloatArray

MAX_CELLS = 50_000_000
"""Numbers that a fit holds (200 MB): of larger tables it draws rows."""


def drawn_rows(
    rows: Iterable[FloatArray],
    features: int,
    random: np.random.Generator,
    max_cells: int = MAX_CELLS,
) -> FloatArray:
    """float32 (N, F): all rows, or as many as `max_cells` allows, each drawn equally likely.

    Raises:
        ValueError: there is none.
    """
    limit = max(1, max_cells // features)
    kept: list[FloatArray] = []
    for seen, row_F in enumerate(rows):
        if len(kept) < limit:
            kept.append(row_F)
        elif (place := int(random.integers(seen + 1))) < limit:
            kept[place] = row_F
    if not kept:
        raise ValueError("there must be at least one training row to fit the bins on")
    return np.stack(kept)
