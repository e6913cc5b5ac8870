"""`image.vq`: what its fit gives, what it keeps, and what it refuses."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from loretta_plugin_image.sheet import pairs_sheet
from loretta_plugin_image.vq import training
from loretta_plugin_image.vq.codec import Vq
from loretta_plugin_image.vq.network import NUMBERS, Codec
from loretta_plugin_image.vq.settings import VqSettings
from PIL import Image
from pydantic import ValidationError
from safetensors.numpy import load, save

from loretta_framework.api import MissingDependencyError, generator

SMALL = {"height": 8, "width": 4, "codebook_size": 16, "hidden": 8, "blocks": 1, "batch": 16}


def small(**changes: object) -> VqSettings:
    return VqSettings(**{**SMALL, "steps": 10, **changes})


def pictures(count: int = 40, channels: int = 1) -> list[np.ndarray]:
    draw = generator(0, "test/vq", channels)
    return [draw.random((8, 4, channels), np.float32) for _ in range(count)]


def fitted(**changes: object) -> Vq:
    settings = small(**changes)
    built = Vq(settings)
    built.fit(pictures(channels=settings.channels), 0)
    return built


def state_of(built: Vq, folder: Path) -> bytes:
    built.save(folder)
    return (folder / "codec.safetensors").read_bytes()


def digits() -> tuple[list[np.ndarray], np.ndarray]:
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    order = generator(0, "test/digits").permutation(len(images))
    return list((images[order] / 16).astype(np.float32).reshape(-1, 8, 8, 1)), labels[order]


def test_digits_stay_what_they_are() -> None:
    """A judge of real digits keeps 0.95 of its accuracy; held-out figures are as they are told."""
    images, labels = digits()
    svm = pytest.importorskip("sklearn.svm")
    built = Vq(
        VqSettings(height=8, width=8, patch=2, codebook_size=64, hidden=16, batch=32, steps=250)
    )
    figures = built.fit(images[:1200], 0)
    assert (figures["images"], figures["held_out"]) == (1200, 120)
    assert figures["explained"] > 0.8
    assert 48 <= figures["codes_used"] <= 64
    assert 1 < figures["perplexity"] <= figures["codes_used"]
    kept = np.stack(images[1200:])
    back = np.stack([built.decode(built.encode(image)) for image in kept])
    error = np.square(back - kept).mean()
    assert 1 - error / kept.var(axis=0).mean() == pytest.approx(figures["explained"], abs=0.04)
    assert -10 * np.log10(error) == pytest.approx(figures["psnr_db"], abs=1)
    judge = svm.SVC(gamma=0.256).fit(np.stack(images[:1200]).reshape(-1, 64), labels[:1200])
    real = judge.score(kept.reshape(-1, 64), labels[1200:])
    assert real > 0.97
    assert judge.score(back.reshape(-1, 64), labels[1200:]) >= 0.95 * real


def test_the_fit_does_not_depend_on_threads_and_leaves_torch_as_it_was(
    tmp_path: Path,
) -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for threads, seed in ((1, 0), (2, 0), (2, 1)):
            torch.set_num_threads(threads)
            torch.manual_seed(threads)
            draws = torch.get_rng_state()
            built = Vq(small(augment={"shift": 0.5}))
            with torch.no_grad():
                built.fit(pictures(), seed)
            found.append(state_of(built, tmp_path))
            assert torch.get_num_threads() == threads
            assert torch.equal(torch.get_rng_state(), draws)
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_augmentation_changes_what_is_learned_from(tmp_path: Path) -> None:
    changed = fitted(augment={"shift": 1.0})
    assert state_of(changed, tmp_path) != state_of(fitted(), tmp_path)


def test_ids_are_those_of_the_quantiser_it_was_trained_with() -> None:
    package = pytest.importorskip("vector_quantize_pytorch")
    torch.manual_seed(0)
    codec = Codec(small(codebook_size=64)).eval()
    quantiser = package.VectorQuantize(dim=NUMBERS, codebook_size=64, accept_image_fmap=True)
    x_NCHW = torch.rand(50, 1, 8, 4)
    with torch.no_grad():
        vectors = codec.encoder(x_NCHW)
        near = vectors[:64, :, 0, 0].repeat(2, 1)[:64]
        quantiser.eval().codebook = near + 0.1 * vectors.std() * torch.randn_like(near)
        codec.codes_KL.copy_(quantiser.codebook)
        quantised, ids, _ = quantiser(vectors)
        assert torch.equal(codec.encode(x_NCHW), ids)
        assert len(ids.unique()) > 5
        assert torch.allclose(codec.decode(ids), codec.decoder(quantised), atol=1e-6)


def test_tokens_are_in_reading_order() -> None:
    """Of the last decoder layers' reach a far patch is outside."""
    built = Vq(small(height=64, width=48))
    built.fit([np.zeros((64, 48, 1), np.float32)] * 3, 0)
    first = built.decode(np.zeros(16 * 12, np.int64))
    ids = np.zeros(16 * 12, np.int64)
    ids[11] = 1  # the last of the first row
    changed = np.abs(built.decode(ids) - first)[..., 0]
    row, column = np.unravel_index(changed.argmax(), changed.shape)
    assert row < 12
    assert column >= 36


