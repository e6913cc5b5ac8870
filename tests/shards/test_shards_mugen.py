"""`loretta data prepare mugen`, on clips that the test makes."""

from __future__ import annotations

import io
import json
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loretta_framework.api.errors import InputError, MissingDependencyError, ShardError
from loretta_framework.shards.prepare import PrepareReport, parse, prepare
from loretta_framework.testing.shard_contents import shard_samples as samples

FOLDER = "model_seed_402/videos"


def run(source: Path, out: Path, *options: str) -> PrepareReport:
    return prepare("mugen", source, out, 0, parse("mugen", options))


def clip(path: Path, pictures: int, seconds: float, rate: int = 8000) -> None:
    """Pictures that get brighter, and a tone."""
    av = pytest.importorskip("av", reason="PyAV is not installed")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        sound = container.add_stream("aac", rate=rate, layout="mono") if seconds else None
        for number in range(pictures):
            pixels = np.full((32, 32, 3), 255 * number // max(pictures - 1, 1), np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
        if sound is not None:
            time = np.arange(int(seconds * rate)) / rate
            tone = (np.sin(2 * np.pi * 440 * time) * 0.5).astype(np.float32)[None]
            frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            frame.sample_rate = rate
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))


def entry(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "video": {
            "id": name,
            "video_file": f"{FOLDER}/{name}.mp4",
            "json_file": f"model_seed_402/video_metadata/{name}.json",
            "num_frames": 10,
            "world_theme_n": 0,
            "game_events": ["collect_coin"],
        },
        "annotations": [
            {"type": "auto", "text": f"Mugen walks in {name}", "actions": ["walk"]},
            {"type": "manual", "text": "It jumps", "actions": ["jump"]},
        ],
        **changes,
    }


