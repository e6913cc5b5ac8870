"""Clips from arrays, to files and pictures and back, changed and judged."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st
from loretta_plugin_video.clips import Clips
from loretta_plugin_video.settings import Augment, ClipSettings, FramesSettings, VqSettings
from loretta_plugin_video.trials import mean_error, moving_squares
from PIL import Image
from pydantic import ValidationError

SMALL: dict[str, Any] = {"frames": 4, "height": 16, "width": 16}


def clip(settings: ClipSettings) -> np.ndarray[Any, Any]:
    return moving_squares(settings, np.random.default_rng(0), 4)[3]


def test_arrays_of_many_kinds_become_the_same_clip() -> None:
    settings = ClipSettings(**SMALL)
    clips, value = Clips(settings), clip(settings)
    for same in (value, list(value), value.astype(np.float32) / 255):
        np.testing.assert_array_equal(clips.parse(same), value)
    grey = Clips(ClipSettings(**SMALL, channels=1)).parse(value[..., 0])
    np.testing.assert_array_equal(grey, value[..., :1])
    np.testing.assert_array_equal(clips.parse(value.repeat(2, axis=1).repeat(2, axis=2)), value)


def test_a_files_bytes_are_parsed_too() -> None:
    settings = ClipSettings(**SMALL)
    clips, value = Clips(settings), clip(settings)
    assert mean_error(clips.parse(clips.write(value)[0]), value) < 1.5


def test_arrays_follow_the_policies_too() -> None:
    value = clip(ClipSettings(**{**SMALL, "frames": 6}))
    with pytest.raises(ValueError, match="must have 4 frames, but has 6"):
        Clips(ClipSettings(**SMALL)).parse(value)
    kept = Clips(ClipSettings(**SMALL, too_long="crop", crop="middle")).parse(value)
    np.testing.assert_array_equal(kept, value[1:5])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((4, 16, 16, 3), np.int64), "must be uint8 or float, but are int64"),
        (np.full((4, 16, 16, 3), 2.0), r"must lie in 0\.\.1, but span 2\.\.2"),
        (np.full((4, 16, 16, 3), np.nan), r"must lie in 0\.\.1, but span nan\.\.nan"),
        (np.zeros((4, 16, 16, 2), np.uint8), r"C of 1 or 3, but is \(4, 16, 16, 2\)"),
        ([np.zeros((2, 2)), np.zeros((3, 3))], "must be arrays of one size"),
    ],
)
def test_what_is_no_clip_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Clips(ClipSettings(**SMALL)).parse(value)


def test_other_shapes_are_not_written() -> None:
    with pytest.raises(ValueError, match=r"must be uint8 \(4, 16, 16, 3\), but is float64"):
        Clips(ClipSettings(**SMALL)).write(np.zeros((4, 16, 16, 3)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"channels": 1},
        {"height": 15, "width": 21},
        {"height": 1, "width": 2},
        {"fps": 12.5},
        {"every": 3},
        {"frames": 1},
        {"height": 160, "width": 200},
    ],
)
def test_what_is_written_comes_back(changes: dict[str, Any]) -> None:
    settings = ClipSettings(**{**SMALL, **changes})
    clips, value = Clips(settings), clip(settings)
    data, extension = clips.write(value)
    assert extension == "mp4"
    restored = clips.read(data, extension)
    assert restored.shape == value.shape
    assert mean_error(value, restored) < 2
    assert clips.write(value)[0] == data


def test_the_contact_sheet_shows_the_frames_in_order() -> None:
    settings = ClipSettings(frames=10, height=64, width=64)
    value = np.zeros(settings.shape, np.uint8)
    value += (np.arange(10, dtype=np.uint8) * 20 + 50)[:, None, None, None]
    sheet, film = Clips(settings).show(value)
    picture = np.asarray(Image.open(io.BytesIO(sheet.data)))
    assert picture.shape == (64 * 2 + 2, 64 * 8 + 2 * 7, 3)
    cells = [picture[32 + 66 * (number // 8), 32 + 66 * (number % 8), 0] for number in range(10)]
    assert cells == [50 + 20 * number for number in range(10)]
    with Image.open(io.BytesIO(film.data)) as animated:
        assert animated.n_frames == 10
        assert animated.info["duration"] == 100


def test_features_are_the_first_middle_and_last_frame() -> None:
    settings = ClipSettings(frames=5, height=4, width=6)
    value = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.full((4, 6, 3), 50, np.uint8)
    features = Clips(settings).features(value)
    assert (features.shape, features.dtype) == ((9, 4, 6), np.float32)
    np.testing.assert_allclose(features[:, 0, 0] * 255, np.repeat([0, 100, 200], 3), rtol=1e-6)


def test_mirroring_alone_changes_nothing_else() -> None:
    settings = ClipSettings(**SMALL, augment=Augment(flip=1.0))
    value = clip(settings)
    mirrored = Clips(settings).augment(value, np.random.default_rng(0))
    np.testing.assert_array_equal(mirrored, value[:, :, ::-1])


@hypothesis_settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), crop=st.floats(0, 0.5), flip=st.floats(0, 1))
def test_all_frames_change_alike(seed: int, crop: float, flip: float) -> None:
    settings = ClipSettings(frames=3, height=12, width=10, augment=Augment(crop=crop, flip=flip))
    frame = np.random.default_rng(seed).integers(0, 256, (1, 12, 10, 3)).astype(np.uint8)
    changed = Clips(settings).augment(frame.repeat(3, axis=0), np.random.default_rng(seed))
    assert changed.shape == (3, 12, 10, 3)
    np.testing.assert_array_equal(changed[0], changed[2])


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (ClipSettings, {"fps": 5.0, "every": 2}, "every must be 1 beside fps, but is 2"),
        (VqSettings, {"downsample": [3, 8, 8]}, r"must be powers of two, but is \[3, 8, 8\]"),
        (VqSettings, {"frames": 6}, "frames must be a multiple of 4, but is 6"),
        (VqSettings, {"width": 60}, "width must be a multiple of 8, but is 60"),
        (VqSettings, {"levels": [1]}, r"must be one to eight of 2..256, but are \[1\]"),
        (VqSettings, {"levels": [256] * 3}, "at most 1048576 codes, but make 16777216"),
        (VqSettings, {"max_hidden": 16}, r"must be at least hidden \(32\), but is 16"),
        (
            FramesSettings,
            {
                "image": {"kind": "image.pixels", "settings": {"augment": {"noise": 0.1}}},
                "tokens_per_frame": 4,
                "vocab_size": 4,
            },
            r"augment must be null, but is \{'noise': 0.1\}: each frame would change otherwise",
        ),
    ],
)
def test_settings_that_contradict_themselves(kind: Any, settings: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        kind(**settings)
