"""fsdd: spoken digits with their number words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from loretta_framework.api.errors import InputError, ShardError, nearest
from loretta_framework.api.settings import Settings
from loretta_framework.shards.preparers import class_texts, spoken_digits
from loretta_framework.shards.preparers.pieces import WORDS, Piece, of_class, shuffled
from loretta_framework.shards.preparing.card import CardFacts, SourceFile
from loretta_framework.shards.preparing.finish import Say
from loretta_framework.shards.writing import ShardWriter

PURPOSES = {"train": "training", "validation": "tuning", "test": "test"}
_FIRST = 2 * spoken_digits.FIRST_TRAINING_INDEX
"""Recordings below this number are held out: 0..4 test, 5..9 validation."""


class Options(Settings):
    """What the data set holds."""

    text: Literal["word", "phrase"] = Field(
        "word", description="The text beside each recording: the number word, or a phrase with it"
    )
    holdout_speaker: str | None = Field(
        None,
        description="Test on this speaker alone, who is then heard in no other set; without it, test "
        "is index 0-4 of every speaker and validation index 5-9",
    )
    samples_per_shard: int = Field(1000, ge=1, description="Samples of a shard")
    download: bool = Field(
        True, description="Download what --source does not hold from its official home"
    )


def prepare(source: Path | None, out: Path, seed: int, options: Options, say: Say) -> CardFacts:
    """Write the shards; see `shards.prepare`."""
    say("reading the recordings")
    pool = spoken_digits.fsdd(source, options.download, say)
    pieces = pool.train + pool.held
    texts = _texts(pieces, options, seed)
    for name, items in _sets(pieces, options.holdout_speaker).items():
        if not items:
            raise ShardError(
                f"no recording is left for {name}",
                where=pool.sources[0].name,
                fix="take a source with more speakers and recordings",
            )
        say(f"writing {name}: {len(items)} samples")
        with ShardWriter(out, name, options.samples_per_shard) as writer:
            for piece in shuffled(items, seed, "order", name):
                writer.write(piece.id, _members(piece, texts[piece.id]))
    return _facts(pool.sources, options)


def _sets(pieces: Sequence[Piece], speaker: str | None) -> dict[str, list[Piece]]:
    """The recordings of each set."""
    speakers = sorted({piece.group for piece in pieces})
    if speaker is not None and speaker not in speakers:
        raise InputError(
            f"there is no speaker '{speaker}'{nearest(speaker, speakers)}",
            where="--set holdout_speaker=...",
            fix=f"choose one of: {', '.join(speakers)}",
        )
    test, validation = _FIRST // 2, _FIRST
    if speaker is not None:
        test, validation = 0, _FIRST // 2
    sets: dict[str, list[Piece]] = {name: [] for name in PURPOSES}
    for piece in pieces:
        index = int(piece.id.rpartition("_")[2])
        held = "test" if index < test else "validation" if index < validation else "train"
        sets["test" if piece.group == speaker else held].append(piece)
    return sets


def _texts(pieces: Sequence[Piece], options: Options, seed: int) -> dict[str, str]:
    """Recording -> its text. No phrase occurs twice."""
    if options.text == "word":
        return {piece.id: WORDS[piece.digit] for piece in pieces}
    phrases = class_texts.digit_words(seed).train
    texts: dict[str, str] = {}
    for digit in range(len(WORDS)):
        spoken, written = of_class(pieces, digit), of_class(phrases, digit)
        texts |= {p.id: written[n % len(written)].data for n, p in enumerate(spoken)}
    return texts


def _members(piece: Piece, text: str) -> dict[str, bytes]:
    meta = {"digit": str(piece.digit), "speech": piece.id, "speaker": piece.group}
    return {
        "text.txt": text.encode(),
        "speech.wav": piece.data.wav(),
        "meta.json": json.dumps(meta).encode(),
    }


def _facts(sources: tuple[SourceFile, ...], options: Options) -> CardFacts:
    division = (
        f"Test is the speaker {options.holdout_speaker}, heard in no other set; validation is index "
        "0-4 of the others."
        if options.holdout_speaker is not None
        else "Test is index 0-4 of every speaker, as the data set's own convention has it, and "
        "validation index 5-9: every speaker is heard in training, so figures are optimistic."
    )
    return CardFacts(
        title="Free Spoken Digit Dataset",
        about=f"Spoken digits with their number words. {division}",
        purposes=PURPOSES,
        licences=(spoken_digits.LICENCES["fsdd"], class_texts.LICENCES["digit-words"]),
        citations=(spoken_digits.CITATIONS["fsdd"],),
        sources=sources,
    )
