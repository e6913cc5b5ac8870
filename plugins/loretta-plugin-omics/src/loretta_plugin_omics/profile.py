"""The value of `omics.bins`. Axes: F features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loretta_framework.api import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """One row of a table: what was measured of one patient, or what a model takes to be there.

    Attributes:
        names: F feature names.
        values: float32 (F,) in the table's own unit; NaN where a feature is missing. A decoded
            value is the median of its bin.
        lower: float32 (F,), lower end of the bin; a measured value is its own interval.
        upper: float32 (F,), upper end of the bin.
    """

    names: tuple[str, ...]
    values: FloatArray
    lower: FloatArray
    upper: FloatArray

    @classmethod
    def measured(cls, names: Sequence[str], values: Any) -> Profile:
        """A profile of plain numbers (F,), without uncertainty."""
        values_F = np.asarray(values, dtype=np.float32)
        return cls(tuple(names), values_F, values_F, values_F)

    def taken(self, names: tuple[str, ...]) -> Profile:
        """The features of these names, in this order; missing where the profile has none."""
        if names == self.names:
            return self
        place = {name: index for index, name in enumerate(self.names)}
        index_F = np.array([place.get(name, len(place)) for name in names], dtype=np.int64)
        columns = (self.values, self.lower, self.upper)
        missing = np.float32(np.nan)
        return Profile(names, *(np.append(column_F, missing)[index_F] for column_F in columns))

    def as_dict(self) -> dict[str, float | None]:
        """{feature: value}, None where it is missing."""
        numbers = (None if np.isnan(value) else float(value) for value in self.values)
        return dict(zip(self.names, numbers, strict=True))
