"""svl-digits: image-text and text-speech pairs of digits, and what proves that the bridge works.

All pairs are matched by class only. No image and no clip lies in two sets, except that
`broken-readings` are the `readings` with their texts shuffled. No training set of the method holds
image and speech together; `reserved` does, for the oracle arm.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.errors import InputError, MissingDependencyError, ShardError
from loretta_framework.api.random import generator
from loretta_framework.api.settings import Settings
from loretta_framework.shards.index import expand_shards, open_index
from loretta_framework.shards.preparing.card import CardFacts, source_files
from loretta_framework.shards.preparing.finish import Say
from loretta_framework.shards.writing import ShardWriter

DEFAULT_SOURCE = Path("data/svl-digits-speech")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = (
    "{}",
    "digit {}",
    "the digit {}",
    "number {}",
    "the number {}",
    "it is {}",
    "this is {}",
    "that is {}",
    "here is {}",
    "a clear {}",
    "just {}",
    "{} again",
    "it must be {}",
    "{} it is",
    "you get {}",
    "the answer is {}",
)
"""Longest with "seven": 19 characters."""

SAMPLES_PER_SHARD = 250
VALIDATION, TEST, RESERVED, READINGS = 100, 297, 400, 1000
"""Samples of the sets; what is left of the images becomes captions."""

MODALITIES = {
    "captions": ("image", "text"),
    "readings": ("text", "speech"),
    "broken-readings": ("text", "speech"),
    "reserved": ("image", "speech"),
    "validation": ("image", "text", "speech"),
    "triples": ("image", "text", "speech"),
}


@dataclass(frozen=True, slots=True)
class Clip:
    """A spoken digit: its id in the source, class, voice, split ("role") and FLAC bytes."""

    name: str
    digit: int
    voice: str
    role: str
    flac: bytes


@dataclass(frozen=True, slots=True)
class Item:
    """One sample to be written; a part that is None is not in it.

    `text_digit` differs from `digit` in the broken set only.
    """

    digit: int
    image: int | None = None
    clip: Clip | None = None
    text: str | None = None
    text_digit: int | None = None

    @property
    def key(self) -> str:
        """Made of the source ids, so that a leak between sets shows in the keys alone."""
        image = [f"image-{self.image:04d}"] if self.image is not None else []
        clip = [f"clip-{self.clip.name}"] if self.clip is not None else []
        return "_".join(image + clip)


class Options(Settings):
    """svl-digits is one fixed construction: there is nothing to choose."""


def prepare(source: Path | None, out: Path, seed: int, options: Options, say: Say) -> CardFacts:
    """Write the shards; see `shards.prepare`."""
    images, classes = _images()
    folder = _source(source)
    sets = _compose(classes, _clips(folder), seed)
    say("writing the shards")
    for name, items in sets.items():
        _write(out, name, items, images)
    clips = source_files(sorted(folder.glob("*.tar")), folder, "speech clips")
    return replace(_FACTS, sources=(clips,))


def _images() -> tuple[NDArray[np.float64], list[int]]:
    """(images (N, 8, 8) with values 0..16, their classes)."""
    try:
        import PIL  # noqa: F401
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDependencyError(
            f"svl-digits needs a package that is not installed: {error}",
            fix="pip install 'loretta-framework[svl-digits]'",
        ) from error
    digits = load_digits()
    return digits.images, [int(value) for value in digits.target]


def _source(source: Path | None) -> Path:
    found = source if source is not None else DEFAULT_SOURCE
    if not found.is_dir():
        raise InputError(
            f"the folder of speech clips is missing: {found}",
            where="svl-digits",
            fix="name it with --source; the project's repository holds it as data/svl-digits-speech",
        )
    return found


def _clips(folder: Path) -> list[Clip]:
    store = open_index(expand_shards("*.tar", folder))
    clips = []
    for sample in range(len(store)):
        members = {name: number for number, name in enumerate(store.members(sample))}
        try:
            meta = json.loads(store.read(sample, members["meta.json"]))
            digit, voice, role = int(meta["digit"]), str(meta["voice"]), str(meta["role"])
            flac = store.read(sample, members["speech.flac"])
        except (KeyError, ValueError, TypeError) as error:
            raise ShardError(
                f"a clip must have speech.flac and a meta.json with digit, voice and role: {error}",
                where=f"{store.place(sample)}, key '{store.key(sample)}'",
                fix="make the clips with make_speech.py",
            ) from error
        clips.append(Clip(store.key(sample), digit, voice, role, flac))
    return clips


def _compose(classes: Sequence[int], clips: Sequence[Clip], seed: int) -> dict[str, list[Item]]:
    """The items of each set, in the order in which they are written."""
    images = [
        [
            int(i)
            for i in _shuffled(np.flatnonzero(np.array(classes) == digit), seed, "image", digit)
        ]
        for digit in range(10)
    ]
    spoken = {
        role: [_of_class(clips, role, digit, seed) for digit in range(10)]
        for role in ("train", "validation", "test")
    }
    sizes = [len(group) for group in images]
    triples = _triples("triples", _take(images, _split(TEST, sizes)), spoken["test"], seed)
    held_out = _take(images, _split(VALIDATION, sizes))
    validation = _triples("validation", held_out, spoken["validation"], seed)
    readings = [
        Item(clip.digit, clip=clip, text=_text("readings", clip.name, clip.digit, seed))
        for group in _take(spoken["train"], [READINGS // 10] * 10)
        for clip in group
    ]
    kept = _take(images, _split(RESERVED, sizes))
    reserved = [Item(d, image=i, clip=c) for d, i, c in _matched(kept, spoken["train"])]
    captions = [
        Item(digit, image=image, text=_text("captions", str(image), digit, seed))
        for digit, group in enumerate(images)
        for image in group
    ]
    sets = {
        "captions": captions,
        "readings": readings,
        "broken-readings": _broken(readings, seed),
        "reserved": reserved,
        "validation": validation,
        "triples": triples,
    }
    return {name: _shuffled(items, seed, "order", name) for name, items in sets.items()}


def _triples(name: str, images: list[list[int]], clips: list[list[Clip]], seed: int) -> list[Item]:
    return [
        Item(digit, image, clip, _text(name, str(image), digit, seed))
        for digit, image, clip in _matched(images, clips)
    ]


def _matched(images: list[list[int]], clips: list[list[Clip]]) -> list[tuple[int, int, Clip]]:
    """(digit, image, clip) for every image, each with a clip of its class that nobody else gets."""
    matched = []
    for digit, group in enumerate(images):
        if len(clips[digit]) < len(group):
            raise ShardError(
                f"{len(group)} clips of '{WORDS[digit]}' are needed, but {len(clips[digit])} are left",
                where="svl-digits speech clips",
                fix="make the clips again with make_speech.py",
            )
        matched += [(digit, image, clips[digit].pop()) for image in group]
    return matched


def _broken(readings: list[Item], seed: int) -> list[Item]:
    """The same clips and the same texts, paired at random: text tells nothing about speech."""
    texts = _shuffled(readings, seed, "broken")
    return [
        Item(item.digit, clip=item.clip, text=other.text, text_digit=other.digit)
        for item, other in zip(readings, texts, strict=True)
    ]


def _of_class(clips: Sequence[Clip], role: str, digit: int, seed: int) -> list[Clip]:
    chosen = [clip for clip in clips if (clip.role, clip.digit) == (role, digit)]
    return _shuffled(chosen, seed, "clip", role, digit)


def _take(groups: list[list[Any]], counts: Sequence[int]) -> list[list[Any]]:
    """Remove the first items of each group and return them."""
    taken = []
    for digit, count in enumerate(counts):
        if len(groups[digit]) < count:
            raise ShardError(
                f"{count} clips of '{WORDS[digit]}' are needed, but {len(groups[digit])} are left",
                where="svl-digits speech clips",
                fix="make the clips again with make_speech.py",
            )
        taken.append(groups[digit][:count])
        del groups[digit][:count]
    return taken


def _split(total: int, sizes: Sequence[int]) -> list[int]:
    """`total` in proportion to sizes: rounded down, the rest to the largest remainders."""
    counts = [total * size // sum(sizes) for size in sizes]
    rest = sorted(range(len(sizes)), key=lambda i: (-(total * sizes[i] % sum(sizes)), i))
    for index in rest[: total - sum(counts)]:
        counts[index] += 1
    return counts


def _text(name: str, item: str, digit: int, seed: int) -> str:
    draw = generator(seed, "svl-digits/text", name, item)
    return TEMPLATES[int(draw.integers(len(TEMPLATES)))].format(WORDS[digit])


def _shuffled(items: Any, seed: int, *purpose: str | int) -> list[Any]:
    order = generator(seed, "svl-digits", *purpose).permutation(len(items))
    return [items[int(index)] for index in order]


def _write(folder: Path, name: str, items: Sequence[Item], images: NDArray[np.float64]) -> None:
    with ShardWriter(folder, name, SAMPLES_PER_SHARD) as writer:
        for item in items:
            meta: dict[str, str | int] = {"digit": str(item.digit)}
            members: dict[str, bytes] = {}
            if item.image is not None:
                members["image.png"] = _png(images[item.image])
                meta["image"] = item.image
            if item.clip is not None:
                members["speech.flac"] = item.clip.flac
                meta |= {"clip": item.clip.name, "voice": item.clip.voice}
            if item.text is not None:
                members["text.txt"] = item.text.encode()
            if item.text_digit is not None:
                meta["text_digit"] = str(item.text_digit)
            writer.write(item.key, {**members, "meta.json": json.dumps(meta).encode()})


def _png(values: NDArray[np.float64]) -> bytes:
    """8-bit grey PNG of an (8, 8) image with values 0..16."""
    from PIL import Image

    pixels = np.rint(values * (255 / 16)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


_FACTS = CardFacts(
    title="svl-digits",
    about="Handwritten digits, spoken digits and number words. Pairs are matched by class only: no "
    "image and no clip lies in two sets, except that `broken-readings` are the `readings` with "
    "their texts shuffled.",
    purposes={
        "captions": "training",
        "readings": "training",
        "broken-readings": "the broken-link arm: the readings with shuffled texts",
        "reserved": "the oracle arm only",
        "validation": "held-out images and held-out voices",
        "triples": "test: held-out images and held-out voices",
    },
    licences=(
        "Images: Optical Recognition of Handwritten Digits, E. Alpaydin and C. Kaynak, UCI Machine "
        "Learning Repository, CC BY 4.0, as distributed with scikit-learn.",
        "Speech: made with espeak-ng, CC0 1.0.",
        "Texts: made by this project, CC0 1.0.",
    ),
    citations=(
        "Alpaydin, E. and Kaynak, C. (1998). Optical Recognition of Handwritten Digits. UCI Machine "
        "Learning Repository. https://doi.org/10.24432/C50P49",
    ),
)
