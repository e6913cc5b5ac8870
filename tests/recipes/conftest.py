"""A small MUGEN: clips, sounds and texts in the published layout, made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = "videos"
COLOURS = {"red": (230, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 240)}
PITCHES = {"deep": 220.0, "high": 880.0}
CLIPS = {"train": 20, "val": 4, "test": 4}
FRAMES, RATE, SIDE = 8, 10, 32
SOUND_RATE = 8000


def _clip(path: Path, colour: tuple[int, int, int], pitch: float, start: int) -> None:
    """A square that walks to the right, and a tone, for 0.8 s."""
    av = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=RATE, options={"qmin": "1", "qmax": "1"})
        video.width, video.height, video.pix_fmt = SIDE, SIDE, "yuv420p"
        sound = container.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for number in range(FRAMES):
            picture = np.full((SIDE, SIDE, 3), 90, np.uint8)
            picture[10:22, start + number : start + number + 12] = colour
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode(None))
        time = np.arange(FRAMES * SOUND_RATE // RATE) / SOUND_RATE
        tone = (np.sin(2 * np.pi * pitch * time) * 0.4).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
        frame.sample_rate = SOUND_RATE
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))


@pytest.fixture(scope="session")
def mugen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `loretta data prepare mugen --source` takes."""
    root = tmp_path_factory.mktemp("mugen")
    (root / FOLDER).mkdir()
    draws = np.random.default_rng(0)
    for split, count in CLIPS.items():
        data: list[dict[str, Any]] = []
        for number in range(count):
            name = f"{split}-{number}"
            colour = str(draws.choice(list(COLOURS)))
            pitch = str(draws.choice(list(PITCHES)))
            path = root / FOLDER / f"{name}.mp4"
            _clip(path, COLOURS[colour], PITCHES[pitch], int(draws.integers(10)))
            text = f"a {colour} square walks to a {pitch} tone"
            about = {"id": name, "video_file": f"{FOLDER}/{name}.mp4", "num_frames": FRAMES}
            data.append({"video": about, "annotations": [{"type": "manual", "text": text}]})
        (root / f"{split}.json").write_text(json.dumps({"metadata": {}, "data": data}))
    return root
