"""What all audio modalities do alike: channels, rates, durations, and clips that are too long."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile
from loretta_plugin_audio.mel_codes import MelCodes
from loretta_plugin_audio.mfcc_bytes import MfccBytes
from loretta_plugin_audio.mulaw import Mulaw
from loretta_plugin_audio.settings import MelCodesSettings, MfccBytesSettings, MulawSettings
from pydantic import ValidationError

from loretta_framework.api import generator

RATE = 8000


def mulaw(**changes: Any) -> Mulaw:
    return Mulaw(MulawSettings(**changes))


def mel(**changes: Any) -> MelCodes:
    return MelCodes(MelCodesSettings(codebook_size=8, trim_db=None, level=None, **changes))


def mfcc(**changes: Any) -> MfccBytes:
    return MfccBytes(MfccBytesSettings(sample_rate=RATE, **changes))


def file_of(wave: np.ndarray, rate: int = RATE, form: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=form, subtype="FLOAT" if form == "WAV" else None)
    return file.getvalue()


def tones(*hertz: float, seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    """float32 (S, C): a tone a channel."""
    time = np.arange(round(seconds * rate)) / rate
    waves = [0.2 * np.sin(2 * np.pi * hz * time) for hz in hertz]
    return np.stack(waves, axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("mono", "expected"),
    [
        ("mean", lambda both: both.mean(axis=1)),
        ("left", lambda b: b[:, 0]),
        ("right", lambda b: b[:, 1]),
    ],
)
def test_one_channel_is_made_as_the_settings_say(mono: str, expected: Any) -> None:
    both = tones(300, 500)
    wanted = expected(both)
    for built in (mel(mono=mono), mulaw(mono=mono)):
        assert np.allclose(built.read(file_of(both), "wav"), wanted, atol=1e-6)
        assert np.allclose(built.parse(both), wanted, atol=1e-6)
        assert np.allclose(built.parse((both, RATE)), wanted, atol=1e-6)
        assert np.allclose(built.read(file_of(both[:, :1]), "wav"), both[:, 0])  # has only one
    spoken = mfcc(mono=mono)
    assert np.allclose(spoken.parse((both, RATE)), spoken.parse((wanted, RATE)), atol=1e-3)


def test_stereo_is_kept_as_tokens_that_alternate() -> None:
    built = mulaw(channels=2)
    both = tones(300, 500)
    value = built.read(file_of(both), "wav")
    assert value.shape == both.shape
    assert np.allclose(value, both, atol=1e-6)
    ids = built.encode(value)
    one = mulaw()
    assert np.array_equal(ids[::2], one.encode(np.ascontiguousarray(both[:, 0])))
    assert np.array_equal(ids[1::2], one.encode(np.ascontiguousarray(both[:, 1])))
    assert np.abs(built.decode(ids) - both).max() < 0.01
    assert np.array_equal(built.decode(ids[:-1]), built.decode(ids)[:-1])  # no half samples
    data, extension = built.write(value)
    assert np.abs(built.read(data, extension) - value).max() < 1e-4
    assert [item.extension for item in built.show(value)] == ["wav", "png"]
    assert built.features(value).shape == (1, 32, 32)
    assert np.array_equal(built.parse(both[:, 0]), np.repeat(both[:, :1], 2, axis=1))


def test_stereo_follows_the_other_settings() -> None:
    both = tones(300, 500, rate=44_100)
    built = mulaw(channels=2, trim_db=40.0, level=0.1)
    quiet = np.concatenate([np.zeros((9000, 2)), both, np.zeros((9000, 2))]).astype(np.float32)
    value = built.read(file_of(quiet, 44_100, "FLAC"), "flac")
    assert abs(len(value) - 4000) <= 160
    assert np.sqrt((value.astype(float) ** 2).mean()) == pytest.approx(0.1, rel=1e-3)
    changes = {"speed": 0.2, "shift_seconds": 0.1, "gain_db": 3.0, "noise_db": 20.0}
    changing = mulaw(channels=2, max_tokens=9000, augment=changes)
    changed = changing.augment(value, generator(0, "a"))
    assert changed.shape[1] == 2
    assert changing.checked(changed) is changed
    assert len(changing.encode(changed)) <= 9000


def test_stereo_refuses_what_it_cannot_keep() -> None:
    with pytest.raises(ValueError, match="at most 2 channels where stereo is kept, but has 3"):
        mulaw(channels=2).read(file_of(tones(300, 400, 500)), "wav")
    with pytest.raises(ValueError, match=r"float32 \(samples, 2\), but is float32 \(9,\)"):
        mulaw(channels=2).encode(np.zeros(9, np.float32))
    with pytest.raises(ValueError, match=r"at least 2 tokens \(channels\), but has 1"):
        mulaw(channels=2).decode(np.zeros(1, np.int64))
    with pytest.raises(ValidationError, match=r"multiples of 2 \(channels\), but are 8 and 801"):
        MulawSettings(channels=2, max_tokens=801)


@pytest.mark.parametrize("rate", [4000, 11_025, 22_050, 44_100, 48_000, 96_000])
def test_any_rate_is_read(rate: int) -> None:
    data = file_of(tones(440, seconds=0.5, rate=rate)[:, 0], rate)
    expected = tones(440)[:, 0]
    for built in (mel(), mulaw()):
        value = built.read(data, "wav")
        assert abs(len(value) - 4000) <= 2
        assert np.abs(value[200:3800] - expected[200:3800]).max() < 0.01
    assert mfcc().read(data, "wav").shape == (39, 13)


@pytest.mark.parametrize(
    "built", [mel(min_seconds=0.25), mulaw(min_seconds=0.25), mfcc(min_seconds=0.25)]
)
def test_a_sound_too_short_is_refused(built: Any) -> None:
    built.parse((np.zeros(2000, np.float32), RATE))
    with pytest.raises(ValueError, match=r"must last 0\.25 s \(min_seconds\), but lasts 0\.200 s"):
        built.parse((np.zeros(1600, np.float32), RATE))


def test_a_long_clip_is_an_error_unless_the_settings_say_crop() -> None:
    long = np.linspace(-1, 1, 1000, dtype=np.float32)
    with pytest.raises(ValueError, match=r"may last 0\.05 s \(400 max_tokens\), but lasts 0\.12 s"):
        mulaw(max_tokens=400).encode(long)
    for crop, start in (("start", 0), ("centre", 300)):
        built = mulaw(max_tokens=400, too_long="crop", crop=crop)
        assert np.array_equal(built.encode(long), built.encode(long[start : start + 400]))
        assert np.array_equal(built.features(long), built.features(long[start : start + 400]))
        assert np.array_equal(built.augment(long, generator(0, "a")), long)  # nothing asks for it
    both = np.stack([long, -long], axis=1)
    stereo = mulaw(max_tokens=400, too_long="crop", channels=2)
    assert np.array_equal(stereo.encode(both), stereo.encode(both[:200]))


def test_the_first_seconds_of_a_long_file_are_kept() -> None:
    noise = generator(0, "test/long").uniform(-0.5, 0.5, 10 * RATE).astype(np.float32)
    speech = mel(max_tokens=20, too_long="crop")
    value = speech.read(file_of(noise), "wav")
    assert len(value) == 10 * RATE  # the value stays whole: a random crop must find all of it
    speech.fit([value], 0)
    assert np.array_equal(speech.encode(value), speech.encode(value[: 20 * 384]))
    spoken = mfcc(too_long="crop")
    assert np.array_equal(spoken.parse((noise, RATE)), spoken.parse((noise[:RATE], RATE)))
    middle = noise[9 * RATE // 2 :][:RATE]
    centred = mfcc(too_long="crop", crop="centre")
    assert np.array_equal(centred.parse((noise, RATE)), spoken.parse((middle, RATE)))
    with pytest.raises(ValueError, match=r"may last 1\.00 s \(1 seconds\), but lasts 10\.00 s"):
        mfcc().parse((noise, RATE))


def test_a_random_crop_is_drawn_in_training_and_only_there() -> None:
    ramp = np.linspace(-1, 1, 2000, dtype=np.float32)
    built = mulaw(max_tokens=400, too_long="crop", augment={"random_crop": True})
    crops = [built.augment(ramp, generator(0, "crop", number)) for number in range(200)]
    assert {len(crop) for crop in crops} == {400}
    starts = [int(np.abs(ramp - crop[0]).argmin()) for crop in crops]
    assert all(np.array_equal(ramp[s : s + 400], c) for s, c in zip(starts, crops, strict=True))
    assert min(starts) < 100
    assert max(starts) > 1500
    again = built.augment(ramp, generator(0, "crop", 7))
    assert np.array_equal(again, crops[7])
    assert np.array_equal(built.encode(ramp), built.encode(ramp[:400]))
    short = ramp[:300]
    assert np.array_equal(built.augment(short, generator(0, "crop")), short)


def test_a_random_crop_leaves_the_other_draws_alone() -> None:
    changes = {"speed": 0.3, "gain_db": 6.0, "shift_seconds": 0.01}
    clip = tones(300, seconds=0.02)[:, 0]
    plain = mulaw(max_tokens=400, augment=changes)
    drawn = mulaw(max_tokens=400, too_long="crop", augment={**changes, "random_crop": True})
    for number in range(5):
        found = [built.augment(clip, generator(0, "a", number)) for built in (plain, drawn)]
        assert np.array_equal(*found)


def test_speed_and_crop_together_fill_the_room() -> None:
    changes = {"speed": 0.3, "noise_db": 20.0, "shift_seconds": 0.1, "random_crop": True}
    built = mulaw(max_tokens=400, too_long="crop", augment=changes)
    long = tones(300, seconds=0.3)[:, 0]
    lengths = {len(built.augment(long, generator(0, "b", number))) for number in range(40)}
    assert lengths <= {399, 400}
    just = tones(300, seconds=401 / RATE)[:, 0]
    assert all(
        300 < len(built.augment(just, generator(0, "c", number))) <= 400 for number in range(40)
    )


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="must be 'crop' where augment asks for random_crop"):
        MulawSettings(augment={"random_crop": True})
    with pytest.raises(ValidationError, match="min_seconds must not exceed max_seconds, but 2 > 1"):
        MelCodesSettings(min_seconds=2.0, max_seconds=1.0)
    with pytest.raises(ValidationError):
        MelCodesSettings(mono="middle")


def test_a_value_is_parsed_to_itself() -> None:
    """Also where level and trimming would change a digit of it, or the peak stands in the way."""
    built = MelCodes(MelCodesSettings(level=0.5))
    for number in range(40):
        random = generator(0, "test/level", number)
        wave = random.normal(0, 10.0 ** random.uniform(-3, -0.5), int(random.integers(80, 2000)))
        value = built.parse(np.clip(wave**3, -1, 1).astype(np.float32))
        assert np.array_equal(built.parse(value), value)
