"""Some samples of data sets, ready to be shown to people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from loretta_framework.api.errors import DamagedSampleError, LorettaError
from loretta_framework.api.protocols import Modality, SampleStore
from loretta_framework.api.random import generator
from loretta_framework.data.decode import BadRow, DecodeFailure, Decoder
from loretta_framework.data.preview.media import Media, describe, image_size
from loretta_framework.data.sample import SetReader
from loretta_framework.shards.members import META, SEQUENCE, parse_local

MAX_SHOWN_BYTES = 16 << 20
"""Bytes of a member that a preview reads."""


@dataclass(frozen=True, slots=True)
class Part:
    """One member of a sample.

    Attributes:
        name: the modality, with its number when there are several.
        size: bytes on disk.
        media: forms of it that can be shown.
        fault: why it cannot be shown, else "".
    """

    name: str
    size: int
    media: tuple[Media, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One sample.

    Attributes:
        key: its key.
        place: the shard it lies in.
        parts: in order.
        missing: declared modalities that it lacks.
        label: its class, None when none is declared.
        fault: why the sample cannot be read, else "".
    """

    key: str
    place: str
    parts: tuple[Part, ...]
    missing: tuple[str, ...] = ()
    label: str | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """Some samples of one set or of some shards, and how many there are in all."""

    name: str
    samples: int
    cards: tuple[Card, ...]


def chosen_rows(total: int, rows: int, seed: int | None) -> list[int]:
    """At most `rows` of 0..total-1 in order: evenly spread, or drawn when there is a seed."""
    if rows >= total:
        return list(range(total))
    if seed is None:
        return [index * total // rows for index in range(rows)]
    drawn = generator(seed, "preview").choice(total, rows, replace=False)
    return sorted(int(row) for row in drawn)


def sheet_of_shards(name: str, store: SampleStore, rows: int, seed: int | None) -> Sheet:
    """Samples as they lie in the shards; what a member is follows from its name and first bytes."""
    cards = [_stored(store, row) for row in chosen_rows(len(store), rows, seed)]
    return Sheet(name, len(store), tuple(cards))


def sheet_of_set(
    reader: SetReader,
    modalities: Mapping[str, Modality],
    max_bytes: Mapping[str, int],
    rows: int,
    seed: int | None,
) -> Sheet:
    """Samples as the recipe sees them: each part read and shown by its modality."""
    decoder = Decoder(modalities, max_bytes=max_bytes)
    cards = [_decoded(reader, decoder, row) for row in chosen_rows(len(reader), rows, seed)]
    return Sheet(f"{reader.plan.split}/{reader.plan.name}", len(reader), tuple(cards))


def _stored(store: SampleStore, sample: int) -> Card:
    names = store.shapes[int(store.shape_S[sample])]
    parts = []
    for number, name in enumerate(names):
        size = store.size(sample, number)
        extension = parse_local(name)[2]
        label = name if name in (META, SEQUENCE) else name.rpartition(".")[0] or name
        if size > MAX_SHOWN_BYTES:
            parts.append(Part(label, size, fault="too large to show here"))
            continue
        try:
            parts.append(Part(label, size, (describe(store.read(sample, number), extension),)))
        except DamagedSampleError as error:
            parts.append(Part(label, size, fault=error.what))
    return Card(store.key(sample), store.place(sample), tuple(parts))


def _decoded(reader: SetReader, decoder: Decoder, row: int) -> Card:
    place, key = reader.place(row)
    present = reader.modalities(row)
    missing = tuple(name for name in reader.plan.modalities if name not in present)
    try:
        raw = decoder.raw(reader, row)
    except DecodeFailure as failure:
        return Card(key, place, (), missing, fault=_told(failure.row))
    several = [name for name, _, _ in raw.parts]
    parts, seen = [], dict[str, int]()
    for name, data, extension in raw.parts:
        number = seen[name] = seen.get(name, -1) + 1
        label = f"{name}.{number}" if several.count(name) > 1 else name
        parts.append(_part(decoder.modalities[name], label, data, extension))
    return Card(key, place, tuple(parts), missing, raw.label)


def _part(modality: Modality, label: str, data: bytes, extension: str) -> Part:
    try:
        artifacts = modality.show(modality.read(data, extension))
    except LorettaError:
        raise
    except Exception as error:  # people look at a preview to see what is wrong with their data
        return Part(label, len(data), fault=f"{type(error).__name__}: {error}")
    media = [describe(artifact.data, artifact.extension) for artifact in artifacts]
    size = image_size(data)
    # A picture is enlarged to be seen, or drawn of a sound: its own size would mislead.
    note = f"{size[0]} x {size[1]}" if size else ""
    kept = [replace(item, note=note) if item.kind == "image" else item for item in media]
    return Part(label, len(data), tuple(kept))


def _told(row: BadRow) -> str:
    return f"{row.modality}: {row.cause}" if row.modality else row.cause


def size_text(size: int) -> str:
    """A number of bytes for people."""
    if size < 1024:
        return f"{size} B"
    return f"{size / 1024:.1f} kB" if size < 1 << 20 else f"{size / (1 << 20):.1f} MB"
