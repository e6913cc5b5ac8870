"""`audio.mfcc_bytes` through its public doors."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as arrays
from loretta_plugin_audio.mfcc_bytes import MfccBytes
from loretta_plugin_audio.settings import MfccBytesSettings
from pydantic import ValidationError

from loretta_framework.api import generator

SHAPE = (39, 13)


def mfcc(**changes: Any) -> MfccBytes:
    return MfccBytes(MfccBytesSettings(**changes))


def ready_made() -> MfccBytes:
    return mfcc(ranges="unit")


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def clip(number: int, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(seconds * 16_000)) / 16_000
    random = generator(0, "test/mfcc", number)
    wave = 0.2 * np.sin(2 * np.pi * (200 + 150 * number) * time * (1 + time / 3))
    return (wave + random.normal(0, 0.01, len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def fitted() -> MfccBytes:
    built = mfcc()
    built.fit([built.parse(clip(number)) for number in range(12)], 0)
    return built


def test_the_defaults_have_the_lengths_of_svl_mnist() -> None:
    bounds = MfccBytesSettings().bounds()
    assert (bounds.vocab_size, bounds.min_tokens, bounds.max_tokens) == (257, 507, 507)
    assert mfcc().parse(clip(0)).shape == SHAPE


@settings(max_examples=60, deadline=None)
@given(
    features=arrays.arrays(
        np.float32, SHAPE, elements=st.floats(-0.5, 1.5, width=32), fill=st.sampled_from([0.0, 1.0])
    )
)
def test_ready_made_features_get_the_ids_of_svl_mnist(features: np.ndarray) -> None:
    built = ready_made()
    ids = built.encode(built.read(npy(features), "npy"))
    edges = np.linspace(0, 1, 256)
    assert np.array_equal(ids, np.digitize(features.reshape(507), right=True, bins=edges))


def test_the_ends_of_the_scale() -> None:
    features = np.zeros(SHAPE, np.float32)
    values = [-1, 0, 1e-6, 0.0039, 0.0040, 0.5, 1, 1.0001, 9]
    features[0, : len(values)] = values
    ids = ready_made().encode(features)
    assert ids[: len(values)].tolist() == [0, 0, 1, 1, 2, 128, 255, 256, 256]


def test_files_of_the_zenodo_records_are_read() -> None:
    """Rows of 507 float64 there, arrays (39, 13) of float32 as `loretta data prepare` writes them."""
    row = generator(0, "test/rows").random(507)
    built = ready_made()
    expected = row.reshape(SHAPE).astype(np.float32)
    for data in (npy(row), npy(expected), npy(np.asfortranarray(expected))):
        assert np.array_equal(built.read(data, "npy"), expected)
        assert np.array_equal(built.parse(data), expected)
    assert np.array_equal(built.parse(expected.astype(np.float64)), expected)
    data, extension = built.write(expected)
    assert extension == "npy"
    assert np.array_equal(built.read(data, extension), expected)


@settings(max_examples=40, deadline=None)
@given(ids=arrays.arrays(np.int64, 507, elements=st.integers(0, 256)))
def test_any_ids_come_back(fitted: MfccBytes, ids: np.ndarray) -> None:
    for built in (fitted, ready_made()):
        assert np.array_equal(built.encode(built.decode(ids)), ids)


def test_what_is_restored_lies_within_half_a_step(fitted: MfccBytes) -> None:
    values = np.stack([fitted.parse(clip(number)) for number in range(12)])
    step = np.ptp(values, axis=(0, 1)) / 255
    for value in values:
        assert (np.abs(fitted.decode(fitted.encode(value)) - value) <= step / 2 + 1e-5).all()
    assert values.min() < -5  # not scaled before


def test_the_fit_tells_its_figures() -> None:
    built = mfcc()
    figures = built.fit([built.parse(clip(number)) for number in range(4)], 0)
    assert figures["clips"] == 4
    assert figures["constant_coefficients"] == 0
    assert 0 < figures["largest_error"] < 0.1
    silence = built.parse(np.zeros(16_000, np.float32))
    assert np.isfinite(silence).all()
    flat = np.full(SHAPE, 3, np.float32)
    assert built.fit([flat], 0)["constant_coefficients"] == 13
    assert (built.encode(flat) == 0).all()
    assert np.array_equal(built.decode(built.encode(flat)), flat)
    assert ready_made().fit([np.full(SHAPE, 2, np.float32)], 0)["outside"] == 1
    with pytest.raises(ValueError, match="at least one value to fit on"):
        built.fit([], 0)


def test_shorter_clips_end_in_silence() -> None:
    built = mfcc()
    wave = clip(0, 0.5)
    padded = np.concatenate([wave, np.zeros(8000, np.float32)])
    assert np.array_equal(built.parse(wave), built.parse(padded))
    assert built.parse(wave)[-1, 0] == pytest.approx(np.log(1e-6))


def test_the_energy_is_that_of_the_samples() -> None:
    wave = clip(3)
    energy = mfcc().parse(wave)[:, 0]
    expected = [np.log((wave[t * 400 : t * 400 + 800].astype(float) ** 2).sum()) for t in range(39)]
    assert np.allclose(energy, expected, atol=1e-5)
    plain = mfcc(energy=False).parse(wave)
    assert np.array_equal(plain[:, 1:], mfcc().parse(wave)[:, 1:])
    assert not np.allclose(plain[:, 0], expected, atol=1)


@pytest.mark.parametrize("energy", [True, False])
def test_the_rough_sound_has_the_coefficients(energy: bool) -> None:
    built = mfcc(energy=energy)
    value = built.parse(clip(2))
    sound, picture = built.show(value)
    wave, rate = soundfile.read(io.BytesIO(sound.data), dtype="float32")
    assert (rate, len(wave), picture.extension) == (16_000, 16_000, "png")
    again = built.parse(wave)
    assert np.corrcoef(again.ravel(), value.ravel())[0, 1] > 0.95
    assert np.abs(again - value)[2:-2, 0].mean() < (0.5 if energy else 9)
    assert [item.extension for item in ready_made().show(value)] == ["png"]


def test_features_lie_over_the_ranges(fitted: MfccBytes) -> None:
    found = np.stack([fitted.features(fitted.parse(clip(number))) for number in range(12)])
    assert found.shape == (12, 1, 13, 39)
    assert found.dtype == np.float32
    assert np.allclose([found.min(axis=(0, 1, 3)), found.max(axis=(0, 1, 3))], [[0] * 13, [1] * 13])


def test_what_was_saved_is_loaded_where_it_fits(fitted: MfccBytes, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded = mfcc()
    loaded.load(tmp_path)
    value = loaded.parse(clip(5))
    assert np.array_equal(loaded.encode(value), fitted.encode(value))
    for other in ({"n_mels": 30}, {"sample_rate": 8000}, {"energy": False}, {"ranges": "unit"}):
        with pytest.raises(ValueError, match=r"they were fitted for .*; fit it again"):
            mfcc(**other).load(tmp_path)
    with pytest.raises(ValueError, match="the ranges cannot be read: FileNotFoundError"):
        mfcc().load(tmp_path / "nowhere")
    file = tmp_path / "ranges.json"
    saved = json.loads(file.read_text())
    for low in ([0.0] * 12, [1e9] * 13, [float("nan")] * 13):
        file.write_text(json.dumps({**saved, "low": low}))
        with pytest.raises(ValueError, match="ranges"):
            mfcc().load(tmp_path)
    for text in ("", "[]", "{}", json.dumps({**saved, "low": ["a"] * 13})):
        file.write_text(text)
        with pytest.raises(ValueError, match="the ranges cannot be read"):
            mfcc().load(tmp_path)


def test_before_the_fit_nothing_is_made(tmp_path: Path) -> None:
    value = mfcc().parse(clip(0))
    for call in (
        lambda: mfcc().encode(value),
        lambda: mfcc().decode(np.zeros(507, np.int64)),
        lambda: mfcc().features(value),
        lambda: mfcc().save(tmp_path),
    ):
        with pytest.raises(ValueError, match="must be fitted or loaded before it is used"):
            call()
    assert ready_made().encode(value).shape == (507,)  # nothing to learn


def header_of(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


HUGE = "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999, 99999), }\n"
CUT = "{'descr': '<f8', 'fortran_order': False, 'shape': (39, 13), }\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x93NUMPY", "it is no .npy file"),
        (b"\x93NUMPY\x09\x00aaaa", "it is no .npy file"),
        (header_of("{'descr': "), "it is no .npy file"),
        (header_of("{}" + " " * 5000), "it is no .npy file"),
        (header_of(HUGE), r"must be \(39, 13\) or \(507,\), but are \(99999999, 99999\)"),
        (header_of(CUT), "features cannot be read"),
        (npy(np.zeros((13, 39))), r"but are \(13, 39\)"),
        (npy(np.zeros(SHAPE, np.int64)), "must be floating-point numbers, but are int64"),
        (npy(np.full(SHAPE, None), allow_pickle=True), "floating-point numbers, but are object"),
        (npy(np.full(SHAPE, np.nan)), "must be finite"),
        (npy(np.full(SHAPE, 1e300)), "must be finite"),
    ],
)
def test_feature_files_that_are_not_read(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ready_made().read(data, "npy")


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 200), byte=st.integers(0, 255), cut=st.integers(0, 3000))
def test_a_damaged_feature_file_is_read_or_refused(place: int, byte: int, cut: int) -> None:
    built = ready_made()
    data = bytearray(npy(np.full(SHAPE, 0.5, np.float32)))
    data[place] = byte
    for damaged in (bytes(data), bytes(data[: cut % len(data)])):
        try:
            value = built.read(damaged, "npy")
        except ValueError:
            continue
        assert built.checked(value) is not None


def test_sounds_are_refused_where_features_are_ready_made() -> None:
    for sound in (clip(0), (clip(0), 16_000), np.zeros((39, 12), np.float32)):
        with pytest.raises(ValueError, match="set `ranges: learned` for sounds"):
            ready_made().parse(sound)
    with pytest.raises(ValueError, match="set `ranges: learned` for sounds"):
        ready_made().read(b"RIFF", "wav")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([0.0], "but are <class 'list'>; `parse` them first"),
        (np.zeros(SHAPE), r"must be float32 \(39, 13\), but are float64 \(39, 13\)"),
        (np.zeros((39, 12), np.float32), r"but are float32 \(39, 12\)"),
        (np.full(SHAPE, np.inf, np.float32), "must be finite"),
    ],
)
def test_what_is_no_value_is_refused_everywhere(
    fitted: MfccBytes, value: Any, message: str
) -> None:
    doors = (fitted.encode, fitted.write, fitted.show, fitted.features)
    for door in (*doors, lambda value: mfcc().fit([value], 0)):
        with pytest.raises(ValueError, match=message):
            door(value)


def test_ids_that_are_no_clip_are_refused(fitted: MfccBytes) -> None:
    with pytest.raises(ValueError, match=r"must be 507 ids \(39 frames of 13\), but are 506"):
        fitted.decode(np.zeros(506, np.int64))
    with pytest.raises(ValueError, match=r"ids must lie in 0\.\.256"):
        fitted.decode(np.full(507, 257))


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValidationError, match="coefficients must not exceed n_mels, but 30 > 26"):
        MfccBytesSettings(coefficients=30)
    with pytest.raises(ValidationError, match="ascending order, but are 400, 800 and 320 samples"):
        MfccBytesSettings(seconds=0.02)
    with pytest.raises(ValidationError, match="ascending order"):
        MfccBytesSettings(hop_seconds=0.1)
