"""One source shard becomes one token shard: the unit of work, the same whoever does it."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from loretta_framework.api.errors import DamagedSampleError, ShardError
from loretta_framework.api.protocols import SampleStore
from loretta_framework.data.decode import BadRow, DecodeFailure, Decoder
from loretta_framework.data.loading.watch import Watch
from loretta_framework.data.parts import Part
from loretta_framework.data.sample import MAX_JSON_BYTES, SetReader
from loretta_framework.data.tokens.manifest import (
    FORMAT,
    BadSample,
    Form,
    TokenShard,
    describe_set,
    provenance,
)
from loretta_framework.data.tokens.npy import to_npy, token_dtype
from loretta_framework.sequence.vocabulary import Vocabulary
from loretta_framework.shards.index import fresh_index, index_shard
from loretta_framework.shards.members import META, SEQUENCE
from loretta_framework.shards.store import ShardStore
from loretta_framework.shards.writing import ShardWriter

ASIDE = ".making-"
"""Start of the names of folders in which shards are written; what a kill left is removed."""

_UNSAFE = re.compile(r"[^\w.-]+", re.ASCII)
_WHOLE = 1 << 62


@dataclass(frozen=True, slots=True)
class Job:
    """A source shard of which tokens are made.

    Attributes:
        chosen: index of the set.
        rows: its rows that lie in the shard.
        first: number of the shard's first sample.
        folder: of the set's token shards.
        stem: name of the token shard without `.tar`.
        source: digest of the source shard.
        made_from: hash of all that decides what is made.
    """

    chosen: int
    rows: range
    first: int
    folder: Path
    stem: str
    source: str
    made_from: str

    @property
    def record(self) -> Path:
        """Written when the token shard is complete."""
        return self.folder / f"{self.stem}.json"


def plan_jobs(
    readers: Sequence[SetReader], modalities: Mapping[str, Mapping[str, Any]], folder: Path
) -> list[Job]:
    """The jobs of all sets in order; `modalities` are described as in the manifest."""
    jobs = []
    for chosen, reader in enumerate(readers):
        about = describe_set(reader.plan, "")
        used = [modalities[name] for name in reader.plan.modalities]
        spans, stems = rows_of_shards(reader), _stems(reader.store)
        for number, (rows, stem) in enumerate(zip(spans, stems, strict=True)):
            source = _digest(reader.store, number)
            made_from = provenance(about, used, source)
            first, own = reader.store.starts[number], folder / reader.plan.name
            jobs.append(Job(chosen, rows, first, own, stem, source, made_from))
    return jobs


def rows_of_shards(reader: SetReader) -> list[range]:
    """The rows that lie in each shard of a set's store, some empty."""
    firsts = np.searchsorted(reader.rows_R, np.asarray(reader.store.starts)).tolist()
    return [range(a, b) for a, b in zip(firsts, [*firsts[1:], len(reader)], strict=True)]


def finished(job: Job) -> TokenShard | None:
    """What an earlier start made of the same source, None when it must be made."""
    try:
        data = json.loads(job.record.read_bytes())
        if data["made_from"] != job.made_from:
            return None
        shard = TokenShard.from_json(data["shard"])
        if data["damaged"]:
            return None  # the disk or the copy may have been mended; the shard's digest is the same
        if shard.file is not None:
            path = job.folder / shard.file
            index = fresh_index(path) or index_shard(path)
            if index.fingerprint.sha256 != shard.digest:
                return None
    except (OSError, ValueError, KeyError, TypeError, ShardError):
        return None
    return shard


@dataclass(slots=True)
class _Bad:
    """Bad samples of a shard; `damaged` of them because of their bytes, order or label."""

    samples: list[BadSample] = field(default_factory=list)
    damaged: int = 0


