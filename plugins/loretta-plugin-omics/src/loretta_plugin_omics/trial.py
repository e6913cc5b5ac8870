"""With what the conformance kit tries `omics.bins`. Axes: F features."""

from __future__ import annotations

import numpy as np

from loretta_framework.api import Trial
from loretta_plugin_omics.profile import Profile
from loretta_plugin_omics.settings import BinsSettings

_FEATURES = ("ESR1", "PGR", "ERBB2", "hsa-mir-21", "Akt_pS473", 'odd,"name"')


def _examples(settings: BinsSettings, random: np.random.Generator, count: int) -> list[Profile]:
    """The lowest, the highest and a constant-looking profile, then normal ones with gaps."""
    names = settings.names or _FEATURES
    shape = (count, len(names))
    values = random.standard_normal(shape).clip(-2, 2).astype(np.float32)
    values[:, 0] = np.round(values[:, 0])  # a feature of few distinct values
    values[:, 1] = 0.5  # and a constant one
    values[random.random(shape) < 0.1] = np.nan
    values[0], values[1:2] = -2, 2
    values[:2, 1] = 0.5
    return [Profile.measured(names, value_F) for value_F in values]


def _foreign(settings: BinsSettings, random: np.random.Generator, count: int) -> list[Profile]:
    """Profiles with one feature too many, or of another table."""
    names = settings.names or _FEATURES
    known = Profile.measured((*names, "ESR2"), random.standard_normal(len(names) + 1))
    other = Profile.measured(("ENSG1", "ENSG2"), random.standard_normal(2))
    return [known, other][:count]


def _outside(value: Profile, restored: Profile) -> float:
    """How far a value lies outside of its interval; infinite where one of the two is missing."""
    missing_F = np.isnan(value.values)
    if (missing_F != np.isnan(restored.values)).any():
        return float("inf")
    below_F, above_F = restored.lower - value.values, value.values - restored.upper
    return float(np.where(missing_F, 0, np.maximum(below_F, above_F)).max(initial=0))


TRIAL = Trial(
    settings={"features": _FEATURES, "bins": 5, "augment": {"missing": 0.2}},
    values=_examples,
    distance=_outside,
    max_distance=0.0,
    refused=_foreign,
)
"""Six features, one constant, one of few values, some missing; each within its interval."""
