"""What `audio.mel_codes` leaves for people after a fit: figures, and spectrograms before and after."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from loretta_plugin_audio.mel_codes import MelCodes
from loretta_plugin_audio.picture import pairs_png
from loretta_plugin_audio.settings import MelCodesSettings

from loretta_framework.api import generator

RATE = 8000


def clip(number: int) -> np.ndarray:
    time = np.arange(1600 + 200 * (number % 5)) / RATE
    wave = 0.2 * np.sin(2 * np.pi * (200 + 60 * number) * time)
    return (wave + generator(0, "test/noise", number).normal(0, 0.01, len(time))).astype(np.float32)


def pixels(data: bytes) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(io.BytesIO(data)).convert("L"))


def test_a_fit_leaves_spectrograms_of_eight_clips_above_what_their_codes_say(
    tmp_path: Path,
) -> None:
    built = MelCodes(MelCodesSettings(codebook_size=16))
    built.fit([clip(number) for number in range(30)], 0)
    built.save(tmp_path)
    picture = pixels((tmp_path / "reconstructions.png").read_bytes())
    # Cells are drawn 4 x 4: two spectrograms of 32 bands with 2 rows between them.
    assert picture.shape[0] == 4 * (32 + 2 + 32)
    above, below = picture[:128], picture[136:]
    assert np.corrcoef(above.ravel(), below.ravel())[0, 1] > 0.9
    assert not np.array_equal(above, below)
    gaps = (picture == 128).all(axis=0)
    assert (np.diff(gaps.astype(int)) == 1).sum() == 7


def test_the_pictured_clips_are_drawn_from_all(tmp_path: Path) -> None:
    few, many, again = (tmp_path / name for name in ("few", "many", "again"))
    for folder, count in ((few, 8), (many, 40), (again, 40)):
        built = MelCodes(MelCodesSettings(codebook_size=4))
        built.fit([clip(number) for number in range(count)], 0)
        built.save(folder)
    found = [(folder / "reconstructions.png").read_bytes() for folder in (few, many, again)]
    assert found[0] != found[1]
    assert found[1] == found[2]


def test_nothing_is_pictured_where_nothing_was_fitted(tmp_path: Path) -> None:
    built = MelCodes(MelCodesSettings(codebook_size=4))
    built.fit([clip(0)], 0)
    built.save(tmp_path / "fitted")
    loaded = MelCodes(MelCodesSettings(codebook_size=4))
    loaded.load(tmp_path / "fitted")
    loaded.save(tmp_path / "copy")
    names = sorted(path.name for path in (tmp_path / "copy").iterdir())
    assert names == ["codebook.json", "codebook.npy"]


def test_the_error_is_that_of_a_cell() -> None:
    built = MelCodes(MelCodesSettings(codebook_size=8))
    figures = built.fit([clip(number) for number in range(12)], 0)
    cells = 3 * 32
    expected = math.sqrt(figures["distortion"] / cells) * 10 / math.log(10)
    assert figures["error_db"] == pytest.approx(expected)
    finer = MelCodes(MelCodesSettings(codebook_size=64)).fit([clip(n) for n in range(12)], 0)
    assert finer["error_db"] < figures["error_db"]


def test_the_two_of_a_pair_share_their_shades() -> None:
    quiet, loud = np.zeros((4, 8), np.float32), np.zeros((4, 8), np.float32)
    loud[1, 0] = 10
    picture = pixels(pairs_png([(loud, quiet)]))
    scale = picture.shape[1] // 4
    small = picture[::scale, ::scale]
    assert small.shape == (18, 4)
    assert small[7, 1] == 255  # time to the right, band 0 at the bottom of the upper one
    assert (small[:8] > 0).sum() == 1
    assert (small[10:] == 0).all()
