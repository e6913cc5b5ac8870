"""Decoded samples for judging a model: values beside tokens, never augmented."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loretta_framework.api.errors import InputError, ShardError
from loretta_framework.api.protocols import Source, Tokenizer
from loretta_framework.data.decode import BadRow, DecodeFailure, Decoder, byte_limits
from loretta_framework.data.sample import SetReader, open_sets
from loretta_framework.recipe.plan import Plan, SetPlan
from loretta_framework.sequence.rows import TokenizedSample


@dataclass(frozen=True, slots=True)
class ValueSample:
    """A sample with what people and classifiers judge.

    Attributes:
        key: "<set>/<key>".
        label: its class, None when the set declares none.
        parts: (modality, value) in the order of `tokens.parts`.
        tokens: the same sample tokenized.
    """

    key: str
    label: str | None
    parts: tuple[tuple[str, Any], ...]
    tokens: TokenizedSample


def read_values(
    plan: Plan,
    modalities: Mapping[str, Tokenizer],
    split: str,
    limit: int | None = None,
    sources: Mapping[str, Source] | None = None,
) -> list[ValueSample]:
    """The samples of a split's sets, in shard order.

    Args:
        plan: names the sets.
        modalities: name -> tokenizer, fitted.
        split: "train", "validation" or "test"; [] when the recipe has none.
        limit: at most so many, spread evenly over the split.
        sources: built sources by "<split>/<set>".

    Raises:
        ShardError: a set cannot be opened, or a sample cannot be decoded: a figure over the rest
            would be a figure of other data.
    """
    return _read(open_sets(plan.split(split), sources), plan, modalities, limit)


def read_shards(
    plan: Plan,
    modalities: Mapping[str, Tokenizer],
    shards: Sequence[str | Path],
    label: str | None = None,
    limit: int | None = None,
) -> list[ValueSample]:
    """The samples of any shards, as `read_values` gives them; member names are the modalities.

    Args:
        plan: names the modalities.
        modalities: name -> tokenizer, fitted.
        shards: existing tars or URLs; the set is called "data".
        label: where a sample's class stands, for example `meta.digit`.
        limit: at most so many, spread evenly.

    Raises:
        InputError: no shard was named.
        ShardError: a shard cannot be read, holds no modality of the plan, or a sample is damaged.
    """
    if not shards:
        raise InputError("no shard was named", fix="name at least one .tar file")
    found = SetPlan(
        name="data",
        split="test",
        shards=tuple(str(shard) for shard in shards),
        modalities=tuple(modality.name for modality in plan.modalities),
        share=1.0,
        missing="keep",
        label=label,
        samples=0,
        combinations=(),
        source=None,
    )
    return _read([SetReader(found)], plan, modalities, limit)


def spread(total: int, limit: int | None) -> Iterator[int]:
    """At most `limit` numbers of 0..total-1 in order, evenly spread: sets are often sorted."""
    if limit is None or limit >= total:
        return iter(range(total))
    return (index * total // limit for index in range(limit))


def _read(
    readers: Sequence[SetReader],
    plan: Plan,
    modalities: Mapping[str, Tokenizer],
    limit: int | None,
) -> list[ValueSample]:
    decoder = Decoder(modalities, plan.vocabulary, max_bytes=byte_limits(plan))
    rows = [(reader, row) for reader in readers for row in range(len(reader))]
    try:
        return [_one(decoder, *rows[index]) for index in spread(len(rows), limit)]
    except DecodeFailure as failure:
        raise undecodable(failure.row) from failure


def _one(decoder: Decoder, reader: SetReader, row: int) -> ValueSample:
    raw = decoder.raw(reader, row)
    values = decoder.values(reader, row, raw)
    tokens = decoder.encode(reader, row, raw, values)
    return ValueSample(raw.key, raw.label, tuple(values), tokens)


def undecodable(row: BadRow) -> ShardError:
    """The error for a sample that must be there but cannot be decoded."""
    return ShardError(
        f"the sample cannot be used: {row.cause}",
        where=f"{row.shard}, key '{row.key}', modality or member '{row.modality}'",
        fix="mend the sample or take it out of the shard",
    )
