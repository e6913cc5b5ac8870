"""Spoken digits: FSDD recordings, Speech Commands, or the MFCC features of Zenodo 3515935/4452953."""

from __future__ import annotations

import re
from pathlib import Path

from loretta_framework.shards.preparers.pieces import WORDS, Piece, Pool, shuffled
from loretta_framework.shards.preparers.recordings import (
    read_recordings,
    recording,
    recordings_source,
)
from loretta_framework.shards.preparers.spoken_features import read_features
from loretta_framework.shards.preparing.card import SourceFile
from loretta_framework.shards.preparing.download import Original
from loretta_framework.shards.preparing.finish import Say
from loretta_framework.shards.preparing.sources import obtain

LICENCES = {
    "fsdd": "Speech: Free Spoken Digit Dataset, Zohar Jackson et al., CC BY-SA 4.0; what is derived "
    "from it stays under that licence.",
    "speech-commands": "Speech: Speech Commands, Pete Warden, CC BY 4.0.",
    "zenodo": "Speech features: Written and spoken digits database for multimodal learning, CC BY "
    "4.0, made from Speech Commands, Pete Warden, CC BY 4.0.",
}
CITATIONS = {
    "fsdd": "Jackson, Z. et al. Free Spoken Digit Dataset. "
    "https://github.com/Jakobovski/free-spoken-digit-dataset",
    "speech-commands": "Warden, P. (2018). Speech Commands: A Dataset for Limited-Vocabulary Speech "
    "Recognition. arXiv:1804.03209.",
    "zenodo": "Khacef, L., Rodriguez, L. and Miramond, B. (2019). Written and spoken digits database "
    "for multimodal learning. Zenodo. https://doi.org/10.5281/zenodo.3515935",
}

_HOME = "https://github.com/Jakobovski/free-spoken-digit-dataset"
_ARCHIVE = Original(
    "free-spoken-digit-dataset-1.0.9.tar.gz",
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/v1.0.9.tar.gz",
    11975353,
    "sha256:8bc44cde129d505cbbb6b365c09f80c663f2aa77578afc634e6141a2f87100c0",
)
_COMMANDS_HOME = "https://www.tensorflow.org/datasets/catalog/speech_commands"
_FSDD = re.compile(r"(?:.*/)?(?P<digit>[0-9])_(?P<speaker>[A-Za-z0-9]+)_(?P<index>[0-9]+)\.wav")
_COMMAND = re.compile(
    rf"(?:.*/)?(?P<word>{'|'.join(WORDS)})/(?P<speaker>[0-9A-Za-z]+)_nohash_(?P<take>[0-9]+)\.wav"
    r"|(?:.*/)?(?P<list>validation|testing)_list\.txt"
)
FIRST_TRAINING_INDEX = 5
"""FSDD's own convention: recordings 0..4 of a speaker and digit are for testing."""

_HELD_OUT = 0.2


def read_speech(kind: str, source: Path | None, download: bool, seed: int, say: Say) -> Pool:
    """The recordings of a source, without duplicates.

    Raises:
        InputError: a file is missing.
        ShardError: a file does not hold what it should.
        StorageError: a download failed.
    """
    if kind == "zenodo":
        return read_features(source)
    if kind == "fsdd":
        return fsdd(source, download, say)
    return _speech_commands(source, seed)


def fsdd(source: Path | None, download: bool, say: Say) -> Pool:
    """The Free Spoken Digit Dataset; `held` are the recordings of its own test convention.

    Ids are `<digit>_<speaker>_<index>`, groups are speakers. Errors as in `read_speech`.
    """
    names = ("recordings", "fsdd_4speakers.tar", _ARCHIVE.name)
    path = obtain(source, "fsdd", names, _ARCHIVE if download else None, say)
    parts: tuple[list[Piece], list[Piece]] = ([], [])
    for name, data in read_recordings(path, _FSDD):
        match = _FSDD.fullmatch(name)
        assert match is not None
        index = int(match["index"])
        piece = recording(
            f"{match['digit']}_{match['speaker']}_{index}",
            int(match["digit"]),
            match["speaker"],
            data,
            f"{path}: {name}",
        )
        parts[index < FIRST_TRAINING_INDEX].append(piece)
    sources = (recordings_source(path, _FSDD, _HOME),)
    return Pool(tuple(parts[0]), tuple(parts[1]), (), sources).without_duplicates()


def _speech_commands(source: Path | None, seed: int) -> Pool:
    """The digits of Speech Commands: official lists where they are there, else by speaker."""
    names = (
        *("zero", "speech_commands_v0.02", "speech_commands_v0.01"),
        *("speech_commands_v0.02.tar.gz", "speech_commands_v0.01.tar.gz", "digits_v001.tar"),
    )
    path = obtain(source, "speech_commands", names, None, lambda line: None)
    path = path.parent if path.name == "zero" else path
    found: dict[str, Piece] = {}
    lists: dict[str, set[str]] = {}
    for name, data in read_recordings(path, _COMMAND):
        match = _COMMAND.fullmatch(name)
        assert match is not None
        if match["list"]:
            lists[match["list"]] = set(data.decode("utf-8", "replace").split())
            continue
        word, speaker, take = match["word"], match["speaker"], match["take"]
        piece = recording(
            f"{word}_{speaker}_{take}", WORDS.index(word), speaker, data, f"{path}: {name}"
        )
        found[f"{word}/{speaker}_nohash_{take}.wav"] = piece
    facts = (recordings_source(path, _COMMAND, _COMMANDS_HOME),)
    if len(lists) == 2:
        return _by_lists(found, lists["validation"], lists["testing"], facts)
    pieces = Pool(tuple(found.values()), ()).without_duplicates().train
    speakers = _held_speakers(pieces, seed)
    about = f"Speech: {len(speakers)} speakers are held out."
    return Pool(
        tuple(piece for piece in pieces if piece.group not in speakers),
        tuple(piece for piece in pieces if piece.group in speakers),
        (),
        facts,
        about,
    )


def _by_lists(
    found: dict[str, Piece], validation: set[str], test: set[str], facts: tuple[SourceFile, ...]
) -> Pool:
    """The official division: what neither list names is for training."""
    rest = set(found) - validation - test
    parts = [
        tuple(found[name] for name in sorted(set(found) & names))
        for names in (rest, validation, test)
    ]
    about = "Speech: validation and test are those of the official lists."
    return Pool(parts[0], parts[1], parts[2], facts, about).without_duplicates()


def _held_speakers(pieces: tuple[Piece, ...], seed: int) -> set[str]:
    """Whole speakers, until each class has its held-out share."""
    lacking = [
        max(2, round(_HELD_OUT * sum(piece.digit == digit for piece in pieces)))
        for digit in range(len(WORDS))
    ]
    said: dict[str, list[int]] = {}
    for piece in pieces:
        said.setdefault(piece.group, []).append(piece.digit)
    held: set[str] = set()
    for speaker in shuffled(sorted(said), seed, "speakers"):
        if any(lacking[digit] > 0 for digit in said[speaker]):
            held.add(speaker)
            for digit in said[speaker]:
                lacking[digit] -= 1
    return held
