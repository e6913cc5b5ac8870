"""mugen: game clips with sound and texts, in the layout in which the data set is published.

`<split>.json` holds `metadata` and `data`: a list of {video: {id, video_file, num_frames, ...},
annotations: [{type: "auto" | "manual", text, ...}]}. The sound is a track of the video file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from pydantic import Field, model_validator

from loretta_framework.api.errors import InputError, ShardError
from loretta_framework.api.settings import Settings
from loretta_framework.shards.prepare import Say
from loretta_framework.shards.preparers.clips import frames, require_av, sound
from loretta_framework.shards.preparers.keys import as_key
from loretta_framework.shards.preparers.left_out import LeftOut
from loretta_framework.shards.preparing.card import CardFacts, source_file, source_files
from loretta_framework.shards.preparing.sources import find_file, require_folder
from loretta_framework.shards.writing import ShardWriter

_SETS = {"train": "train", "validation": "val", "test": "test"}
_PURPOSES = {
    "train": "training",
    "validation": "watched in training",
    "test": "judged afterwards",
}
_PLACES = ("coinrun_dataset_jsons/release", "release", "coinrun/coinrun_dataset_jsons/release")
_MANUAL = frozenset({"manual", "human"})


class Options(Settings):
    """What of each clip is kept."""

    video: Literal["file", "frames", "none"] = Field(
        "file", description="file: the clip as it is; frames: pictures of it, as modality image"
    )
    frames: int = Field(8, ge=1, le=512, description="pictures of a clip, with video=frames")
    resolution: int | None = Field(
        None, ge=8, le=1024, description="width and height of the pictures; null: as they are"
    )
    audio: bool = Field(True, description="the clip's sound as WAV, one channel")
    sample_rate: int = Field(22050, ge=4000, le=96000, description="samples a second of the sound")
    annotations: Literal["all", "auto", "manual"] = Field(
        "all", description="texts that are kept: made by a program, written by people"
    )
    downsampled: bool = Field(False, description="train_downsampled.json instead of train.json")
    clips: str | None = Field(
        None, description="folder of the source that video paths start from; null: it is looked for"
    )
    limit: int | None = Field(None, ge=1, description="clips of each split that are looked at")
    max_bad: int = Field(0, ge=0, description="bad clips that may be left out")
    samples_per_shard: int = Field(500, ge=1, description="samples after which a shard ends")

    @model_validator(mode="after")
    def _agree(self) -> Options:
        if self.resolution is not None and self.video != "frames":
            raise ValueError("resolution needs video=frames; a file is kept as it is")
        return self


def prepare(source: Path | None, out: Path, seed: int, options: Options, say: Say) -> CardFacts:
    """See `shards.prepare`."""
    root = require_folder(source, "mugen")
    maker = _Maker(root, options)
    bad = LeftOut(options.max_bad, say)
    lists = _lists(root, options)
    written: dict[str, str] = {}
    for name, path in lists.items():
        say(f"reading the clips of {path.name}")
        if _write(out, name, path, maker, options, bad):
            written[name] = _PURPOSES[name]
    bad.check()
    return CardFacts(
        title="MUGEN",
        about=_about(options, bad),
        purposes=written,
        licences=(
            "MUGEN: see the terms of https://mugen-org.github.io; none is stated in its files",
        ),
        citations=(
            "T. Hayes et al., MUGEN: A Playground for Video-Audio-Text Multimodal Understanding "
            "and GENeration, ECCV 2022",
        ),
        sources=(
            *(source_file(path) for path in lists.values()),
            source_files(maker.used, root, "clips", "https://mugen-org.github.io/download"),
        ),
    )


def _lists(root: Path, options: Options) -> dict[str, Path]:
    """Set -> its list of clips."""
    found = {}
    for name, stem in _SETS.items():
        stem = "train_downsampled" if name == "train" and options.downsampled else stem
        path = find_file(root, _PLACES, (f"{stem}.json",))
        if path is not None:
            found[name] = path
    if not found:
        raise InputError(
            "there is no train.json, val.json or test.json",
            where=str(root),
            fix=f"name the folder that holds them, or that holds {_PLACES[0]}",
        )
    return found


def _write(out: Path, name: str, path: Path, maker: _Maker, options: Options, bad: LeftOut) -> int:
    keys: set[str] = set()
    with ShardWriter(out, name, options.samples_per_shard) as writer:
        for number, entry, folder in _entries(path, options.limit):
            try:
                key, members = maker.sample(entry, folder)
                if key in keys:
                    raise ValueError("its id occurred before")
            except (OSError, ValueError) as error:
                bad.add(f"{path.name} clip {number}", str(error))
                continue
            keys.add(key)
            writer.write(key, members)
    return len(keys)


def _entries(path: Path, limit: int | None) -> Iterator[tuple[int, Any, str]]:
    """(number, entry, name of the data folder) of each clip."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ShardError(
            f"it is not JSON: {error}", where=str(path), fix="copy it again"
        ) from error
    entries = found.get("data") if isinstance(found, dict) else None
    if not isinstance(entries, list):
        raise ShardError(
            "it must hold a list 'data' of clips", where=str(path), fix="check the download"
        )
    metadata = found.get("metadata")
    folder = str(metadata.get("data_folder", "")) if isinstance(metadata, dict) else ""
    for number, entry in enumerate(entries[:limit]):
        yield number, entry, PurePosixPath(folder).name