def lists(source: Path, **splits: list[Any]) -> Path:
    folder = source / "coinrun_dataset_jsons" / "release"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in splits.items():
        about = {"data_folder": "/home/somebody/coinrun", "split": name}
        (folder / f"{name}.json").write_text(json.dumps({"metadata": about, "data": data}))
    return source


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three clips in the published layout, in files that are no videos."""
    root = tmp_path / "in"
    for name in ("one", "two", "three"):
        path = root / FOLDER / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"clip {name}".encode())
    return lists(root, train=[entry("one"), entry("two")], val=[entry("three")])


def test_clips_and_texts_without_decoding(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    report = run(source, tmp_path / "out", "audio=false")
    assert {found.name: found.samples for found in report.sets} == {"train": 2, "validation": 1}
    found = samples(tmp_path / "out")["one"]
    assert found["video.mp4"] == b"clip one"
    assert found["text.txt"] == b"Mugen walks in one"
    assert found["text.1.txt"] == b"It jumps"
    facts = json.loads(found["meta.json"])
    assert facts["annotations"] == [
        {"type": "auto", "actions": ["walk"]},
        {"type": "manual", "actions": ["jump"]},
    ]
    assert (facts["num_frames"], facts["id"]) == (10, "one")
    assert "video_file" not in facts
    again = run(source, tmp_path / "again", "audio=false")
    assert again.digest == report.digest


@pytest.mark.parametrize(
    ("kind", "texts"),
    [("auto", [b"Mugen walks in one"]), ("manual", [b"It jumps"])],
)
def test_texts_of_one_kind(source: Path, tmp_path: Path, kind: str, texts: list[bytes]) -> None:
    run(source, tmp_path / "out", "audio=false", "video=none", f"annotations={kind}")
    found = samples(tmp_path / "out")["one"]
    assert [found[name] for name in sorted(found) if name.startswith("text")] == texts


def test_options_of_the_lists(source: Path, tmp_path: Path) -> None:
    lists(source, train_downsampled=[entry("two")])
    report = run(source, tmp_path / "a", "audio=false", "downsampled=true")
    assert [found.samples for found in report.sets] == [1, 1]
    report = run(source, tmp_path / "b", "audio=false", "limit=1")
    assert [found.samples for found in report.sets] == [1, 1]


def test_clips_in_another_folder(source: Path, tmp_path: Path) -> None:
    (source / "coinrun").mkdir()
    (source / "model_seed_402").rename(source / "coinrun" / "model_seed_402")
    assert run(source, tmp_path / "a", "audio=false").sets[0].samples == 2  # data_folder's name
    (source / "coinrun").rename(source / "clips")
    with pytest.raises(ShardError, match=r"no clip '.*one.mp4' in '\.', 'coinrun'"):
        run(source, tmp_path / "b", "audio=false")
    assert run(source, tmp_path / "b", "audio=false", "clips=clips").sets[0].samples == 2


def test_pictures_and_sound(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV is not installed")
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    root = tmp_path / "in"
    clip(root / FOLDER / "one.mp4", pictures=10, seconds=1.0)
    clip(root / FOLDER / "two.mp4", pictures=2, seconds=0)
    lists(root, train=[entry("one"), entry("two")])
    options = ("video=frames", "frames=5", "resolution=16", "sample_rate=8000")
    report = run(root, tmp_path / "out", *options)
    found = samples(tmp_path / "out")
    shown = [name for name in found["one"] if name.startswith("image")]
    assert sorted(shown) == [
        "image.1.png",
        "image.2.png",
        "image.3.png",
        "image.4.png",
        "image.png",
    ]
    order = ["image.png", *(f"image.{number}.png" for number in range(1, 5))]
    pictures = [image.open(io.BytesIO(found["one"][name])) for name in order]
    assert {picture.size for picture in pictures} == {(16, 16)}
    brightness = [float(np.asarray(picture).mean()) for picture in pictures]
    wanted = [255 * place / 9 for place in (1, 3, 5, 7, 9)]
    np.testing.assert_allclose(brightness, wanted, atol=12)
    with wave.open(io.BytesIO(found["one"]["audio.wav"])) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 8000)
        samples_N = np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 32768
    assert 0.9 < len(samples_N) / 8000 < 1.4
    spectrum = np.abs(np.fft.rfft(samples_N[:8000]))
    assert abs(int(spectrum.argmax()) - 440) <= 2
    assert "audio.wav" not in found["two"]
    assert sum(name.startswith("image") for name in found["two"]) == 2
    assert run(root, tmp_path / "again", *options).digest == report.digest


@pytest.mark.parametrize("options", [("video=frames", "audio=false"), ("audio=true",)])
def test_a_clip_that_cannot_be_decoded(
    source: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    pytest.importorskip("av", reason="PyAV is not installed")
    clip(source / FOLDER / "one.mp4", pictures=3, seconds=0.5)
    with pytest.raises(ShardError, match=r"train.json clip 1: it cannot be decoded"):
        run(source, tmp_path / "out", *options)
    run(source, tmp_path / "out", *options, "max_bad=2")
    assert list(samples(tmp_path / "out")) == ["one"]


def test_a_clip_without_pictures(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV is not installed")
    path = tmp_path / "in" / FOLDER / "one.mp4"
    path.parent.mkdir(parents=True)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    lists(tmp_path / "in", train=[entry("one")])
    with pytest.raises(ShardError, match="clip 0: it has no pictures"):
        run(tmp_path / "in", tmp_path / "out", "video=frames")


def test_clips_that_are_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip(tmp_path / "in" / FOLDER / "one.mp4", pictures=5, seconds=1.0)
    lists(tmp_path / "in", train=[entry("one")])
    place = "loretta_framework.shards.preparers.clips"
    with monkeypatch.context() as patch:
        patch.setattr(f"{place}.MAX_FRAMES", 4)
        with pytest.raises(ShardError, match="it has more than 4 frames"):
            run(tmp_path / "in", tmp_path / "out", "video=frames", "audio=false")
    monkeypatch.setattr(f"{place}.MAX_SECONDS", 0.2)
    with pytest.raises(ShardError, match=r"its sound is longer than 0.2 s"):
        run(tmp_path / "in", tmp_path / "out")


def test_without_the_optional_package(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    for options in ((), ("audio=false", "video=frames")):
        with pytest.raises(MissingDependencyError, match=r"'loretta-framework\[mugen\]'"):
            run(source, tmp_path / "out", *options)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("text", "clip 1: it must have video.video_file"),
        ({"video": {"id": "x"}}, "it must have video.video_file"),
        (entry("gone"), "there is no clip 'model_seed_402/videos/gone.mp4'"),
        (entry("one"), "its id occurred before"),
        (entry("two", annotations=["x"]), "each of its annotations must have a text"),
        (entry("x", video={"id": "x", "video_file": "../../out.mp4"}), "lies outside"),
    ],
)
def test_a_bad_clip_is_named_and_may_be_left_out(
    source: Path, tmp_path: Path, bad: Any, message: str
) -> None:
    lists(source, train=[entry("one"), bad])
    with pytest.raises(ShardError, match=message):
        run(source, tmp_path / "out", "audio=false")
    run(source, tmp_path / "out", "audio=false", "max_bad=1")
    assert list(samples(tmp_path / "out")) == ["one"]


def test_nothing_of_a_clip_is_kept(source: Path, tmp_path: Path) -> None:
    lists(source, train=[entry("one", annotations=[])])
    with pytest.raises(ShardError, match="nothing of it is kept"):
        run(source, tmp_path / "out", "audio=false", "video=none")


@pytest.mark.parametrize(("text", "message"), [("{", "it is not JSON"), ("[]", "a list 'data'")])
def test_a_damaged_list(source: Path, tmp_path: Path, text: str, message: str) -> None:
    (source / "coinrun_dataset_jsons" / "release" / "train.json").write_text(text)
    with pytest.raises(ShardError, match=message):
        run(source, tmp_path / "out", "audio=false")


def test_a_source_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match=r"there is no train\.json, val\.json or test\.json"):
        run(tmp_path / "in", tmp_path / "out")
    with pytest.raises(InputError, match="resolution needs video=frames"):
        run(tmp_path / "in", tmp_path / "out", "resolution=64")
    with pytest.raises(InputError, match="add --source DIR"):
        prepare("mugen", None, tmp_path / "out")
