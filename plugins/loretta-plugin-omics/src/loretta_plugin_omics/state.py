"""The fitted state on disk: the names as JSON, the bins as one npy. Axes: F features, B bins.

X: all that is stated of a feature but its cuts.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from loretta_framework.api import FloatArray, write_bytes_atomically, write_json_atomically
from loretta_plugin_omics.quantiles import Quantiles

NAMES_FILE = "features.json"
BINS_FILE = "bins.npy"


def save_state(directory: Path, names: tuple[str, ...], quantiles: Quantiles) -> None:
    """Write names and bins. The npy is float32 (F, 4B + 1): cuts, median, lower, upper, spread."""
    directory.mkdir(parents=True, exist_ok=True)
    about = {"bins": quantiles.bins_3FB.shape[2], "features": names}
    parts = [quantiles.cuts_FC, *quantiles.bins_3FB, quantiles.spread_2F.T]
    table = io.BytesIO()
    np.save(table, np.concatenate(parts, axis=1), allow_pickle=False)
    write_json_atomically(directory / NAMES_FILE, about)
    write_bytes_atomically(directory / BINS_FILE, table.getvalue())


def load_state(directory: Path, bins: int) -> tuple[tuple[str, ...], Quantiles]:
    """What `save_state` wrote.

    Raises:
        ValueError: a file is missing or damaged, or has another number of bins.
    """
    try:
        about = json.loads((directory / NAMES_FILE).read_text("utf-8"))
        names, found = about["features"], about["bins"]
        with (directory / BINS_FILE).open("rb") as file:
            table = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise ValueError(f"{directory}: the bins cannot be read: {error}") from error
    if found != bins:
        text = f"but the settings ask for {bins}; fit it again"
        raise ValueError(f"{directory}: it was fitted with {found} bins, {text}")
    _check_names(directory, names)
    shape = (len(names), 4 * bins + 1)
    if not isinstance(table, np.ndarray) or table.dtype != np.float32 or table.shape != shape:
        raise ValueError(f"{directory}: the bins must be one float32 array {shape}")
    cuts_FC, *bins_3, spread_F2 = np.split(table, [k * bins - 1 for k in range(1, 5)], axis=1)
    found_3FB = np.stack(bins_3)
    _check_bins(directory, cuts_FC, found_3FB, spread_F2)
    return tuple(names), Quantiles(cuts_FC, found_3FB, np.ascontiguousarray(spread_F2.T))


def _check_names(directory: Path, names: Any) -> None:
    texts = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
    if not texts or len(set(names)) < len(names):
        raise ValueError(f"{directory}: the features must be a list of texts, each once")


def _check_bins(
    directory: Path, cuts_FC: FloatArray, bins_3FB: FloatArray, spread_F2: FloatArray
) -> None:
    if not (cuts_FC[:, 1:] >= cuts_FC[:, :-1]).all() or np.isnan(cuts_FC).any():
        raise ValueError(f"{directory}: the cuts between bins must ascend")
    stated_FX = np.concatenate([*bins_3FB, spread_F2], axis=1)
    known_F = ~np.isnan(stated_FX).all(axis=1)  # a feature may never have been measured
    if not np.isfinite(stated_FX[known_F]).all():
        raise ValueError(f"{directory}: the bins of a feature must be finite, or all be NaN")
    median_FB, lower_FB, upper_FB = bins_3FB[:, known_F]
    if not ((lower_FB <= median_FB) & (median_FB <= upper_FB)).all():
        raise ValueError(f"{directory}: the median of a bin must lie between its ends")
    if not (median_FB[:, 1:] >= median_FB[:, :-1]).all():
        raise ValueError(f"{directory}: the medians of bins must ascend")
    if not (spread_F2[known_F, 1] >= 0).all():
        raise ValueError(f"{directory}: standard deviations must not be negative")
