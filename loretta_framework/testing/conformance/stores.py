"""Checks that concern what a `RowSource` opens. Axes: S samples."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from loretta_framework.api.errors import ShardError
from loretta_framework.api.protocols import RowSource, SampleStore
from loretta_framework.testing.conformance import children
from loretta_framework.testing.conformance.checks import NotApplicable, check, require
from loretta_framework.testing.conformance.subject import Subject


@contextmanager
def _opened(subject: Subject) -> Iterator[tuple[Any, list[str], Path]]:
    """A store of the trial's rows, with the patterns and the folder it was opened with."""
    built = subject.build()
    if not isinstance(built, RowSource):
        raise NotApplicable("it has no `open`: its sets are tars")
    if subject.trial.write_shards is None:
        raise NotApplicable("its trial has no `write_shards`")
    with tempfile.TemporaryDirectory() as folder:
        patterns = list(subject.trial.write_shards(Path(folder)))
        yield built.open(patterns, Path(folder)), patterns, Path(folder)


def contents(store: Any) -> list[tuple[str, tuple[tuple[str, bytes], ...]]]:
    """Key, and member names with their bytes, of every sample."""
    found = []
    for sample in range(len(store)):
        names = store.shapes[int(store.shape_S[sample])]
        parts = tuple((name, store.read(sample, place)) for place, name in enumerate(names))
        found.append((store.key(sample), parts))
    return found


@check("source")
def store_is_sound(subject: Subject) -> None:
    """What `open` returns is a `SampleStore` whose parts agree with each other.

    Samples are planned from `shapes`, `shape_S`, `starts` and `size`, long before they are read. `shape_S` is
    uint32 (S,) and counts within `shapes`; `starts` ascends from 0 and stays below S; `size` is the length of
    what `read` returns; keys are unique within a file, and equal keys have equal hashes (uint64).
    """
    with _opened(subject) as (store, _, _):
        require(isinstance(store, SampleStore), f"'{type(store).__name__}' lacks members")
        count, shape_S = len(store), np.asarray(store.shape_S)
        require(count > 0, "the trial's rows gave no samples")
        form = f"but is {shape_S.dtype} {shape_S.shape}"
        right = shape_S.dtype == np.uint32 and shape_S.shape == (count,)
        require(right, f"shape_S must be uint32 ({count},), {form}")
        require(int(shape_S.max()) < len(store.shapes), "shape_S counts beyond `shapes`")
        starts = [int(start) for start in store.starts]
        ascending = starts[:1] == [0] and starts == sorted(set(starts)) and starts[-1] < count
        require(ascending, f"starts must ascend from 0 and stay below {count}, but are {starts}")
        _require_keys(store, starts)
        for sample, (key, parts) in enumerate(contents(store)):
            require(bool(store.place(sample)), f"sample '{key}' has no place")
            for member, (name, data) in enumerate(parts):
                size = store.size(sample, member)
                text = f"'{name}' of '{key}' has {len(data)} bytes, but its size is {size}"
                require(isinstance(data, bytes) and size == len(data), text)


def _require_keys(store: Any, starts: list[int]) -> None:
    hashes_S = np.asarray(store.key_hashes())
    count = len(store)
    right = hashes_S.dtype == np.uint64 and hashes_S.shape == (count,)
    form = f"but are {hashes_S.dtype} {hashes_S.shape}"
    require(right, f"key hashes must be uint64 ({count},), {form}")
    keys = [store.key(sample) for sample in range(count)]
    for first, last in zip(starts, [*starts[1:], count], strict=True):
        require(len(set(keys[first:last])) == last - first, "keys repeat within a file")
    hashed: dict[str, int] = {}
    for key, number in zip(keys, hashes_S.tolist(), strict=True):
        require(hashed.setdefault(key, number) == number, f"'{key}' has two hashes")


@check("source")
def store_opens_again(subject: Subject) -> None:
    """Opened again, and sent to another process, the store holds the same.

    Each worker reads for itself: share no open file, and open anew in the process that reads. `digest` is a
    hash of the contents alone, in hexadecimal, so a set that was moved is the same set.
    """
    with _opened(subject) as (store, patterns, folder):
        wanted = contents(store)
        again = subject.build().open(patterns, folder)
        require(contents(again) == wanted, "opened a second time it holds something else")
        text = f"but are {store.digest!r} and {again.digest!r}"
        plain = isinstance(store.digest, str) and all(c in "0123456789abcdef" for c in store.digest)
        require(
            plain and store.digest != "", f"the digest must be hexadecimal, but is {store.digest!r}"
        )
        require(store.digest == again.digest, f"two digests must be equal, {text}")
        there = children.worker().ask(contents, store).taken()
        require(there == wanted, "in another process it holds something else")
        require(contents(store) == wanted, "after it was sent away it holds something else")


@check("source")
def names_what_is_not_there(subject: Subject) -> None:
    """`open` raises `ShardError` where a pattern matches nothing.

    The user mistyped a path: the message names the pattern and the folder it starts from. Raise
    `loretta_framework.api.errors.ShardError(what, where=..., fix=...)`: an empty store would train on
    nothing.
    """
    built = subject.build()
    if not isinstance(built, RowSource):
        raise NotApplicable("it has no `open`: its sets are tars")
    with tempfile.TemporaryDirectory() as folder:
        try:
            built.open(["no such file.*"], Path(folder))
        except ShardError as error:
            text = f"the message must name the pattern, but is: {error}"
            require("no such file" in str(error), text)
            return
    require(False, "a pattern that matches nothing was opened")
