"""k-means: what tokenizers rely on."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from loretta_framework.api import kmeans
from loretta_framework.api.kmeans import assign, distortion, draw_vectors, fit_kmeans
from loretta_framework.api.random import generator


def blobs(count: int = 600, centres: int = 6) -> np.ndarray:
    random = generator(0, "test/blobs")
    middles = random.normal(size=(centres, 3)) * 20
    return (middles[np.arange(count) % centres] + random.normal(size=(count, 3))).astype(np.float32)


def random() -> np.random.Generator:
    return generator(5, "test/kmeans")


def test_it_finds_separated_blobs() -> None:
    vectors = blobs()
    centroids = fit_kmeans(vectors, 6, random())
    assert centroids.dtype == np.float32
    assert centroids.shape == (6, 3)
    ids = assign(vectors, centroids)
    assert ids.dtype == np.int64
    assert all(len(set(ids[blob::6])) == 1 for blob in range(6))
    assert distortion(vectors, centroids) < 4  # three axes of variance 1


def test_more_iterations_never_raise_the_distortion() -> None:
    vectors = generator(1, "test/uniform").random((900, 4), np.float32)
    figures = [distortion(vectors, fit_kmeans(vectors, 20, random(), n)) for n in range(12)]
    assert all(b <= a * (1 + 1e-6) for a, b in itertools.pairwise(figures))
    assert figures[-1] < 0.9 * figures[0]


def test_assign_is_the_nearest_centroid_also_far_from_zero() -> None:
    vectors = generator(2, "test/far").random((300, 5), np.float32) + 1000
    centroids = fit_kmeans(vectors, 7, random())
    gaps = vectors[:, None].astype(np.float64) - centroids[None].astype(np.float64)
    assert np.array_equal(assign(vectors, centroids), (gaps**2).sum(-1).argmin(1))


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = blobs(500)
    whole = fit_kmeans(vectors, 9, random())
    monkeypatch.setattr(kmeans, "BLOCK", 7)
    assert np.allclose(fit_kmeans(vectors, 9, random()), whole, atol=1e-4)


@pytest.mark.parametrize("k", [4, 5, 40])
def test_more_centroids_than_vectors_are_repetitions_without_ids(k: int) -> None:
    vectors = np.array([[0, 0], [1, 0], [0, 1], [5, 5]], np.float32)
    centroids = fit_kmeans(vectors, k, random())
    assert centroids.shape == (k, 2)
    assert {tuple(row) for row in centroids} == {tuple(row) for row in vectors}
    assert len(set(assign(centroids, centroids))) == 4
    assert distortion(vectors, centroids) == 0


def test_equal_vectors_give_one_id() -> None:
    vectors = np.full((50, 3), 0.25, np.float32)
    centroids = fit_kmeans(vectors, 8, random())
    assert np.array_equal(centroids, np.full((8, 3), 0.25, np.float32))
    assert set(assign(vectors, centroids)) == {0}


def test_empty_clusters_are_put_to_use(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = blobs(60)
    monkeypatch.setattr(kmeans, "_spread", lambda vectors, k, random: np.repeat(vectors[:1], k, 0))
    centroids = fit_kmeans(vectors, 6, random())
    assert set(assign(vectors, centroids)) == set(range(6))
    assert distortion(vectors, centroids) < distortion(vectors, vectors.mean(0)[None]) / 2


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import sys; sys.path.insert(0, '.'); import numpy as np;"
        "from loretta_framework.api.kmeans import fit_kmeans;"
        "from loretta_framework.api.random import generator;"
        "x = generator(3, 'x').random((200, 3), np.float32);"
        "print(fit_kmeans(x, 11, generator(4, 'k')).tobytes().hex())"
    )
    vectors = generator(3, "x").random((200, 3), np.float32)
    here = fit_kmeans(vectors, 11, generator(4, "k")).tobytes().hex()
    command = [sys.executable, "-c", code]
    there = subprocess.run(command, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here
    assert fit_kmeans(vectors, 11, generator(5, "k")).tobytes().hex() != here


@settings(max_examples=60, deadline=None)
@given(
    vectors=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
        elements=st.floats(-1000, 1000, width=32),
    ),
    k=st.integers(1, 20),
)
def test_any_vectors_give_finite_centroids_and_ids_in_range(vectors: np.ndarray, k: int) -> None:
    centroids = fit_kmeans(vectors, k, random(), 5)
    ids = assign(vectors, centroids)
    assert centroids.shape == (k, vectors.shape[1])
    assert np.isfinite(centroids).all()
    assert ids.min() >= 0
    assert ids.max() < k
    assert (
        distortion(vectors, centroids) <= distortion(vectors, vectors.mean(0)[None]) * 1.001 + 1e-3
    )


def test_drawn_vectors_are_a_uniform_part_in_order() -> None:
    blocks = [
        np.arange(start, start + 10, dtype=np.float32)[:, None] for start in range(0, 1000, 10)
    ]
    drawn = draw_vectors(iter(blocks), 200, random())[:, 0]
    assert len(set(drawn)) == 200
    assert np.array_equal(drawn, np.sort(drawn))
    assert 60 < (drawn < 500).sum() < 140
    assert np.array_equal(draw_vectors(blocks, 5000, random()), np.concatenate(blocks))


@pytest.mark.parametrize(
    ("vectors", "k", "message"),
    [
        (np.zeros((0, 3), np.float32), 2, r"\(N, D\) with N, D >= 1, but are \(0, 3\)"),
        (np.zeros(3, np.float32), 2, r"but are \(3,\)"),
        (np.array([[np.nan]], np.float32), 2, "must be finite"),
        (np.zeros((2, 2), np.float32), 0, "k must be at least 1, but is 0"),
    ],
)
def test_bad_input_is_refused(vectors: np.ndarray, k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_kmeans(vectors, k, random())


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value to fit on"):
        draw_vectors([], 5, random())
