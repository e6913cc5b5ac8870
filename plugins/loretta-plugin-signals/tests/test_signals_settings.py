"""What settings refuse, in words, and what bounds they promise."""

from typing import Any

import pytest
from loretta_plugin_signals.levels import LevelsSettings
from loretta_plugin_signals.patch_codes import PatchCodesSettings
from loretta_plugin_signals.patches import PatchesSettings
from pydantic import ValidationError

XY: dict[str, Any] = {"channels": ["x", "y"], "steps": 8}
FIXED: dict[str, Any] = {"scaling": "fixed"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 1}, "must be one of steps, rate .* but is not given"),
        ({"channels": 1, "steps": 8, "longest": 9}, "but is steps and longest"),
        ({"channels": 1, "rate": 10.0}, "rate and seconds must be given together"),
        ({"channels": 1, "steps": 8, "source_rate": 9.0}, "source_rate must be given with rate"),
        ({"channels": 1, "longest": 8, "time": "t"}, "must have a grid of steps or rate"),
        ({"channels": 1, "rate": 10.0, "seconds": 0.01}, "must give 1..1048576 steps, but 0"),
        ({"channels": ["x", "x"], "steps": 8}, "channel names must differ"),
        (XY | {"time": "x"}, "must be none of the channels, but is 'x'"),
        (XY | {"pen": "z"}, "must be one of several channels .* but is 'z'"),
        ({"channels": ["x"], "steps": 8, "pen": "x"}, "must be one of several channels"),
        (XY | {"ranges": [[0.0, 1.0]]}, "ranges must be given with scaling fixed and only then"),
        (XY | FIXED, "but scaling is fixed and ranges are \\[\\]"),
        (XY | FIXED | {"ranges": [[0.0, 1.0]] * 3}, "one for each of 2 channels, but are 3"),
        (XY | FIXED | {"ranges": [[1.0, 1.0]]}, "a range must be .* but is \\(1, 1\\)"),
        (XY | {"levels": [4, 4, 4]}, "one for each of 2 channels, but are 3"),
        (XY | {"channels": 0}, "greater than or equal to 1"),
    ],
)
def test_levels_settings_refuse(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LevelsSettings(**settings)


def test_patches_must_fit_the_length() -> None:
    with pytest.raises(ValidationError, match=r"must be a multiple of patch \(3\), but is 8"):
        PatchCodesSettings(**XY, patch=3)
    with pytest.raises(ValidationError, match=r"must be a multiple of patch \(3\), but are 8"):
        PatchesSettings(**XY, patch=3)
    with pytest.raises(ValidationError, match="must have one length, but may vary"):
        PatchesSettings(channels=1, longest=8)
    with pytest.raises(ValidationError, match="ranges must be given with normalise fixed"):
        PatchesSettings(**XY, normalise="fixed")


def test_bounds_of_levels() -> None:
    fixed = LevelsSettings(**XY, levels=[4, 6]).bounds()
    assert (fixed.vocab_size, fixed.min_tokens, fixed.max_tokens) == (10, 16, 16)
    assert fixed.slots[:3] == (range(4), range(4, 10), range(4))
    rate = {"channels": 3, "rate": 50.0, "seconds": 2.0}
    varied = LevelsSettings(**rate, levels=4).bounds()
    assert (varied.vocab_size, varied.min_tokens, varied.max_tokens) == (12, 3, 300)
    assert varied.slots == ()
    assert LevelsSettings(**rate, fixed=True).bounds().fixed_length


def test_bounds_of_patches() -> None:
    codes = PatchCodesSettings(channels=2, longest=32, patch=8, codes=64).bounds()
    assert (codes.vocab_size, codes.min_tokens, codes.max_tokens) == (64, 1, 4)
    vectors = PatchesSettings(channels=2, steps=32, patch=8).bounds()
    assert (vectors.vocab_size, vectors.min_tokens, vectors.max_tokens) == (0, 4, 4)
