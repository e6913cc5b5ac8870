"""The fitted state on disk: the names as JSON, the bins as one npy. Axes: F features, B bins."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np

from loretta_framework.api.atomic import write_bytes_atomically, write_json_atomically
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
        names, found = tuple(about["features"]), about["bins"]
        with (directory / BINS_FILE).open("rb") as file:
            table = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise ValueError(f"{directory}: the bins cannot be read: {error}") from error
    if found != bins:
        text = f"but the settings ask for {bins}; fit it again"
        raise ValueError(f"{directory}: it was fitted with {found} bins, {text}")
    shape = (len(names), 4 * bins + 1)
    if not isinstance(table, np.ndarray) or table.dtype != np.float32 or table.shape != shape:
        raise ValueError(f"{directory}: the bins must be one float32 array {shape}")
    cuts_FC, *bins_3, spread_F2 = np.split(table, [k * bins - 1 for k in range(1, 5)], axis=1)
    if not (cuts_FC[:, 1:] >= cuts_FC[:, :-1]).all() or np.isnan(cuts_FC).any():
        raise ValueError(f"{directory}: the cuts between bins must ascend")
    return names, Quantiles(cuts_FC, np.stack(bins_3), np.ascontiguousarray(spread_F2.T))