class _Maker:
    """Entries of a list to samples.

    Attributes:
        used: clips that were read.
    """

    def __init__(self, root: Path, options: Options) -> None:
        self.root, self.options = root, options
        self.used: set[Path] = set()
        self._av: Any = None
        if options.video == "frames" or options.audio:
            self._av = require_av("--set audio=false, and video=file or none")

    def sample(self, entry: Any, folder: str) -> tuple[str, dict[str, bytes]]:
        """(key, members). Raises `ValueError` and `OSError` when the entry cannot be used."""
        video = entry.get("video") if isinstance(entry, dict) else None
        if not isinstance(video, dict) or not isinstance(video.get("video_file"), str):
            raise ValueError("it must have video.video_file")
        name = video.get("id") or PurePosixPath(video["video_file"]).stem
        texts = self._texts(entry.get("annotations"))
        path = self._clip(video["video_file"], folder)
        members = self._media(path)
        for number, text in enumerate(texts):
            members[f"text{f'.{number}' if number else ''}.txt"] = text["text"].encode()
        if not members:
            raise ValueError("nothing of it is kept")
        meta = {name: value for name, value in video.items() if not name.endswith("_file")}
        meta["annotations"] = [
            {name: value for name, value in text.items() if name != "text"} for text in texts
        ]
        members["meta.json"] = json.dumps(meta, ensure_ascii=False, sort_keys=True).encode()
        self.used.add(path)
        return as_key(str(name)), members

    def _media(self, path: Path) -> dict[str, bytes]:
        members = {}
        if self.options.video == "file":
            members[f"video{path.suffix.lower()}"] = path.read_bytes()
        elif self.options.video == "frames":
            pictures = frames(self._av, path, self.options.frames, self.options.resolution)
            for number, picture in enumerate(pictures):
                members[f"image{f'.{number}' if number else ''}.png"] = picture
        heard = sound(self._av, path, self.options.sample_rate) if self.options.audio else None
        if heard is not None:
            members["audio.wav"] = heard
        return members

    def _texts(self, annotations: Any) -> list[Mapping[str, Any]]:
        """Annotations of the wanted kind; each has a text."""
        found = annotations if isinstance(annotations, list) else []
        for item in found:
            if not isinstance(item, dict) or not isinstance(item.get("text"), str):
                raise ValueError("each of its annotations must have a text")
        if self.options.annotations == "all":
            return found
        manual = self.options.annotations == "manual"
        return [item for item in found if (item.get("type") in _MANUAL) == manual]

    def _clip(self, file: str, folder: str) -> Path:
        """The clip's file: the lists name their author's folder, which is not looked at."""
        chosen = self.options.clips
        places = ["", folder, "coinrun"] if chosen is None else [chosen]
        for place in places:
            path = self.root / place / file
            if not path.resolve().is_relative_to(self.root.resolve()):
                raise ValueError(f"'{file}' lies outside of the source")
            if path.is_file():
                return path
        shown = ", ".join(f"'{place or '.'}'" for place in dict.fromkeys(places))
        raise ValueError(f"there is no clip '{file}' in {shown}")


def _about(options: Options, bad: LeftOut) -> str:
    kept = {
        "file": "video (the file)",
        "frames": f"image (up to {options.frames} frames, evenly spaced)",
        "none": "no pictures",
    }[options.video]
    heard = f", audio ({options.sample_rate} Hz, one channel)" if options.audio else ""
    text = f"Clips of the game CoinRun: {kept}{heard}, text ({options.annotations} annotations)."
    return text + (f"\n\n{bad.card()}" if bad.card() else "")
