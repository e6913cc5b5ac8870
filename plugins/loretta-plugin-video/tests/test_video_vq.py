"""`video.vq`: shapes, the quantizer against a library's, and that training learns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loretta_plugin_video.network import strides_of
from loretta_plugin_video.quantizer import FiniteScalarQuantizer
from loretta_plugin_video.settings import VqSettings
from loretta_plugin_video.trials import VQ, moving_squares
from loretta_plugin_video.vq import Vq
from PIL import Image
from safetensors.numpy import load_file, save_file

from loretta_framework.api import Bounds


def settings(**changes: Any) -> VqSettings:
    return VqSettings(**{**VQ.settings, "augment": None, **changes})


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small take longer on several threads than on one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray[Any, Any]]:
    return moving_squares(settings(), np.random.default_rng(0), 24)


@pytest.fixture(scope="module")
def fitted(clips: list[np.ndarray[Any, Any]]) -> Vq:
    vq = Vq(settings())
    vq.fit(clips, 0)
    return vq


def test_the_shape_of_mugen() -> None:
    """32 frames of 256 x 256 become 8 x 8 x 8 tokens of 2,048 codes."""
    mugen = VqSettings(
        frames=32,
        height=256,
        width=256,
        downsample=(4, 32, 32),
        levels=(8, 8, 8, 4),
        hidden=4,
        max_hidden=8,
        steps=0,
    )
    assert mugen.bounds() == Bounds(2048, min_tokens=512, max_tokens=512)
    clip = np.random.default_rng(0).integers(0, 256, mugen.shape).astype(np.uint8)
    vq = Vq(mugen)
    vq.fit([clip], 0)
    ids = vq.encode(clip)
    assert (ids.shape, ids.dtype) == ((512,), np.int64)
    assert 0 <= ids.min() <= ids.max() < 2048
    assert len(np.unique(ids)) > 1


def test_rows_and_columns_are_halved_first_and_time_last() -> None:
    assert strides_of((4, 32, 32)) == [(1, 2, 2)] * 3 + [(2, 2, 2)] * 2
    assert strides_of((8, 2, 4)) == [(2, 2, 2), (2, 1, 2), (2, 1, 1)]
    assert strides_of((1, 1, 1)) == [(1, 1, 1)]


@pytest.mark.parametrize("downsample", [(1, 1, 1), (1, 2, 1), (4, 8, 16), (2, 16, 4)])
def test_every_downsampling_has_its_grid(downsample: tuple[int, int, int]) -> None:
    shape = settings(downsample=downsample, steps=0)
    vq = Vq(shape)
    clip = np.zeros(shape.shape, np.uint8)
    vq.fit([clip], 0)
    ids = vq.encode(clip)
    assert len(ids) == shape.bounds().max_tokens == 4 * 16 * 16 // np.prod(downsample)
    assert vq.decode(ids).shape == shape.shape


@pytest.mark.parametrize("levels", [(8, 8, 8, 4), (5, 3, 7), (9,), (16, 16)])
def test_the_quantizer_agrees_with_the_library(levels: tuple[int, ...]) -> None:
    library = pytest.importorskip("vector_quantize_pytorch", reason="it is not installed")
    numbers = torch.randn(2, len(levels), 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 2
    mine, theirs = numbers.clone().requires_grad_(), numbers.clone().requires_grad_()
    codes, ids = FiniteScalarQuantizer(levels)(mine)
    wanted, wanted_ids = library.FSQ(list(levels), channel_first=True)(theirs)
    assert torch.equal(ids, wanted_ids.long())
    torch.testing.assert_close(codes, wanted)
    codes.square().sum().backward()
    wanted.square().sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad)


@pytest.mark.parametrize("levels", [(2,), (2, 2, 2), (8, 5, 3)])
def test_every_id_stands_for_a_code_of_its_own(levels: tuple[int, ...]) -> None:
    quantizer = FiniteScalarQuantizer(levels)
    ids = torch.arange(int(np.prod(levels)))[None]
    codes = quantizer.codes(ids)
    assert len(codes[0].T.unique(dim=0)) == ids.numel()
    # Just inside the steps: an even number of them lies off the middle.
    far = torch.full((1, len(levels), 1), 20.0)
    assert int(quantizer(far)[1]) == ids.numel() - 1
    assert int(quantizer(-far)[1]) == 0


def test_training_learns_what_clips_look_like() -> None:
    """Better than the mean colour of all clips, by far; and from clips that the fit never saw."""
    shape = settings(steps=120, batch=8)
    clips = moving_squares(shape, np.random.default_rng(1), 88)
    vq = Vq(shape)
    figures = vq.fit(clips[:64], 0)
    assert figures["psnr_db"] > 18
    assert figures["codes_used"] > 40
    assert 20 < figures["perplexity"] <= figures["codes_used"]
    assert figures["clips"] == 64
    seen = np.mean([clip.mean((0, 1, 2)) for clip in clips[:64]], axis=0)
    error = np.mean([np.square(vq.decode(vq.encode(c)) - c.astype(float)) for c in clips[64:]])
    flat = np.mean([np.square(seen - clip) for clip in clips[64:]])
    assert error < flat / 2


def test_the_seed_decides(clips: list[np.ndarray[Any, Any]], tmp_path: Path, fitted: Vq) -> None:
    again, other = Vq(settings()), Vq(settings())
    before = torch.get_rng_state()
    again.fit(clips, 0)
    other.fit(clips, 1)
    assert torch.equal(before, torch.get_rng_state())
    folders = {"first": fitted, "again": again, "other": other}
    for name, vq in folders.items():
        vq.save(tmp_path / name)
    files = [(tmp_path / name / "vq.safetensors").read_bytes() for name in folders]
    assert files[0] == files[1] != files[2]


def test_more_clips_than_memory_holds_are_all_seen(
    clips: list[np.ndarray[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loretta_plugin_video.training.HELD_BYTES", 5 * clips[0].nbytes)
    figures = Vq(settings(steps=8, batch=4)).fit(clips, 0)
    assert figures["clips"] == len(clips)


def test_the_picture_shows_originals_above_reconstructions(
    clips: list[np.ndarray[Any, Any]], fitted: Vq, tmp_path: Path
) -> None:
    fitted.save(tmp_path)
    picture = np.asarray(Image.open(tmp_path / "reconstructions.png"))
    assert picture.shape == (8 * 66 - 2, 4 * 66 - 2, 3)  # four clips of four frames, enlarged
    np.testing.assert_array_equal(picture[2 * 66 : 2 * 66 + 64 : 4, :64:4], clips[1][0])
    restored = fitted.decode(fitted.encode(clips[1]))
    np.testing.assert_allclose(picture[3 * 66 : 3 * 66 + 64 : 4, :64:4], restored[0], atol=1)
    figures = json.loads((tmp_path / "vq.json").read_text())["figures"]
    assert set(figures) == {"psnr_db", "codes_used", "perplexity", "judged", "clips", "loss"}


def test_saved_weights_of_other_settings_are_refused(fitted: Vq, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    with pytest.raises(ValueError, match=r"fitted for .*'hidden': 8.* but the settings ask"):
        Vq(settings(hidden=4)).load(tmp_path)
    Vq(settings(lr=0.5, max_seconds=3.0)).load(tmp_path)  # these change no meaning


def test_damaged_weights_are_refused(fitted: Vq, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    weights = load_file(tmp_path / "vq.safetensors")
    name = sorted(weights)[0]
    save_file({**weights, name: weights[name] * np.float32("nan")}, tmp_path / "vq.safetensors")
    with pytest.raises(ValueError, match="the weights must be finite"):
        Vq(settings()).load(tmp_path)
    save_file({key: weights[key] for key in weights if key != name}, tmp_path / "vq.safetensors")
    with pytest.raises(ValueError, match="must hold the weights of these settings"):
        Vq(settings()).load(tmp_path)


def test_a_loss_that_is_no_number_ends_the_fit() -> None:
    with pytest.raises(ValueError, match="the loss of step 0 is nan; lower lr"):
        Vq(settings()).fit([np.full((4, 16, 16, 3), np.nan)], 0)
