"""Pictures and augmentation: what is drawn, and what a drawn change may do."""

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from loretta_plugin_signals.levels import Levels, LevelsSettings

AUGMENTS = [{"time_warp": 0.3}, {"scale": 0.3}, {"noise": 0.3}, {"dropout": 0.9}]


def levels(**settings: Any) -> Levels:
    return Levels(LevelsSettings(**settings))


def pixels(data: bytes) -> Any:
    """(H, W, 3) of a PNG without row filters, every checksum looked at."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    parts, place = {}, 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunk = data[place + 4 : place + 8 + length]
        assert struct.unpack(">I", data[place + 8 + length : place + 12 + length])[0] == zlib.crc32(
            chunk
        )
        parts[chunk[:4]], place = chunk[4:], place + 12 + length
    width, height = struct.unpack(">II", parts[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(parts[b"IDAT"]), dtype=np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def test_each_channel_has_a_lane() -> None:
    wave = np.sin(np.arange(50) / 4)
    (png, table) = levels(channels=["a", "b", "c"], longest=90).show(
        np.stack([wave, wave * 0, -wave], axis=1)
    )
    assert (png.extension, table.extension) == ("png", "csv")
    drawn = pixels(png.data)
    assert drawn.shape == (8 + 3 * 120 + 24, 640, 3)
    top, middle, bottom = (drawn[8 + 120 * n : 127 + 120 * n, 125:600] for n in range(3))
    ink = [(lane < 200).any(axis=2) for lane in (top, middle, bottom)]
    rows = [int(np.flatnonzero(lane.any(axis=1)).size) for lane in ink]
    assert rows[0] > 90
    assert rows[1] < 6
    assert rows[2] > 90
    assert all(lane.any(axis=0).all() for lane in ink)  # no hole in a line
    np.testing.assert_allclose(ink[0].argmax(axis=0), ink[2][::-1].argmax(axis=0), atol=12)


@pytest.mark.parametrize(("steps", "channels"), [(1, 1), (2, 40), (9000, 2)])
def test_any_size_is_drawn(steps: int, channels: int) -> None:
    value = np.random.default_rng(0).normal(0, 1, (steps, channels))
    (png, _) = levels(channels=channels, longest=10_000).show(value)
    assert (pixels(png.data) < 128).any()


def test_x_and_y_are_drawn_as_a_path() -> None:
    right_angle = [[[0, 0], [0, 10]], [[10, 10], [10, 0]]]
    path, lines, table = (
        artifact.data
        for artifact in levels(channels=["x", "y", "up"], pen="up", longest=9).show(
            levels(channels=["x", "y", "up"], pen="up", longest=9).parse(right_angle)
        )
    )
    drawn = pixels(path)
    assert drawn.shape == (256, 256, 3)
    ink = (drawn < 235).any(axis=2)
    assert ink[30:220, 20].all()
    assert ink[30:220, 235].all()
    assert not ink[:, 40:210].any()  # nothing where the pen was lifted
    assert (drawn[235, 20] == (214, 96, 20)).all()  # it begins at the lower left: y points up
    assert pixels(lines).shape[1] == 640
    assert table.startswith(b"x,y,up\n0,0,0\n")


def test_y_may_point_down() -> None:
    down = levels(channels=["x", "y"], longest=9, y_axis="down")
    drawn = pixels(down.show(np.array([[0.0, 0], [1, 1]]))[0].data)
    assert (drawn[20, 20] == (214, 96, 20)).all()


@pytest.mark.parametrize("augment", AUGMENTS)
def test_augmentation_is_drawn_from_the_generator_alone(augment: dict[str, float]) -> None:
    modality = levels(channels=3, longest=40, augment=augment)
    value = np.random.default_rng(1).normal(0, 1, (40, 3)).cumsum(axis=0).astype(np.float32)
    kept = value.copy()
    once, again, other = (modality.augment(value, np.random.default_rng(s)) for s in (5, 5, 6))
    assert np.array_equal(value, kept)
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)
    assert once.shape == value.shape
    assert once.dtype == np.float32
    assert not np.array_equal(once, value)


def test_augmentation_keeps_the_pen_and_one_channel() -> None:
    augment = {"time_warp": 0.3, "scale": 0.2, "noise": 0.1, "dropout": 0.99}
    modality = levels(channels=["x", "y", "up"], pen="up", longest=40, augment=augment)
    strokes = [[[float(i), float(n)] for i in range(12)] for n in range(3)]
    value = modality.parse(strokes)
    for seed in range(20):
        changed = modality.augment(value, np.random.default_rng(seed))
        assert np.isin(changed[:, 2], (0, 1)).all()
        assert changed[:, 2].sum() == 2
        assert (changed[:, :2].std(axis=0) > 0).any()


def test_without_augmentation_nothing_changes() -> None:
    value = np.arange(8, dtype=np.float32)[:, None]
    assert np.array_equal(
        levels(channels=1, longest=9).augment(value, np.random.default_rng(0)), value
    )
