"""Keys and samples that occur more than once among shards that are used together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b

import numpy as np

from loretta_framework.shards.linting.contents import Contents, same_content
from loretta_framework.shards.linting.findings import Finding
from loretta_framework.shards.members import META, SEQUENCE

_NUMBER = re.compile(r"[-_.]?\d+$")

SMALL = 32
"""Bytes below which two samples with the same content may well be two samples: labels, words."""


def repeated_keys(contents: Contents) -> Iterator[Finding]:
    """Keys that two shards of one set share; within one shard `lint_shard` names them."""
    first: dict[str, int] = {}
    for sample, key in enumerate(contents.keys):
        shard = contents.shard_N[sample]
        other = first.setdefault(key, shard)
        if other != shard:
            yield _same_key(contents, other, shard, key)


def keys_of_series(contents: Contents) -> Iterator[Finding]:
    """As `repeated_keys`, for shards of which nobody says what belongs together.

    Shards whose names differ in their last number only are taken for one set. Others may be sets of
    their own, which may use the same keys.
    """
    first: dict[tuple[str, str], int] = {}
    anywhere: dict[str, int] = {}
    shared: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
    for sample, key in enumerate(contents.keys):
        shard = contents.shard_N[sample]
        place = contents.shards[shard]
        other = first.setdefault((series_of(place), key), shard)
        if other != shard:
            yield _same_key(contents, other, shard, key)
        elsewhere = anywhere.setdefault(key, shard)
        series = series_of(contents.shards[elsewhere]), series_of(place)
        if series[0] != series[1]:
            shared.setdefault(series, []).append((elsewhere, shard, key))
    for found in shared.values():
        other, shard, key = found[0]
        what = (
            f"{contents.shards[other]} holds the same key; shards of these names share {len(found)}"
        )
        fix = "rename the samples if the two are to be one set"
        yield Finding("warning", "shared-key", what, fix, contents.shards[shard], None, key)


def series_of(shard: str) -> str:
    """What the names of shards that belong together have in common."""
    return _NUMBER.sub("", shard.removesuffix(".tar"))


def _same_key(contents: Contents, other: int, shard: int, key: str) -> Finding:
    what = f"{contents.shards[other]} holds the same key"
    fix = "rename the samples, or declare the shards as two sets"
    return Finding("error", "duplicate-key", what, fix, contents.shards[shard], None, key)


def repeated_samples(contents: Contents) -> Iterator[Finding]:
    """Samples all of whose members, facts and order aside, are those of an earlier sample."""
    first: dict[bytes, list[int]] = {}
    for members in _samples(contents):
        sizes = sum(contents.size_M[member] for member in members)
        if sizes < SMALL:
            continue
        earlier = first.setdefault(_digest(contents, members), members)
        if earlier is members or not _same(contents, earlier, members):
            continue
        original, place = contents.place(earlier[0]), contents.place(members[0])
        what = f"it is the same as key '{original.key}' of {original.shard}"
        fix = "take one of them out: what is held twice is drawn twice"
        yield Finding(
            "warning", "duplicate-sample", what, fix, place.shard, place.offset, place.key
        )


def _samples(contents: Contents) -> Iterator[list[int]]:
    """Numbers of the members of each sample that hold modalities."""
    facts = np.isin(
        np.array(contents.name_M, np.int64),
        [number for name, number in contents.names.items() if name in (META, SEQUENCE)],
    )
    samples_M = np.array(contents.sample_M, np.int64)
    ends = np.flatnonzero(np.diff(samples_M)) + 1
    for members in np.split(np.arange(len(samples_M)), ends):
        kept = [int(member) for member in members if not facts[member]]
        if kept:
            yield sorted(kept, key=lambda member: contents.name_M[member])


def _digest(contents: Contents, members: list[int]) -> bytes:
    facts = [
        (contents.name_M[member], contents.size_M[member], contents.crc_M[member])
        for member in members
    ]
    return blake2b(repr(facts).encode(), digest_size=8).digest()


def _same(contents: Contents, earlier: list[int], members: list[int]) -> bool:
    pairs = [(contents.place(a), contents.place(b)) for a, b in zip(earlier, members, strict=False)]
    return len(earlier) == len(members) and all(same_content(*pair) for pair in pairs)
