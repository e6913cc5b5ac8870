"""`video.frames` with an image tokenizer of another plugin, here a stand-in."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loretta_plugin_video.frames import build
from loretta_plugin_video.settings import FramesSettings
from PIL import Image

from loretta_framework.api import Bounds, InputError

KIND = "stand-in.quarters"


class Quarters:
    """Four tokens a picture: the brightness of its quarters in 16 steps. Fitted to nothing."""

    def __init__(self, most: int) -> None:
        self.seen, self.most = 0, most

    def parse(self, value: Any) -> np.ndarray[Any, Any]:
        grey = np.asarray(Image.fromarray(value).convert("L").resize((2, 2), Image.Resampling.BOX))
        return grey.copy()

    def encode(self, value: Any) -> np.ndarray[Any, Any]:
        return (value.reshape(-1) // 16).astype(np.int64)

    def decode(self, ids: Any) -> np.ndarray[Any, Any]:
        return (ids.reshape(2, 2) * 16 + 8).astype(np.uint8)

    def write(self, value: Any) -> tuple[bytes, str]:
        file = io.BytesIO()
        Image.fromarray(value).save(file, "PNG")
        return file.getvalue(), "png"


class Fitted(Quarters):
    """The same, with what a fit brings."""

    def fit(self, values: Any, seed: int) -> dict[str, float]:
        self.seen = sum(1 for _ in values)
        assert self.seen == sum(1 for _ in values)
        return {"seen": float(self.seen), "seed": float(seed)}

    def save(self, directory: Path) -> None:
        directory.mkdir()
        (directory / "seen.txt").write_text(str(self.seen))

    def load(self, directory: Path) -> None:
        self.seen = int((directory / "seen.txt").read_text())


class Context:
    """What a factory is given."""

    def __init__(self, image: type[Quarters], bounds: Bounds) -> None:
        self._image, self._bounds = image, bounds

    def build(self, kind: str, settings: Mapping[str, Any]) -> Any:
        assert kind == KIND
        return self._image(**settings)

    def bounds(self, kind: str, settings: Mapping[str, Any]) -> Bounds:
        assert (kind, settings) == (KIND, {"most": 9})
        return self._bounds

    def note(self, key: str, choice: str, reason: str) -> None:
        raise AssertionError(key)


FOUR = Bounds(16, min_tokens=4, max_tokens=4)


def settings(**changes: Any) -> FramesSettings:
    given = {
        "frames": 3,
        "height": 8,
        "width": 8,
        "image": {"kind": KIND, "settings": {"most": 9}},
        "tokens_per_frame": 4,
        "vocab_size": 16,
    }
    return FramesSettings(**{**given, **changes})


def clip(channels: int = 3) -> np.ndarray[Any, Any]:
    quarters = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1) * 20 + 8
    return quarters.repeat(4, axis=1).repeat(4, axis=2).repeat(channels, axis=3)


@pytest.mark.parametrize("channels", [1, 3])
def test_tokens_are_those_of_the_frames_in_order(channels: int) -> None:
    video = build(settings(channels=channels), Context(Quarters, FOUR))
    ids = video.encode(clip(channels))
    np.testing.assert_array_equal(ids, (np.arange(12) * 20 + 8) // 16)
    restored = video.decode(ids)
    assert (restored.shape, restored.dtype) == ((3, 8, 8, channels), np.uint8)
    corners = restored[:, ::7, ::7, 0].reshape(-1)
    np.testing.assert_array_equal(corners, ids * 16 + 8)


def test_the_promise_is_made_without_the_image_tokenizer() -> None:
    assert settings().bounds() == Bounds(16, min_tokens=12, max_tokens=12)


def test_the_fit_gets_every_frame_and_its_state_lies_in_a_subfolder(tmp_path: Path) -> None:
    video = build(settings(), Context(Fitted, FOUR))
    assert video.fit([clip(), clip()], 7) == {"seen": 6.0, "seed": 7.0}
    video.save(tmp_path / "video")
    assert (tmp_path / "video" / "image" / "seen.txt").read_text() == "6"
    other = build(settings(), Context(Fitted, FOUR))
    other.load(tmp_path / "video")
    longer = build(settings(frames=5), Context(Fitted, FOUR))  # the images are the same
    longer.load(tmp_path / "video")


def test_an_image_tokenizer_without_a_fit_needs_none(tmp_path: Path) -> None:
    video = build(settings(), Context(Quarters, FOUR))
    assert video.fit([clip()], 0) == {}
    video.save(tmp_path)
    build(settings(), Context(Quarters, FOUR)).load(tmp_path)
    with pytest.raises(ValueError, match="must be at least one clip"):
        video.fit([], 0)


def test_a_state_of_other_images_is_refused(tmp_path: Path) -> None:
    build(settings(), Context(Quarters, FOUR)).save(tmp_path)
    (tmp_path / "frames.json").write_text('{"image": {"kind": "image.pixels", "settings": {}}}')
    with pytest.raises(ValueError, match=r"fitted for .*image\.pixels.* but the settings ask for"):
        build(settings(), Context(Quarters, FOUR)).load(tmp_path)
    (tmp_path / "frames.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        build(settings(), Context(Quarters, FOUR)).load(tmp_path)


@pytest.mark.parametrize("wrong", [{"tokens_per_frame": 16}, {"vocab_size": 64}])
def test_wrong_numbers_are_answered_with_the_right_ones(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"must be 4 and 16, as '.*quarters' has") as e:
        build(settings(**wrong), Context(Quarters, FOUR))
    assert e.value.fix == "tokens_per_frame: 4, vocab_size: 16"


def test_images_of_varying_length_or_without_tokens_are_refused() -> None:
    for bounds in (Bounds(16, 1, 4), Bounds(0, 4, 4)):
        with pytest.raises(InputError, match="must give a fixed number of tokens, but gives"):
            build(settings(), Context(Quarters, bounds))


def test_another_number_of_ids_is_refused() -> None:
    with pytest.raises(ValueError, match="there must be 12 ids, but are 11"):
        build(settings(), Context(Quarters, FOUR)).decode(np.zeros(11, np.int64))