@dataclass(frozen=True)
class ShardMaker:
    """Makes token shards. Survives fork and pickling.

    Attributes:
        readers: the sets.
        decoder: with fitted tokenizers; never augments.
        forms: modality -> whether it becomes tokens or is copied.
        tokenizers: modality -> digest of its fitted state, for the records.
    """

    readers: Sequence[SetReader]
    decoder: Decoder
    forms: Mapping[str, Form]
    tokenizers: Mapping[str, str]

    def make(self, job: Job, watch: Watch, crashed: Mapping[tuple[int, int], str]) -> TokenShard:
        """Write the token shard, its index and its record, in this order, each aside and renamed.

        Args:
            job: what to make.
            watch: told of each row that is being decoded.
            crashed: (set, row) -> why the row is a bad one that must not be decoded.

        Raises:
            ShardError: the source cannot be read.
            OSError: the folder cannot be written.
        """
        job.folder.mkdir(parents=True, exist_ok=True)
        job.record.unlink(missing_ok=True)
        bad = _Bad()
        path = job.folder / f"{job.stem}.tar"
        with tempfile.TemporaryDirectory(dir=job.folder, prefix=ASIDE) as aside:
            with ShardWriter(Path(aside), "tokens", _WHOLE) as writer:
                for row in job.rows:
                    if (job.chosen, row) in crashed:
                        bad.samples.append(self._crashed(job, row, crashed[job.chosen, row]))
                    else:
                        self._add(writer, job, row, bad, watch)
            for written in writer.shards:
                os.replace(written, path)
            digest = index_shard(path).fingerprint.sha256 if writer.shards else ""
            file = path.name if writer.shards else None
            shard = TokenShard(
                job.source, file, digest, len(job.rows) - len(bad.samples), tuple(bad.samples)
            )
            record = Path(aside) / "record"
            about = self._record(job, shard) | {"damaged": bad.damaged}
            record.write_text(json.dumps(about, indent=1) + "\n")
            os.replace(record, job.record)
        return shard

    def _record(self, job: Job, shard: TokenShard) -> dict[str, Any]:
        names = self.readers[job.chosen].plan.modalities
        return {
            "format": FORMAT,
            "made_from": job.made_from,
            "tokenizers": {name: self.tokenizers.get(name) for name in names},
            "shard": asdict(shard),
        }

    def _crashed(self, job: Job, row: int, cause: str) -> BadSample:
        reader = self.readers[job.chosen]
        return BadSample(int(reader.rows_R[row]) - job.first, reader.place(row)[1], "", cause)

    def _add(self, writer: ShardWriter, job: Job, row: int, bad: _Bad, watch: Watch) -> None:
        reader = self.readers[job.chosen]
        try:
            members = self._members(job.chosen, row, watch)
        except DecodeFailure as failure:
            number = int(reader.rows_R[row]) - job.first
            found: BadRow = failure.row
            bad.samples.append(BadSample(number, found.key, found.modality, found.cause))
            bad.damaged += isinstance(failure.__cause__, DamagedSampleError)
            return
        writer.write(reader.place(row)[1], members)

    def _members(self, chosen: int, row: int, watch: Watch) -> dict[str, bytes]:
        """Local name -> content."""
        reader = self.readers[chosen]
        raw = self.decoder.raw(reader, row)
        # Watched from here on: a slow disk or network is no fault of the row.
        watch.begin(chosen, row)
        try:
            # Copied parts too are read once: what no position could decode is found now.
            values = self.decoder.values(reader, row, raw)
            wanted = [(name, value) for name, value in values if self.forms[name] == "tokens"]
            encoded = iter(self.decoder.encode(reader, row, raw, wanted).parts)
        finally:
            watch.end()
        members = {}
        for part, (name, data, extension) in zip(reader.arrangement(row), raw.parts, strict=True):
            if self.forms[name] == "tokens":
                extension, ids_T = "npy", np.asarray(next(encoded)[1], np.int64)
                data = to_npy(ids_T, _dtype(self.decoder.vocabulary, name))
            members[_local(part, extension)] = data
        return members | _beside(reader, row)


def _dtype(vocabulary: Vocabulary | None, name: str) -> np.dtype[Any]:
    assert vocabulary is not None
    return token_dtype(vocabulary[name].vocab_size)


def _local(part: Part, extension: str) -> str:
    name, number = part
    return f"{name}.{number}.{extension}" if number else f"{name}.{extension}"


def _beside(reader: SetReader, row: int) -> dict[str, bytes]:
    """The members that are no parts: facts, order, and where the label stands."""
    sample, store = int(reader.rows_R[row]), reader.store
    wanted = {META, SEQUENCE}
    if reader.plan.label is not None:
        wanted.add(f"{reader.plan.label.partition('.')[0]}.json")
    found = {}
    for member, name in enumerate(store.shapes[store.shape_S[sample]]):
        if name in wanted and store.size(sample, member) <= MAX_JSON_BYTES:
            # Damaged facts that nobody asks for: with the files too the row would be used.
            with suppress(DamagedSampleError):
                found[name] = store.read(sample, member)
    return found


def _stems(store: SampleStore) -> list[str]:
    """A name for each shard of a store, like its file's."""
    places = [store.place(start) for start in store.starts]
    stems = [_UNSAFE.sub("_", Path(place).stem).lstrip(".") or "shard" for place in places]
    if max(Counter(stems).values()) == 1:
        return stems
    return [f"{stem}-{number:06d}" for number, stem in enumerate(stems)]


def _digest(store: SampleStore, number: int) -> str:
    """Of a shard; of all together where a source does not tell them apart."""
    if isinstance(store, ShardStore):
        return store.indexes[number].fingerprint.sha256
    return f"{store.digest}/{number}"
