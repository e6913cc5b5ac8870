"""What codebook tokenizers share: their fitted state, and the check of ids."""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from loretta_framework.api.codebook import MAX_VECTORS, Codebook
from loretta_framework.api.ids import checked_ids
from loretta_framework.api.random import generator
from loretta_framework.api.trigrams import trigram_features


def vectors(count: int = 300) -> np.ndarray:
    return generator(0, "test/vectors").random((count, 3), np.float32)


def test_figures_say_how_good_the_fit_is() -> None:
    coarse, fine = (Codebook(k, 3, {}).fit([vectors()], 0) for k in (2, 100))
    assert coarse["vectors"] == fine["vectors"] == 300
    assert 0 < coarse["explained"] < 0.6 < 0.9 < fine["explained"] < 1
    assert fine["distortion"] < coarse["distortion"]
    assert (coarse["codes_used"], fine["codes_used"]) == (2, 100)


def test_a_fit_looks_at_a_bounded_number_of_vectors() -> None:
    block = vectors(10_000)
    figures = Codebook(2, 3, {}).fit((block for _ in range(6)), 0)
    assert figures["vectors"] == MAX_VECTORS < 60_000


def test_a_saved_codebook_replaces_an_older_one_whole(tmp_path: Path) -> None:
    first, second = Codebook(4, 3, {"a": (1, 2)}), Codebook(4, 3, {"a": [1, 2]})
    first.fit([vectors()], 0)
    second.fit([vectors()], 1)
    first.save(tmp_path)
    second.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["codebook.json", "codebook.npy"]
    first.load(tmp_path)
    assert np.array_equal(first.decode(np.arange(4)), second.decode(np.arange(4)))


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64])
def test_whole_numbers_of_any_width_are_ids(kind: type) -> None:
    ids = checked_ids(np.array([0, 7], kind), 8)
    assert ids.dtype == np.int64
    assert list(ids) == [0, 7]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0.0], r"ids must be integers \(T,\), but are float64 \(1,\)"),
        ([[0]], r"but are int64 \(1, 1\)"),
        ([True], "but are bool"),
        ([3, 8], r"ids must lie in 0\.\.7, but span 3\.\.8"),
        ([-1], r"but span -1\.\.-1"),
    ],
)
def test_what_is_no_id_is_refused(ids: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_ids(ids, 8)


def test_trigrams_of_a_text_are_the_same_on_every_machine() -> None:
    features = trigram_features("one")
    assert list(np.flatnonzero(features)) == sorted(
        crc32(t) % 512 for t in (b" on", b"one", b"ne ")
    )
    assert features.max() == pytest.approx(np.log(2))
