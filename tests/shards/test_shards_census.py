"""Counting from fresh indexes alone gives what the store gives, and nothing where one is not fresh."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from loretta_framework.shards.census import take_census
from loretta_framework.shards.index import index_path, open_index
from loretta_framework.shards.writing import ShardWriter

SHAPES = (("text.txt",), ("image.png", "text.txt"), ("image.png",), ("meta.json", "speech.wav"))
shards = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=3)


def write(folder: Path, shapes: list[list[int]]) -> list[str]:
    places = []
    for number, samples in enumerate(shapes):
        with ShardWriter(folder, f"part{number}") as writer:
            for sample, shape in enumerate(samples):
                writer.write(f"{number}-{sample}", dict.fromkeys(SHAPES[shape], b"{}"))
        (place,) = folder.glob(f"part{number}-*.tar")
        places.append(str(place))
    return places


@settings(max_examples=30, deadline=None)
@given(shards)
def test_counts_shapes_and_digest_are_those_of_the_store(shapes: list[list[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        places = write(Path(folder), shapes)
        store = open_index(places)
        census = take_census(places)
        assert census is not None
        numbers = Counter(store.shape_S.tolist())
        assert census.shapes == tuple(store.shapes)
        assert census.counts == tuple(numbers[place] for place in range(len(store.shapes)))
        assert census.digest == store.digest


@pytest.mark.parametrize("fault", ["absent", "stale", "damaged", "cut", "shard gone"])
def test_an_index_that_is_not_fresh_gives_no_census(tmp_path: Path, fault: str) -> None:
    (place,) = write(tmp_path, [[0, 1, 1]])
    open_index([place])
    assert take_census([place]) is not None
    index = index_path(place)
    data = bytearray(index.read_bytes())
    if fault == "absent":
        index.unlink()
    elif fault == "stale":
        os.utime(place, ns=(1, 1))
    elif fault == "damaged":
        data[-1] ^= 1
        index.write_bytes(data)
    elif fault == "cut":
        index.write_bytes(data[:-8])
    else:
        Path(place).unlink()
    assert take_census([place]) is None


def test_a_url_is_left_to_the_store() -> None:
    assert take_census(["https://nowhere.invalid/a.tar"]) is None
