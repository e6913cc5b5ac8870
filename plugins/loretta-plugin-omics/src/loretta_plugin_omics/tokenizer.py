"""`omics.bins`: one token for each named feature. Axes: N rows, F features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from loretta_framework.api import Artifact, FloatArray, IntArray, checked_ids, generator
from loretta_plugin_omics.cells import Cells, profile_of, read_cells
from loretta_plugin_omics.naming import check_names, names_of
from loretta_plugin_omics.profile import Profile
from loretta_plugin_omics.quantiles import Quantiles, explained, fit_quantiles
from loretta_plugin_omics.rows import drawn_rows
from loretta_plugin_omics.settings import BinsSettings
from loretta_plugin_omics.sheets import csv_sheet, html_sheet
from loretta_plugin_omics.state import load_state, save_state


class Bins:
    """The tokenizer; its values are `Profile`s. Id `bins` marks a missing feature."""

    def __init__(self, settings: BinsSettings) -> None:
        self._settings = settings
        self._names = settings.names
        self._fitted: Quantiles | None = None

    def read(self, data: bytes, extension: str) -> Profile:
        """A header and one row as CSV or TSV, a JSON object, or what `write` makes.

        Raises:
            ValueError: it cannot be read, or names features that it must not.
        """
        return self._profile(read_cells(data, extension))

    def write(self, value: Profile) -> tuple[bytes, str]:
        """A CSV with the columns feature, value, lower and upper."""
        return csv_sheet(value), "csv"

    def show(self, value: Profile) -> Sequence[Artifact]:
        """A table with a bar for each feature's bin, and the CSV."""
        ids = None if self._fitted is None else self.encode(value)
        page = html_sheet(value, ids, self._settings.bins)
        return [Artifact(page, "html"), Artifact(csv_sheet(value), "csv")]

    def parse(self, value: Any) -> Profile:
        """A `Profile`, {feature: number} (a dict, a pandas Series), or numbers in feature order.

        Raises:
            ValueError: it is none of these, or names features that it must not.
        """
        if isinstance(value, Profile):
            return self._known(value)
        if isinstance(value, bytes):
            text = value.lstrip()
            kind = "json" if text[:1] == b"{" else "tsv" if b"\t" in text[:4096] else "csv"
            return self.read(value, kind)
        if callable(getattr(value, "items", None)):
            return self._profile(Cells({str(name): cell for name, cell in value.items()}))
        return self._from_numbers(value)

    def encode(self, value: Profile) -> IntArray:
        """int64 (F,). Raises `ValueError` before the fit, or when it is no value."""
        return self._quantiles().encode(self.parse(value).values)

    def decode(self, ids: IntArray) -> Profile:
        """Median and interval of each bin. Raises `ValueError` for ids out of range or number."""
        quantiles, settings = self._quantiles(), self._settings
        ids_F = checked_ids(ids, settings.bins + 1)
        if len(ids_F) != settings.count:
            raise ValueError(f"there must be {settings.count} ids, but there are {len(ids_F)}")
        return Profile(self._require_names(), *quantiles.decode(ids_F))

    def features(self, value: Profile) -> FloatArray:
        """float32 (1, 1, F): z-scores by the training rows, 0 where missing."""
        return self._quantiles().standardised(self.parse(value).values)[None, None]

    def fit(self, values: Iterable[Profile], seed: int) -> Mapping[str, float]:
        """Learn names and bins.

        Returns:
            `features`, `rows` looked at, `explained` (part of the variance that survives binning),
            `bins_used` and `missing` (parts of all bins and cells) and `never_measured` (features).

        Raises:
            ValueError: there is no row, the number of features is not that of the settings, or a
                feature that the settings list is in no row.
        """
        settings = self._settings
        names = settings.names or names_of(values, settings.count)
        rows = (profile.taken(names).values for profile in values)
        values_NF = drawn_rows(rows, settings.count, generator(seed, "omics.bins/rows"))
        quantiles, used_F = fit_quantiles(values_NF, settings.bins)
        if settings.names and not used_F.all():
            raise ValueError(
                f"every feature listed must be measured in some training row, but"
                f" {names[int(used_F.argmin())]!r} is in none; mend the name or take it out"
            )
        self._names, self._fitted = names, quantiles
        restored_NF = np.stack([quantiles.decode(quantiles.encode(row))[0] for row in values_NF])
        return {
            "features": float(settings.count),
            "rows": float(len(values_NF)),
            "explained": explained(values_NF, restored_NF),
            "bins_used": float(used_F.mean() / settings.bins),
            "missing": float(np.isnan(values_NF).mean()),
            "never_measured": float((used_F == 0).sum()),
        }

    def save(self, directory: Path) -> None:
        """Write names and bins. Raises `ValueError` before the fit."""
        save_state(directory, self._require_names(), self._quantiles())

    def load(self, directory: Path) -> None:
        """Read what `save` wrote. Raises `ValueError` when it is damaged or of other settings."""
        names, quantiles = load_state(directory, self._settings.bins)
        wanted = self._settings.names or names
        if names != wanted or len(names) != self._settings.count:
            text = f"{len(names)} features ({', '.join(names[:3])}, ...)"
            raise ValueError(
                f"{directory}: it was fitted for {text}, but the settings ask for"
                f" {self._settings.count} ({', '.join(wanted[:3])}, ...); fit it again"
            )
        self._names, self._fitted = names, quantiles

    def _quantiles(self) -> Quantiles:
        if self._fitted is None:
            raise ValueError("the tokenizer must be fitted or loaded before it is used")
        return self._fitted

    def _require_names(self) -> tuple[str, ...]:
        if self._names is None:
            raise ValueError(
                "the names of the features must be known, but they are learned by the fit;"
                " fit or load first, give {feature: number}, or list them in the settings"
            )
        return self._names

    def _profile(self, cells: Cells) -> Profile:
        """Cells as a profile; in the known order, or in their own before the names are learned."""
        names, settings = tuple(cells.values), self._settings
        self._check_names(names)
        profile = profile_of(cells, self._names or names)
        lacking = 1 - np.count_nonzero(~np.isnan(profile.values)) / settings.count
        if lacking > settings.max_missing:
            text = f"at most {settings.max_missing:.1%} of the features, but lacks {lacking:.1%}"
            raise ValueError(f"it must lack {text}")
        return profile

    def _known(self, profile: Profile) -> Profile:
        if self._names is None or profile.names == self._names:
            return profile
        self._check_names(profile.names)
        return profile.taken(self._names)

    def _check_names(self, names: Sequence[str]) -> None:
        settings = self._settings
        check_names(names, self._names, settings.count, settings.extra == "ignore")

    def _from_numbers(self, value: Any) -> Profile:
        names = self._require_names()
        try:
            values_F = np.asarray(value, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"it must be numbers, or {{feature: number}}: {error}") from error
        if values_F.shape != (len(names),):
            text = f"but the shape is {values_F.shape}"
            raise ValueError(f"there must be {len(names)} numbers, {text}")
        if np.isinf(values_F).any():
            raise ValueError("the numbers must be finite and fit float32, or NaN where missing")
        return Profile.measured(names, values_F)


class HidingBins(Bins):
    """`Bins` whose settings ask for augmentation."""

    def augment(self, value: Profile, random: np.random.Generator) -> Profile:
        """A copy in which some features are missing, each with the probability that was set."""
        hidden_F = random.random(len(value.names)) < self._settings.augment.missing
        columns = (value.values, value.lower, value.upper)
        missing = np.float32(np.nan)
        return Profile(value.names, *(np.where(hidden_F, missing, part_F) for part_F in columns))


def build(settings: BinsSettings, context: object = None) -> Bins:
    """The factory. Only a tokenizer that augments has the method, so that others are cached."""
    return HidingBins(settings) if settings.augment.missing > 0 else Bins(settings)
