"""Items that two data sets share: the same file in training and test makes every figure too good.

Words and labels are equal by nature. So contents count as items only where a modality's files are
mostly different from each other within a set, and short ones only where there are many of them; a
whole sample of several modalities always counts, and so does a whole shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from loretta_framework.data.linting.same_shards import shared_shards
from loretta_framework.data.linting.set_contents import SetContents, same
from loretta_framework.shards.linting.contents import Place
from loretta_framework.shards.linting.findings import Finding, Severity
from loretta_framework.shards.linting.repeats import SMALL

MOSTLY = 0.9
"""Part of a modality's files that must differ from the others of their set to be items."""

MANY = 32
"""Files of a set from which on short ones that mostly differ are taken for sentences, not words."""

Content = tuple[tuple[str, int, int], ...]
"""(local name, size, crc32) of each member of a sample."""


def find_leaks(sets: Sequence[SetContents], modalities: Sequence[str]) -> Iterator[Finding]:
    """Every shard and item that a later set shares with an earlier one, and keys that splits share.

    The items of a shard that is in two splits as a whole are not named one by one.
    """
    for one, other in combinations(sets, 2):
        told, whole = set[tuple[str, str]](), set[str]()
        if one.split != other.split:
            for finding in shared_shards(one, other):
                whole.add(finding.shard)
                yield finding
        for modality in modalities:
            for finding in _shared_items(one, other, modality):
                told.add((finding.shard, finding.key))
                if finding.shard not in whole:
                    yield finding
        for finding in _shared_samples(one, other, modalities):
            if (finding.shard, finding.key) not in told and finding.shard not in whole:
                yield finding
        if one.split != other.split and not whole:
            yield from _shared_keys(one, other)


def _shared_items(one: SetContents, other: SetContents, modality: str) -> Iterator[Finding]:
    many = max(len(_members(one, modality)), len(_members(other, modality))) >= MANY
    for smallest in (1, SMALL) if many else (SMALL,):
        ours, theirs = _items(one, modality, smallest), _items(other, modality, smallest)
        if ours is not None and theirs is not None:
            break
    else:
        return
    _, at_ours, at_theirs = np.intersect1d(ours.ids, theirs.ids, return_indices=True)
    for mine, yours in zip(at_ours.tolist(), at_theirs.tolist(), strict=True):
        first = one.contents.place(int(ours.members[mine]))
        second = other.contents.place(int(theirs.members[yours]))
        if same(one, first, other, second):
            yield _shared(one, other, modality, first, second)


def _shared_samples(
    one: SetContents, other: SetContents, modalities: Sequence[str]
) -> Iterator[Finding]:
    """Samples of several modalities that are the same in all of them."""
    ours, theirs = _samples(one, modalities), _samples(other, modalities)
    for content in ours.keys() & theirs.keys():
        pairs = [
            (one.contents.place(mine), other.contents.place(yours))
            for mine, yours in zip(ours[content], theirs[content], strict=True)
        ]
        if all(same(one, mine, other, yours) for mine, yours in pairs):
            yield _shared(one, other, "sample", *pairs[0])


def _samples(found: SetContents, modalities: Sequence[str]) -> dict[Content, list[int]]:
    """Content of each sample of several modalities -> its members; empty where samples repeat."""
    contents = found.contents
    mapped = {name: found.modality_of(name) for name in contents.names}
    numbers = {contents.names[name] for name, to in mapped.items() if to in modalities}
    members: dict[int, list[int]] = {}
    for member, (sample, name) in enumerate(zip(contents.sample_M, contents.name_M, strict=True)):
        if name in numbers:
            members.setdefault(sample, []).append(member)
    names, samples = list(contents.names), dict[Content, list[int]]()
    several = [items for items in members.values() if len(items) > 1]
    for items in several:
        items.sort(key=lambda member: names[contents.name_M[member]])
        content = tuple(
            (names[contents.name_M[m]], contents.size_M[m], contents.crc_M[m]) for m in items
        )
        samples.setdefault(content, items)
    return samples if len(samples) >= MOSTLY * len(several) else {}


def _shared(
    one: SetContents, other: SetContents, modality: str, first: Place, second: Place
) -> Finding:
    leak = one.split != other.split
    severity: Severity = "error" if leak else "warning"
    what = (
        f"this {modality} of {other.title} lies in {one.title} too: key '{first.key}' of "
        f"{first.shard}"
    )
    fix = (
        "take it out of one of them: a model must not be judged on what it saw"
        if leak
        else "take it out of one of them, unless the pairs are meant to share it"
    )
    code = "leak" if leak else "shared-item"
    return Finding(
        severity,
        code,
        what,
        fix,
        second.shard,
        None if other.store is not None else second.offset,
        second.key,
        second.member,
        other.title,
    )


@dataclass(frozen=True, slots=True)
class _Items:
    """Contents (uint64) and the numbers of their members."""

    ids: NDArray[np.uint64]
    members: NDArray[np.int64]


def _members(found: SetContents, modality: str) -> NDArray[np.int64]:
    """A set's members of a modality that hold anything."""
    members = found.contents.members(lambda name: found.modality_of(name) == modality)
    return members[np.array(found.contents.size_M, np.int64)[members] > 0]


def _items(found: SetContents, modality: str, smallest: int) -> _Items | None:
    """A set's members of a modality that are items; None when there are none.

    Args:
        found: the set.
        modality: which.
        smallest: bytes from which on a member counts.
    """
    contents, members = found.contents, _members(found, modality)
    members = members[np.array(contents.size_M, np.int64)[members] >= smallest]
    if not len(members):
        return None
    ids = contents.content_ids(members)
    if len(np.unique(ids)) < MOSTLY * len(ids):
        return None
    return _Items(ids, members)


def _shared_keys(one: SetContents, other: SetContents) -> Iterator[Finding]:
    common = [key for key in {*one.contents.keys} & {*other.contents.keys} if not _is_number(key)]
    if not common:
        return
    shown = ", ".join(f"'{key}'" for key in sorted(common)[:3])
    what = f"{one.title} and {other.title} share {len(common)} keys that are no numbers: {shown}"
    fix = "if a key names an item, then it must lie in one of them only"
    yield Finding("warning", "shared-key", what, fix, data_set=other.title)


def _is_number(key: str) -> bool:
    """Keys that only count, perhaps behind a word: 000042, img_7."""
    last = key.rpartition("/")[2]
    return last[-1:].isdigit() and not any(c.isdigit() for c in last.rstrip("0123456789"))
