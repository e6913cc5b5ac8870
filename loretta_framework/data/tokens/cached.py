"""Training from cached tokens: the same samples as from the files, bit for bit.

Rows are those of the source set, so that the order of a run is the same with tokens and without; a
row that could not be tokenized is a bad row here too, for the cause it had then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from loretta_framework.api.errors import ShardError
from loretta_framework.data.decode import Decoder
from loretta_framework.data.sample import SetReader
from loretta_framework.data.tokens.draws import CachedDraws
from loretta_framework.data.tokens.manifest import (
    BadSample,
    Manifest,
    TokenShard,
    command,
    describe_modality,
    describe_set,
    differences,
    form_of,
    read_manifest,
    require_same,
)
from loretta_framework.data.tokens.reader import TokenColumn
from loretta_framework.data.tokens.shards import rows_of_shards
from loretta_framework.recipe.plan import Plan
from loretta_framework.shards.store import ShardStore


def open_cached(
    plan: Plan, readers: Sequence[SetReader], decoder: Decoder, tokens: Path
) -> list[CachedDraws]:
    """The cached tokens of training sets, one for each reader.

    Whether fitted tokenizers are those of the cache is for the caller to check, see
    `token_tokenizers.require_tokenizers_of`: an object does not tell where it was loaded from.

    Args:
        plan: the run.
        readers: its training sets.
        decoder: of the run.
        tokens: a folder made by `loretta data tokenize`.

    Raises:
        ShardError: there are no finished tokens, they are damaged, or they were made from something
            else; then the text names what differs.
    """
    manifest = read_manifest(tokens)
    require_same(_differences(manifest, plan, readers, decoder), tokens)
    columns = {
        name: TokenColumn(plan.vocabulary[name])
        for name in decoder.modalities
        if name in manifest.modalities and manifest.form(name) == "tokens"
    }
    return [
        _open(reader, decoder, number, manifest.shards[reader.plan.name], columns, tokens)
        for number, reader in enumerate(readers)
    ]


def _differences(
    manifest: Manifest, plan: Plan, readers: Sequence[SetReader], decoder: Decoder
) -> list[tuple[str, object, object]]:
    found: list[tuple[str, object, object]] = []
    used = {name for reader in readers for name in reader.plan.modalities}
    for item in plan.modalities:
        made = manifest.modalities.get(item.name)
        if item.name in used and made is not None:
            form = form_of(plan, item, decoder.modalities[item.name])
            # Original files serve a modality that is no longer augmented as well.
            form = "copied" if made["form"] == "copied" else form
            wanted = describe_modality(plan, item, form, made["tokenizer"])
            found += differences(made, wanted, f"modalities.{item.name}")
        elif item.name in used:
            found.append((f"modalities.{item.name}", "absent", item.component.kind))
    for reader in readers:
        where = f"data.train.{reader.plan.name}"
        cached = manifest.sets.get(reader.plan.name)
        if cached is None:
            found.append((where, "absent", "a training set"))
        else:
            found += differences(cached, describe_set(reader.plan, reader.store.digest), where)
    return found


def _open(
    reader: SetReader,
    decoder: Decoder,
    number: int,
    shards: Sequence[TokenShard],
    columns: Mapping[str, TokenColumn],
    tokens: Path,
) -> CachedDraws:
    folder = tokens / reader.plan.name
    bad = _bad_rows(reader, shards, folder)
    files = [(shard, folder / shard.file) for shard in shards if shard.file is not None]
    cache = None
    if files:
        locations = tuple(str(path.absolute()) for _, path in files)
        cache = SetReader(replace(reader.plan, shards=locations, missing="keep", source=None))
        _require_whole(cache, files)
    samples_R = np.full(len(reader), -1, dtype=np.int64)
    good_R = np.ones(len(reader), dtype=bool)
    good_R[list(bad)] = False
    samples_R[good_R] = np.arange(len(reader) - len(bad))
    return CachedDraws(reader, decoder, number, cache, samples_R, bad, columns)


def _bad_rows(
    reader: SetReader, shards: Sequence[TokenShard], folder: Path
) -> dict[int, BadSample]:
    """Row -> why it is not in the token shards; every other row is, in order."""
    spans = rows_of_shards(reader)
    if [shard.samples + len(shard.bad) for shard in shards] != [len(span) for span in spans]:
        raise _damaged(folder, "its record does not count the samples of the source")
    found: dict[int, BadSample] = {}
    for span, shard, first in zip(spans, shards, reader.store.starts, strict=True):
        left = {int(reader.rows_R[row]) - first: row for row in span} if shard.bad else {}
        for bad in shard.bad:
            if bad.number not in left:
                raise _damaged(folder, f"its record names a sample {bad.number} that is not there")
            found[left.pop(bad.number)] = bad
    return found


def _require_whole(cache: SetReader, files: Sequence[tuple[TokenShard, Path]]) -> None:
    assert isinstance(cache.store, ShardStore)
    for (shard, path), index in zip(files, cache.store.indexes, strict=True):
        if index.fingerprint.sha256 != shard.digest or len(index.table) != shard.samples:
            raise _damaged(path, "the shard is not the one that was made")
    if len(cache) != len(cache.store):
        raise _damaged(files[0][1].parent, "a sample holds no tokens")


def _damaged(path: Path, what: str) -> ShardError:
    folder = path.parent if path.suffix != ".tar" else path.parent.parent
    return ShardError(
        f"the cached tokens are damaged: {what}",
        where=str(path),
        fix=f"make them again: {command(folder)}",
    )
