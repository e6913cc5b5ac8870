"""Which frames of which files become clips, and which files are refused."""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np
import pytest
from loretta_plugin_video.clips import Clips
from loretta_plugin_video.settings import ClipSettings
from PIL import Image

STEP = 8


def clips(**changes: Any) -> Clips:
    return Clips(ClipSettings(**{"frames": 4, "height": 16, "width": 16, **changes}))


def numbers(clip_FHWC: np.ndarray[Any, Any]) -> list[int]:
    """Which frames of a film they are, told by their brightness."""
    return [round(float(frame.mean()) / STEP) for frame in clip_FHWC]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"frames": 10}, list(range(10))),
        ({"frames": 5, "every": 2}, [0, 2, 4, 6, 8]),
        ({"frames": 4, "every": 3}, [0, 3, 6, 9]),
        ({"frames": 10, "fps": 10.0}, list(range(10))),
        ({"frames": 5, "fps": 5.0}, [0, 2, 4, 6, 8]),
        ({"frames": 4, "fps": 4.0}, [0, 2, 5, 7]),
        ({"frames": 20, "fps": 20.0}, [number // 2 for number in range(20)]),
        ({"frames": 3, "too_long": "crop"}, [0, 1, 2]),
        ({"frames": 3, "too_long": "crop", "crop": "middle"}, [3, 4, 5]),
        ({"frames": 2, "fps": 5.0, "too_long": "crop", "crop": "middle"}, [2, 4]),
        ({"frames": 12, "too_short": "hold"}, [*range(10), 9, 9]),
    ],
)
def test_the_frames_asked_for_are_taken(film: Any, settings: Any, wanted: list[int]) -> None:
    assert numbers(clips(**settings).read(film(), "mp4")) == wanted


def test_times_are_those_of_the_file_and_not_its_mean_rate(film: Any) -> None:
    late = film(frames=4, rate=10, ticks=[0, 1, 2, 8])  # the third stands still for 0.6 s
    taken = clips(frames=9, fps=10.0).read(late, "mp4")
    assert numbers(taken) == [0, 1, 2, 2, 2, 2, 2, 2, 3]


@pytest.mark.parametrize(
    ("format", "codec"), [("mov", "mpeg4"), ("matroska", "mpeg4"), ("avi", "mpeg4")]
)
def test_other_containers_whatever_they_are_called(film: Any, format: str, codec: str) -> None:
    # Matroska rounds 1/30 s to milliseconds: every second frame must be met all the same.
    data = film(frames=30, rate=30, format=format, codec=codec)
    assert numbers(clips(frames=15, fps=15.0).read(data, "txt")) == list(range(0, 30, 2))


def test_gif_and_grey() -> None:
    pictures = [Image.new("L", (20, 20), 40 * number) for number in range(4)]
    file = io.BytesIO()
    pictures[0].save(file, "GIF", save_all=True, append_images=pictures[1:], duration=100)
    clip = clips(channels=1).read(file.getvalue(), "gif")
    assert clip.shape == (4, 16, 16, 1)
    np.testing.assert_allclose(clip.mean((1, 2, 3)), [0, 40, 80, 120], atol=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": 9}, r"must have 9 frames, but has 10 \(too_long: crop keeps a part\)"),
        ({"frames": 11}, r"must have 11 frames, but has 10 \(too_short: hold repeats the last\)"),
        ({"frames": 4, "fps": 5.0}, "must have 4 frames at 5 a second, but has 5"),
        ({"max_frames": 9}, "must have at most 9 frames, but has 10"),
        ({"max_pixels": 1023}, "must have at most 1023 pixels, but are larger or unknown"),
        ({"max_seconds": 0.9}, "must last at most 0.9 s, but lasts 1 s"),
        ({"max_bytes": 100}, "must have at most 100 bytes, but has "),
    ],
)
def test_what_is_too_much_is_refused(film: Any, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        clips(**settings).read(film(), "mp4")


def test_limits_come_before_decoding(film: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr("loretta_plugin_video.reading._decoded", fail)
    for limit in ({"max_frames": 9}, {"max_pixels": 1023}, {"max_seconds": 0.9}, {"frames": 3}):
        for format in ("mp4", "matroska"):  # Matroska's header tells no number of frames
            with pytest.raises(ValueError, match="must "):
                clips(**limit).read(film(format=format), "mp4")


@pytest.mark.parametrize("format", ["mp4", "avi", "matroska", "fragments"])
def test_a_file_that_is_cut_is_refused_or_complete(film: Any, format: str) -> None:
    if format == "fragments":  # as streams are recorded; the header in front names no frames
        data = film(options={"movflags": "frag_keyframe+empty_moov"})
    else:
        data = film(format=format)
    whole = clips(frames=10)
    wanted = whole.read(data, "mp4")
    refused = 0
    for end in range(0, len(data), 23):
        try:
            np.testing.assert_array_equal(whole.read(data[:end], "mp4"), wanted)
        except ValueError:
            refused += 1
    assert refused > 0.7 * len(data) / 23


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"\x89PNG\r\n\x1a\n" + bytes(50),
        b"\x80\x04\x95 a pickle",
    ],
)
def test_files_that_are_no_videos_are_not_guessed_at(data: bytes) -> None:
    with pytest.raises(ValueError, match="must be one of MP4, Matroska, AVI, GIF, but begins"):
        clips().read(data, "mp4")


def test_sound_alone_is_refused() -> None:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match="it has no pictures"):
        clips().read(file.getvalue(), "mp4")
    sound = io.BytesIO()
    with wave.open(sound, "wb") as riff:
        riff.setnchannels(1)
        riff.setsampwidth(2)
        riff.setframerate(8000)
        riff.writeframes(bytes(100))
    with pytest.raises(ValueError, match="must be one of MP4"):
        clips().read(sound.getvalue(), "avi")


def test_larger_frames_shrink_by_area_means(film: Any) -> None:
    clip = clips(frames=10, height=8, width=4).read(film(size=(48, 64)), "mp4")
    assert clip.shape == (10, 8, 4, 3)
    assert clip.dtype == np.uint8
