"""`audio.mel_codes` through its public doors."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings, strategies as st
from loretta_plugin_audio.mel import mel_filters
from loretta_plugin_audio.mel_codes import MelCodes
from loretta_plugin_audio.settings import MelCodesSettings
from loretta_plugin_audio.sound_settings import SoundChanges
from loretta_plugin_audio.spectrogram import Spectrogram
from pydantic import ValidationError

from loretta_framework.api import generator

DATA = os.environ.get("LORETTA_TEST_DATA")
RATE = 8000


def codes(**changes: object) -> MelCodes:
    return MelCodes(MelCodesSettings(**{"codebook_size": 16, **changes}), None)


def chirp(seconds: float = 0.5, low: float = 200, high: float = 2000) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    turn = 2 * np.pi * (low * time + (high - low) * time**2 / 2 / max(seconds, 1e-9))
    return (0.2 * np.sin(turn)).astype(np.float32)


CLIPS = [chirp(0.2 + 0.05 * n, 150 + 50 * n, 3000 - 100 * n) for n in range(12)]


@pytest.fixture(scope="module")
def tokenizer() -> MelCodes:
    built = codes()
    built.fit(iter(CLIPS), 0)
    return built


def file_of(
    wave: np.ndarray, rate: int = RATE, form: str = "WAV", subtype: str | None = None
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=form, subtype=subtype)
    return file.getvalue()


@settings(max_examples=80, deadline=None)
@given(
    samples=st.integers(1, 32 * 384),
    level=st.sampled_from([0.0, 1e-6, 0.1, 1.0]),
    noise=st.booleans(),
)
def test_every_clip_that_fits_stays_in_bounds(
    tokenizer: MelCodes, samples: int, level: float, noise: bool
) -> None:
    draw = generator(samples, "test/clip")
    shape = draw.uniform(-1, 1, samples) if noise else np.ones(samples)
    ids = tokenizer.encode((level * shape).astype(np.float32))
    assert ids.dtype == np.int64
    assert len(ids) == max(4, -(-samples // 384))
    assert ids.min() >= 0
    assert ids.max() < 16


@settings(max_examples=25, deadline=None)
@given(ids=st.lists(st.integers(0, 15), min_size=1, max_size=40))
def test_any_ids_decode_to_a_value(tokenizer: MelCodes, ids: list[int]) -> None:
    value = tokenizer.decode(np.array(ids, np.int64))
    assert np.array_equal(tokenizer.checked(value), value)
    assert len(value) == 384 * len(ids)
    assert np.array_equal(tokenizer.decode(np.array(ids)), value)


def test_a_clip_comes_back_with_its_spectrum() -> None:
    built = codes(codebook_size=256)
    figures = built.fit(CLIPS, 0)
    assert figures["explained"] > 0.99
    transform = Spectrogram(MelCodesSettings())
    for clip in CLIPS:
        back = built.decode(built.encode(clip))[: len(clip)]
        loud = transform.log_mel(clip) > transform.log_mel(clip).max() - 4
        error = np.abs(transform.log_mel(back) - transform.log_mel(clip))[loud]
        assert np.median(error) < 0.35  # nepers of power: 1.5 dB


def test_the_spectrogram_is_the_usual_definition() -> None:
    torch = pytest.importorskip("torch")
    chosen = MelCodesSettings()
    wave = generator(0, "test/noise").uniform(-1, 1, 128 * 20).astype(np.float32)
    padded = torch.from_numpy(np.pad(wave, 64 + 128))  # torch centres its window in 512 points
    window = torch.hann_window(256)
    spectrum = torch.stft(
        padded, 512, 128, 256, window, center=False, return_complex=True, pad_mode="constant"
    )
    power = (spectrum.abs() ** 2).T.numpy()
    expected = np.log(power @ mel_filters(RATE, 512, 32))
    assert Spectrogram(chosen).log_mel(wave).shape == expected.shape == (20, 32)
    assert np.allclose(Spectrogram(chosen).log_mel(wave), expected, atol=1e-3)


def test_filters_are_triangles_that_cover_the_band() -> None:
    filters = mel_filters(RATE, 512, 32)
    assert filters.min() == 0
    assert filters.max() <= 1
    assert (filters.sum(0) > 0).all()
    assert (np.diff(filters.argmax(0)) >= 0).all()
    between = slice(filters[:, 0].argmax(), filters[:, -1].argmax())
    assert np.allclose(filters[between].sum(1), 1, atol=1e-5)


def test_the_fit_and_the_sound_are_the_same_in_another_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, numpy as np\n"
        "from loretta_plugin_audio.mel_codes import MelCodes\n"
        "from loretta_plugin_audio.settings import MelCodesSettings\n"
        "clips = np.load(sys.argv[2])\n"
        "built = MelCodes(MelCodesSettings(codebook_size=16,"
        " augment={'speed': 0.1, 'shift_seconds': 0.05, 'gain_db': 3.0, 'noise_db': 30.0}))\n"
        "built.fit([clips[key] for key in sorted(clips)], int(sys.argv[3]))\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "built.save(folder)\n"
        "np.save(folder / 'sound.npy', built.decode(np.arange(16)))\n"
    )
    np.savez(tmp_path / "clips.npz", *CLIPS)
    found = []
    for hash_seed, seed in (("1", "0"), ("2", "0"), ("1", "1")):
        folder = tmp_path / f"{hash_seed}-{seed}"
        command = [sys.executable, "-c", code, str(folder), str(tmp_path / "clips.npz"), seed]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": hash_seed})
        found.append([(folder / name).read_bytes() for name in ("codebook.npy", "sound.npy")])
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_what_was_saved_is_loaded_where_it_fits(tokenizer: MelCodes, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    files = ["codebook.json", "codebook.npy", "reconstructions.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == files
    loaded = codes()
    loaded.load(tmp_path)
    for clip in CLIPS:
        assert np.array_equal(loaded.encode(clip), tokenizer.encode(clip))
    for other in (
        {"n_mels": 40},
        {"hop_seconds": 0.01},
        {"sample_rate": 16_000},
        {"floor_db": -50.0},
    ):
        with pytest.raises(ValueError, match="it was fitted for"):
            codes(**other).load(tmp_path)
    with pytest.raises(ValueError, match=r"must be finite and \(8, 96\), but is \(16, 96\)"):
        codes(codebook_size=8).load(tmp_path)
    with pytest.raises(ValueError, match="the codebook cannot be read"):
        codes().load(tmp_path / "nowhere")


def test_a_clip_that_is_read_is_trimmed_and_levelled() -> None:
    built, clip = codes(), chirp()
    quiet = np.concatenate([np.zeros(3000), clip * 0.01, np.zeros(5000)]).astype(np.float32)
    value = built.parse(quiet)
    assert abs(len(value) - len(clip)) <= 160
    assert np.sqrt((value.astype(float) ** 2).mean()) == pytest.approx(0.1, rel=1e-3)
    plain = codes(trim_db=None, level=None)
    assert np.array_equal(plain.parse(quiet), quiet)
    spike = np.full(4000, 0.01, np.float32)
    spike[:8] = 1  # at the level asked for it would reach 2.1
    assert np.abs(built.parse(spike)).max() == 1
    assert np.abs(plain.parse(clip * 100)).max() == 1


def test_silence_is_a_clip() -> None:
    built = codes()
    value = built.parse(np.zeros(4000, np.float32))
    assert not value.any()
    assert len(value) == 4000
    assert built.fit([value], 0)["codes_used"] == 1
    assert not built.features(value).any()
    assert np.abs(built.decode(built.encode(value))).max() < 1e-3
    assert [item.extension for item in built.show(value)] == ["wav", "png"]


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"),
        ("WAV", "ULAW"),
        ("WAV", "DOUBLE"),
        ("RF64", "PCM_16"),
    ],
)
def test_the_usual_files_are_read(form: str, subtype: str) -> None:
    built, clip = codes(), chirp()
    value = built.read(file_of(clip, form=form, subtype=subtype), form.lower())
    assert abs(len(value) - len(clip)) <= 160
    length = min(len(value), len(clip))
    assert np.corrcoef(value[:length], clip[:length])[0, 1] > 0.98


def test_channels_are_mixed_and_rates_changed() -> None:
    built = codes(trim_db=None, level=None)
    time = np.arange(22_050) / 44_100
    left = np.sin(2 * np.pi * 440 * time)
    both = np.stack([left, 0 * left], axis=1)
    value = built.read(file_of(both, 44_100), "wav")
    assert len(value) == 4000
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4000) / RATE)
    assert np.abs(value - expected)[200:-200].max() < 0.01
    again = built.parse((both.mean(axis=1), 44_100))
    assert np.abs(again - value).max() < 1e-3


def test_every_usual_form_is_parsed() -> None:
    built, clip = codes(trim_db=None, level=None), chirp()
    whole = np.round(clip * 32_768).astype(np.int16)
    for form in (clip, clip.astype(np.float64), list(clip), (clip, RATE), (clip, np.int64(RATE))):
        assert np.array_equal(built.parse(form), clip)
    assert np.array_equal(built.parse(whole), whole / np.float32(32_768))
    assert np.abs(built.parse(file_of(clip)) - clip).max() < 1e-4


def test_a_written_clip_is_read_back(tokenizer: MelCodes) -> None:
    value = tokenizer.parse(chirp())
    data, extension = tokenizer.write(value)
    assert extension == "wav"
    assert np.abs(tokenizer.read(data, extension) - value).max() < 1e-3


def test_show_gives_sound_and_picture(tokenizer: MelCodes) -> None:
    value = chirp(0.5, 3000, 3000)
    sound, picture = tokenizer.show(value)
    wave, rate = soundfile.read(io.BytesIO(sound.data))
    assert (len(wave), rate) == (4000, RATE)
    assert picture.data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(picture.data[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (32 * 4, 32 * 4)
    begin = picture.data.index(b"IDAT") + 4
    length = int.from_bytes(picture.data[begin - 8 : begin - 4], "big")
    body = zlib.decompress(picture.data[begin : begin + length])
    rows = np.frombuffer(body, np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()  # no filter
    middle = rows[:, width // 2]
    assert middle[: height // 2].max() > middle[height // 2 :].max()  # high bands lie on top
    assert middle.max() > 200
    image = pytest.importorskip("PIL.Image")
    assert image.open(io.BytesIO(picture.data)).convert("L").size == (width, height)


def test_augmentation_follows_its_generator_and_never_outgrows_the_bounds() -> None:
    changes = SoundChanges(speed=0.3, shift_seconds=0.4, gain_db=6.0, noise_db=20.0)
    built = codes(augment=changes)
    clip = chirp()
    first = built.augment(clip, generator(0, "a"))
    assert np.array_equal(built.checked(first), first)
    assert np.array_equal(first, built.augment(clip, generator(0, "a")))
    others = [built.augment(clip, generator(seed, "a")) for seed in range(40)]
    assert len({len(other) for other in others}) > 20
    assert all(0.6 * len(clip) < len(other) < 1.5 * len(clip) + 0.4 * RATE for other in others)
    assert np.array_equal(codes().augment(clip, generator(0, "a")), clip)
    room = 32 * 384
    for samples in (room, room - 1, room - 500):
        long = np.resize(clip, samples)
        for seed in range(20):
            assert len(built.augment(long, generator(seed, "b"))) <= room
    still = codes(augment=SoundChanges()).augment(clip, generator(0, "a"))
    assert np.allclose(still, clip, atol=1e-6)


def test_features_have_one_shape_and_hear_neither_level_nor_speed(tokenizer: MelCodes) -> None:
    clips = [chirp(0.3), chirp(0.6), chirp(0.3) * 0.1, chirp(0.3, 2000, 200), chirp(0.001)]
    found = [tokenizer.features(clip) for clip in clips]
    assert {(array.shape, array.dtype.name) for array in found} == {((1, 32, 32), "float32")}

    def distance(a: int, b: int) -> float:
        return float(np.abs(found[a] - found[b]).mean())

    assert distance(0, 2) < 0.05
    assert distance(0, 1) < distance(0, 3) / 3


BOMB = file_of(np.zeros(RATE * 40, np.int16), form="FLAC")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is none of WAV, FLAC, OGG"),
        (b"ID3\x04" + b"\x00" * 200, "it is none of WAV, FLAC, OGG"),
        (file_of(chirp(), form="AIFF"), "it is none of WAV, FLAC, OGG"),
        (b"RIFF\x00\x00\x00\x00WAVE", "a sound cannot be read: "),
        (b"fLaC" + b"\x00" * 100, "a sound cannot be read: "),
        (b"OggS" + b"\xff" * 100, "a sound cannot be read: "),
        (
            file_of(chirp(), subtype="IMA_ADPCM"),
            "must be WAV, FLAC or OGG, but is WAV with IMA_ADPCM",
        ),
        (file_of(np.zeros((10, 9))), "at most 8 channels, but has 9"),
        (file_of(chirp(), rate=500), r"must lie in 1000\.\.384000 Hz, but is 500 Hz"),
        (file_of(np.zeros(0)), "at least 1 sample, but has none"),
        (file_of(np.array([0, np.nan]), subtype="FLOAT"), "holds NaN or infinite samples"),
        (file_of(np.array([0, np.inf]), subtype="DOUBLE"), "holds NaN or infinite samples"),
        (file_of(np.full(4, 1e300), subtype="DOUBLE"), "holds NaN or infinite samples"),
        (file_of(np.ones(1), rate=44_100), "1 samples at 44100 Hz are none at 8000 Hz"),
        (BOMB, r"may last 30 s \(max_seconds\), but lasts 40\.00 s"),
    ],
    ids=[
        "empty",
        "mp3",
        "aiff",
        "wav",
        "flac",
        "ogg",
        "adpcm",
        "channels",
        "rate",
        "silent",
        "nan",
        "inf",
        "huge",
        "short",
        "long",
    ],
)
def test_files_that_are_not_decoded(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        codes().read(data, "wav")
    assert "0x" not in str(caught.value)  # the same file gives the same message


def test_a_long_file_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(BOMB) < 20_000

    def never(*arguments: object, **named: object) -> None:
        raise AssertionError("the samples were decoded")

    monkeypatch.setattr(soundfile.SoundFile, "read", never)
    with pytest.raises(ValueError, match=r"but lasts 40\.00 s"):
        codes().read(BOMB, "flac")


@settings(max_examples=150, deadline=None)
@given(
    form=st.sampled_from(["WAV", "FLAC", "OGG"]),
    place=st.integers(0, 10_000),
    byte=st.integers(0, 255),
    cut=st.integers(0, 10_000),
)
def test_a_damaged_file_is_read_or_refused(form: str, place: int, byte: int, cut: int) -> None:
    built = codes()
    data = bytearray(file_of(chirp(0.1), form=form))
    data[place % min(len(data), 200)] = byte
    for damaged in (bytes(data), bytes(data[: cut % len(data)])):
        try:
            value = built.read(damaged, form.lower())
        except ValueError:
            continue
        assert np.array_equal(built.checked(value), value)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("seven", r"\(samples, channels\) with up to 8 channels, but is \(\)"),
        (np.zeros((2, 900)), r"with up to 8 channels, but is \(2, 900\)"),
        (np.zeros((9, 2, 1)), r"but is \(9, 2, 1\)"),
        (np.zeros(0), "at least 1 sample, but has none"),
        (np.zeros(9, np.int64), "must be float or int16, but is int64"),
        (np.array([0.0, np.nan]), "must be finite"),
        ((np.ones(9), 0), "whole number of Hz, but is 0"),
        ((np.ones(9), 8000.0), r"whole number of Hz, but is 8000\.0"),
        ((np.ones(9), True), "whole number of Hz, but is True"),
        (np.zeros(31 * RATE), r"may last 30 s \(max_seconds\), but lasts 31\.00 s"),
    ],
)
def test_what_is_no_sound_is_refused(form: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        codes().parse(form)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros(9), r"must be float32 \(samples,\), but is float64 \(9,\)"),
        (np.zeros((2, 9), np.float32), r"but is float32 \(2, 9\)"),
        ([0.0], "but is <class 'list'>; `parse` it first"),
        (np.zeros(0, np.float32), "at least 1 sample, but has none"),
        (np.full(9, 3, np.float32), r"must lie in -1\.\.1, but reaches 3; `parse` it first"),
        (np.full(9, np.nan, np.float32), r"must lie in -1\.\.1, but reaches nan"),
    ],
)
def test_what_is_no_value_is_refused_everywhere(
    tokenizer: MelCodes, value: object, message: str
) -> None:
    doors = [tokenizer.encode, tokenizer.features, tokenizer.write, tokenizer.show]
    doors.append(lambda value: codes().fit([value], 0))
    doors.append(lambda value: tokenizer.augment(value, generator(0, "a")))
    for door in doors:
        with pytest.raises(ValueError, match=message):
            door(value)  # type: ignore[arg-type]


def test_a_clip_too_long_names_seconds(tokenizer: MelCodes, tmp_path: Path) -> None:
    long = np.zeros(32 * 384 + 1, np.float32)
    with pytest.raises(ValueError, match=r"may last 1\.54 s \(32 max_tokens\), but lasts 1\.54 s"):
        tokenizer.encode(long)
    with pytest.raises(ValueError, match=r"but lasts 2\.00 s"):
        codes().fit([np.zeros(2 * RATE, np.float32)], 0)


def test_before_the_fit_and_without_ids_nothing_is_made(
    tokenizer: MelCodes, tmp_path: Path
) -> None:
    for call in (
        lambda: codes().encode(chirp()),
        lambda: codes().decode(np.zeros(4, np.int64)),
        lambda: codes().save(tmp_path),
    ):
        with pytest.raises(ValueError, match="must be fitted or loaded before it is used"):
            call()
    with pytest.raises(ValueError, match="at least one value to fit on"):
        codes().fit([], 0)
    with pytest.raises(ValueError, match="at least 1 token, but has none"):
        tokenizer.decode(np.zeros(0, np.int64))
    with pytest.raises(ValueError, match=r"ids must lie in 0\.\.15, but span 3\.\.16"):
        tokenizer.decode(np.array([3, 16]))


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValidationError, match="must be at least twice hop_seconds"):
        MelCodesSettings(window_seconds=0.02)
    with pytest.raises(ValidationError, match="a hop at least a sample, but they are 256 and 0"):
        MelCodesSettings(hop_seconds=0.00001)
    with pytest.raises(ValidationError, match="min_tokens must not exceed max_tokens, but 4 > 3"):
        MelCodesSettings(max_tokens=3)
    with pytest.raises(ValidationError):
        MelCodesSettings(augment={"pitch": 1.0})
    bounds = MelCodesSettings(codebook_size=64, min_tokens=2, max_tokens=9).bounds()
    assert (bounds.vocab_size, bounds.min_tokens, bounds.max_tokens) == (64, 2, 9)


SPEECH = Path(__file__).parents[3] / "data" / "svl-digits-speech"


def spoken(role: str) -> tuple[list[bytes], np.ndarray]:
    clips: dict[str, bytes] = {}
    digits: dict[str, str] = {}
    with tarfile.open(SPEECH / f"{role}-000000.tar") as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            key, _, rest = member.name.partition(".")
            if rest == "speech.flac":
                clips[key] = file.read()
            elif rest == "meta.json":
                digits[key] = file.read().decode().partition('"digit": "')[2][0]
    return list(clips.values()), np.array([int(digits[key]) for key in clips])


@pytest.mark.skipif(not SPEECH.is_dir(), reason="the checkout has no data/svl-digits-speech")
def test_spoken_digits_stay_what_they_are() -> None:
    """A judge of real clips: at least 0.95 on voices it never heard, at most 0.04 lost on the way."""
    networks = pytest.importorskip("sklearn.neural_network")
    scaling = pytest.importorskip("sklearn.preprocessing")
    built = MelCodes(MelCodesSettings())
    files, digits = spoken("train")
    clips = [built.read(data, "flac") for data in files]
    figures = built.fit(clips, 0)
    assert figures["codes_used"] == 128
    assert figures["explained"] > 0.75
    assert figures["error_db"] < 6.5
    scale = scaling.StandardScaler().fit([built.features(clip).ravel() for clip in clips])
    judge = networks.MLPClassifier((128,), max_iter=40, alpha=0.01, random_state=0)
    judge.fit(scale.transform([built.features(clip).ravel() for clip in clips]), digits)
    real, after, right = [], [], []
    for role in ("validation", "test"):
        files, digits = spoken(role)
        for data in files:
            value = built.read(data, "flac")
            ids = built.encode(value)
            assert 4 <= len(ids) <= 24
            real.append(built.features(value).ravel())
            after.append(built.features(built.decode(ids)).ravel())
        right.append(digits)
    labels = np.concatenate(right)
    accuracy = float(judge.score(scale.transform(real), labels))
    assert accuracy >= 0.95
    assert float(judge.score(scale.transform(after), labels)) >= accuracy - 0.04


def members(folder: str, name: str) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(Path(DATA or "") / folder / name) as tar:
        for member in tar:
            file = tar.extractfile(member)
            if file is not None:
                yield member.name, file.read()


@pytest.mark.skipif(not DATA, reason="LORETTA_TEST_DATA is unset")
def test_recorded_digits_stay_in_bounds() -> None:
    built = codes(codebook_size=64)
    clips = [built.read(data, "wav") for _, data in members("fsdd", "fsdd_4speakers.tar")]
    assert len(clips) == 2000
    built.fit(clips[::20], 0)
    for clip in clips:
        assert 4 <= len(built.encode(clip)) <= 32
        assert np.isfinite(built.features(clip)).all()


_ODD = """
import pathlib, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from loretta_plugin_audio.mel_codes import MelCodes
from loretta_plugin_audio.settings import MelCodesSettings
built = MelCodes(MelCodesSettings())
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        built.checked(built.read(path.read_bytes(), path.suffix[1:]))
        print("read")
    except ValueError:
        print("refused")
"""


@pytest.mark.skipif(not DATA, reason="LORETTA_TEST_DATA is unset")
@pytest.mark.parametrize(
    ("name", "expected"),
    [("wav_edge_cases_scipy.tar", (16, 6)), ("audio_containers_mediafile.tar", (20, 47))],
)
def test_odd_files_are_read_or_refused(
    name: str, expected: tuple[int, int], tmp_path: Path
) -> None:
    """In a child process: a crash, a hang or 2 GiB of memory must not pass for a refusal."""
    for number, (_, data) in enumerate(members("odd_media", name)):
        (tmp_path / f"{number:03d}.wav").write_bytes(data)
    command = [sys.executable, "-c", _ODD, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, env=environment
    )
    verdicts = done.stdout.split()
    assert (verdicts.count("read"), verdicts.count("refused")) == expected