@pytest.mark.parametrize("channels", [1, 3])
def test_what_was_saved_can_be_looked_at(channels: int, tmp_path: Path) -> None:
    built = fitted(channels=channels)
    built.save(tmp_path)
    names = ["codec.json", "codec.safetensors", "reconstructions.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    sheet = Image.open(tmp_path / "reconstructions.png")
    assert sheet.mode == ("L" if channels == 1 else "RGB")
    assert sheet.size == (4 * (64 + 2) + 2, 2 * 128 + 6)  # 4 of 40 are held out
    loaded = Vq(small(channels=channels, steps=99, learning_rate=0.1, batch=2))
    loaded.load(tmp_path)
    loaded.save(tmp_path / "again")
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_a_sheet_shows_originals_above_reconstructions() -> None:
    black, white = np.zeros((2, 3, 1), np.float32), np.ones((2, 3, 1), np.float32)
    sheet = np.asarray(Image.open(io.BytesIO(pairs_sheet([(black, white), (white, black)]))))
    assert sheet.shape == (2 * 64 + 6, 2 * 96 + 6)
    assert [sheet[30, 30], sheet[100, 30], sheet[30, 150], sheet[100, 150]] == [0, 255, 255, 0]


def test_large_sets_are_drawn_from_and_need_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "MAX_BYTES", 8 * 4 * 10)
    counts = np.zeros(40)
    values = [np.full((8, 4, 1), number / 255, np.float32) for number in range(40)]
    for seed in range(400):
        kept = training.drawn(iter(values), small(), seed)
        assert len(kept) == 10
        assert kept[0].dtype == np.uint8
        counts[[image[0, 0, 0] for image in kept]] += 1
    assert counts.sum() == 4000
    assert np.abs(counts - 100).max() < 45  # five deviations
    few = training.drawn(iter(values[:7]), small(), 0)
    assert sorted(image[0, 0, 0] for image in few) == list(range(7))


def test_what_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    built = fitted()
    with pytest.raises(ValueError, match=r"the codec cannot be read: .*No such file"):
        built.load(tmp_path)
    built.save(tmp_path)
    with pytest.raises(ValueError, match=r"'codebook_size': 16.* the settings ask for .*: 32"):
        Vq(small(codebook_size=32)).load(tmp_path)
    file = tmp_path / "codec.safetensors"
    weights, good = load(file.read_bytes()), file.read_bytes()
    for damaged in (good[:-9], b"", b"no tensors"):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="the codec cannot be read"):
            built.load(tmp_path)
    wrong = {name: value for name, value in weights.items() if name != "codes_KL"}
    for tensors in (wrong, {**wrong, "codes_KL": np.zeros((8, NUMBERS), np.float32)}):
        file.write_bytes(save(tensors))
        with pytest.raises(ValueError, match=r"(?s)the codec's weights do not fit: .*codes_KL"):
            built.load(tmp_path)
    file.write_bytes(save({**wrong, "codes_KL": np.full((16, NUMBERS), np.nan, np.float32)}))
    with pytest.raises(ValueError, match="the codec's weights must be finite"):
        built.load(tmp_path)
    (tmp_path / "codec.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"was fitted for \[1\], but the settings ask for"):
        built.load(tmp_path)


def test_before_the_fit_nothing_is_encoded(tmp_path: Path) -> None:
    built = Vq(small())
    for call in (
        lambda: built.encode(pictures()[0]),
        lambda: built.decode(np.zeros(2, np.int64)),
        lambda: built.save(tmp_path),
    ):
        with pytest.raises(ValueError, match="must be fitted or loaded before it is used"):
            call()
    with pytest.raises(ValueError, match="at least one value to fit on"):
        built.fit([], 0)
    with pytest.raises(ValueError, match=r"must be float32 \(8, 4, 1\)"):
        built.fit([np.zeros((4, 8, 1), np.float32)], 0)


def test_ids_that_are_no_image_are_refused() -> None:
    built = fitted()
    with pytest.raises(ValueError, match="must have 2 tokens, but has 3"):
        built.decode(np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=r"ids must lie in 0\.\.15, but span 0\.\.16"):
        built.decode(np.array([0, 16]))


def test_a_single_constant_image_is_enough() -> None:
    built = Vq(small())
    figures = built.fit([np.zeros((8, 4, 1), np.float32)], 0)
    assert figures["held_out"] == 0
    assert all(np.isfinite(figure) for figure in figures.values())


def test_a_fit_that_diverges_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def infinite(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a - b).sum() * torch.inf

    monkeypatch.setattr(training.functional, "mse_loss", infinite)
    with pytest.raises(ValueError, match=r"diverged at step 0 of 10; lower learning_rate.* 0\.006"):
        fitted()


def test_only_the_fit_needs_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = fitted()
    built.save(tmp_path)
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)

    def none_is_decoded() -> Iterator[np.ndarray]:
        raise AssertionError
        yield

    with pytest.raises(MissingDependencyError) as raised:
        Vq(small()).fit(none_is_decoded(), 0)
    assert "fitting 'image.vq' needs vector-quantize-pytorch" in str(raised.value)
    assert str(raised.value).endswith("-> pip install 'loretta-plugin-image[vq]'")
    loaded = Vq(small())
    loaded.load(tmp_path)
    for value in pictures(5):
        assert np.array_equal(loaded.encode(value), built.encode(value))


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValidationError, match="patch must divide height and width, but 3 does not"):
        small(patch=3)
    for changes in ({"hidden": 12}, {"codebook_size": 1}, {"learning_rate": 0.0}, {"threads": 0}):
        with pytest.raises(ValidationError):
            small(**changes)
