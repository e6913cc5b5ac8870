"""svl-mnist: images, texts and spoken digits in three pair sets that share no item.

Items are paired by class alone: nothing but the class tells a partner. Of each modality one half
serves its first partner, the other half its second, so that no triple exists in training, and
image-speech can be kept for the oracle arm.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from loretta_framework.api.settings import Settings
from loretta_framework.shards.preparers import class_texts, mnist_images, spoken_digits
from loretta_framework.shards.preparers.pairing import (
    BROKEN,
    IMAGE_SPEECH,
    IMAGE_TEXT,
    TEXT_SPEECH,
    TRIPLES,
    VALIDATION,
    Item,
    Wanted,
    compose,
)
from loretta_framework.shards.preparers.pieces import Piece, Pool, shuffled
from loretta_framework.shards.preparers.recordings import Sound, augmented
from loretta_framework.shards.preparers.spoken_features import npy
from loretta_framework.shards.preparing.card import CardFacts
from loretta_framework.shards.preparing.finish import Say
from loretta_framework.shards.writing import ShardWriter

PURPOSES = {
    IMAGE_TEXT: "training",
    TEXT_SPEECH: "training",
    IMAGE_SPEECH: "the oracle arm only: the pair that is not seen",
    BROKEN: "the broken-link arm: text-speech with its texts paired again across classes",
    VALIDATION: "tuning: held-out items",
    TRIPLES: "test: held-out items",
}


class Options(Settings):
    """What the data set is made from, and how much of it."""

    text: Literal["clinc150", "digit-words", "wine"] = Field(
        "clinc150",
        description="Texts: requests of ten domains, phrases that name the digit (the link at full "
        "strength), or wine reviews that you have got from Kaggle",
    )
    speech: Literal["fsdd", "speech-commands", "zenodo"] = Field(
        "fsdd",
        description="Speech: FSDD recordings, Speech Commands, or the MFCC features of Zenodo 3515935",
    )
    weak_link: float = Field(
        0.0, ge=0.0, le=0.9, description="Part of the training texts drawn from wrong classes"
    )
    pairs_per_class: int = Field(
        1200, ge=1, description="Pairs of a class in each pair set; fewer where a source has fewer"
    )
    triples_per_class: int = Field(
        384, ge=1, description="Test triples of a class; fewer where a source has fewer"
    )
    validation_per_class: int = Field(
        100, ge=1, description="Validation triples of a class; fewer where a source has fewer"
    )
    samples_per_shard: int = Field(1000, ge=1, description="Samples of a shard")
    download: bool = Field(
        True, description="Download what --source does not hold from its official home"
    )


def prepare(source: Path | None, out: Path, seed: int, options: Options, say: Say) -> CardFacts:
    """Write the shards; see `shards.prepare`."""
    say("reading images, texts and speech")
    pools = {
        "image": mnist_images.read_images(source, options.download, say),
        "text": class_texts.read_texts(options.text, source, options.download, seed, say),
        "speech": spoken_digits.read_speech(options.speech, source, options.download, seed, say),
    }
    wanted = Wanted(
        options.pairs_per_class,
        options.validation_per_class,
        options.triples_per_class,
        options.weak_link,
        repeat_speech=options.speech != "zenodo",
    )
    sets, counts = compose(pools, wanted, seed)
    say(f"of each class: {counts}")
    for name, items in sets.items():
        say(f"writing {name}: {len(items)} samples")
        with ShardWriter(out, name, options.samples_per_shard) as writer:
            for item in shuffled(items, seed, "order", name):
                writer.write(item.key, _members(item, seed))
    return _facts(pools, options, counts)


def _members(item: Item, seed: int) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    meta: dict[str, str | int] = {"digit": str(item.digit)}
    meta |= {name: piece.id for name, piece in item.parts.items()}
    if item.image is not None:
        members["image.png"] = mnist_images.png(item.image.data)
    if item.text is not None:
        members["text.txt"] = item.text.data.encode()
        if item.text.digit != item.digit:
            meta["text_digit"] = str(item.text.digit)
    if item.speech is not None:
        meta["copy"] = item.copy
        if item.speech.group:
            meta["speaker"] = item.speech.group
        name, data = _speech(item.speech, item.copy, seed)
        members[name] = data
    return {**members, "meta.json": json.dumps(meta).encode()}


def _speech(piece: Piece, copy: int, seed: int) -> tuple[str, bytes]:
    """(member, bytes): the first use of a recording is the recording itself."""
    if not isinstance(piece.data, Sound):
        return "speech.npy", npy(piece.data)
    sound = augmented(piece.data, seed, piece.id, copy) if copy else piece.data
    return "speech.wav", sound.wav()


def _facts(pools: Mapping[str, Pool], options: Options, counts: str) -> CardFacts:
    notes: Iterable[str] = filter(None, (pool.about for pool in pools.values()))
    return CardFacts(
        title="svl-mnist",
        about="MNIST images, short texts and spoken digits, after the construction of SVL-MNIST: "
        "items are paired by class only, and no item lies in two sets, except that "
        "`broken-text-speech` has the items of `text-speech`. A recording is used several times, "
        "after the first time with another speed, silence and noise, and with another text each "
        "time. `meta.json` names the class and the source of each part.\n\n"
        f"Of each class: {counts}.\n\n" + "\n".join(f"{note}\n" for note in notes),
        purposes=PURPOSES,
        licences=(
            mnist_images.LICENCE,
            class_texts.LICENCES[options.text],
            spoken_digits.LICENCES[options.speech],
        ),
        citations=(
            "Tran, M., Dicente Cid, Y., Lahiani, A., Theis, F. J., Peng, T. and Klaiman, E. (2023). "
            "Training Transitive and Commutative Multimodal Transformers with LoReTTa. NeurIPS. "
            "arXiv:2305.14243.",
            mnist_images.CITATION,
            *filter(None, (class_texts.CITATIONS.get(options.text),)),
            spoken_digits.CITATIONS[options.speech],
        ),
        sources=tuple(source for pool in pools.values() for source in pool.sources),
    )
