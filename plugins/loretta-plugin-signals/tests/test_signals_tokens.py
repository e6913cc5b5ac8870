"""Tokens and back: error bounds, foreign ids, fitted state, patches as vectors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from loretta_plugin_signals.levels import Levels, LevelsSettings
from loretta_plugin_signals.patch_codes import PatchCodes, PatchCodesSettings
from loretta_plugin_signals.patches import Patches, PatchesSettings

few = settings(max_examples=30, deadline=None)

VALUES = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 20), st.just(2)),
    elements=st.floats(-1000, 1000, width=32),
)


def waves(count: int, steps: int = 16, seed: int = 0) -> list[Any]:
    random = np.random.default_rng(seed)
    phase = random.uniform(0, 6, (count, 1, 2))
    return list(np.sin(np.arange(steps)[:, None] / 3 + phase).astype(np.float32) * (1, 10))


@few
@given(VALUES, st.integers(2, 300))
def test_within_the_range_half_a_level_is_lost(value: Any, count: int) -> None:
    ranges = [[-1000.0, 1000.0]]
    chosen = LevelsSettings(channels=2, longest=20, levels=count, scaling="fixed", ranges=ranges)
    tokenizer = Levels(chosen)
    tokenizer.fit([value], 0)
    ids = tokenizer.encode(value)
    assert len(ids) == value.size
    assert ids.min() >= 0
    assert ids.max() < chosen.bounds().vocab_size
    error = np.abs(tokenizer.decode(ids) - value).max()
    assert error <= 1000 / (count - 1) * (1 + 1e-5)


@few
@given(VALUES)
def test_outside_the_range_its_end_counts(value: Any) -> None:
    chosen = LevelsSettings(
        channels=2, longest=20, levels=201, scaling="fixed", ranges=[[-1.0, 1.0], [0.0, 500.0]]
    )
    tokenizer = Levels(chosen)
    told = tokenizer.fit([value], 0)
    restored = tokenizer.decode(tokenizer.encode(value))
    np.testing.assert_allclose(restored, value.clip((-1, 0), (1, 500)), atol=1.26)
    assert told["outside_c0"] == pytest.approx((np.abs(value[:, 0]) > 1).mean())


@few
@given(st.lists(st.integers(0, 9), min_size=2, max_size=40))
def test_any_ids_decode(ids: list[int]) -> None:
    chosen = LevelsSettings(
        channels=["x", "y"], longest=20, levels=[4, 6], scaling="fixed", ranges=[[0.0, 1.0]]
    )
    tokenizer = Levels(chosen)
    tokenizer.fit([np.zeros((1, 2), dtype=np.float32)], 0)
    value = tokenizer.decode(np.array(ids))
    assert value.shape == (len(ids) // 2, 2)
    part = [id / 3 if id < 4 else (id - 4) / 5 for id in ids][: len(ids) // 2 * 2]
    np.testing.assert_allclose(value.ravel(), part, atol=1e-6)


@pytest.mark.parametrize("scaling", ["quantiles", "mean_std"])
def test_ranges_are_learned_per_channel(scaling: Any) -> None:
    chosen = LevelsSettings(channels=2, steps=16, levels=256, scaling=scaling, deviations=2.0)
    tokenizer = Levels(chosen)
    values = waves(200)
    assert tokenizer.fit(values, 0)["steps"] == 3200
    restored = [tokenizer.decode(tokenizer.encode(value)) for value in values]
    error_C = np.abs(np.array(restored) - values).max(axis=(0, 1))
    assert (error_C < (0.02, 0.2)).all()


def test_one_outlier_does_not_stretch_robust_ranges() -> None:
    values = waves(100)
    values[0] = values[0].copy()
    values[0][0, 0] = 1e6
    tokenizer = Levels(LevelsSettings(channels=2, steps=16, levels=64))
    tokenizer.fit(values, 0)
    assert np.abs(tokenizer.decode(tokenizer.encode(values[1])) - values[1])[:, 0].max() < 0.05


def test_a_channel_that_stands_still_keeps_its_value() -> None:
    still = np.full((4, 1), 7.0, dtype=np.float32)
    tokenizer = Levels(LevelsSettings(channels=1, longest=4, levels=65))
    tokenizer.fit([still], 0)
    assert np.array_equal(tokenizer.decode(tokenizer.encode(still)), still)


def test_draws_of_many_steps_stay_bounded() -> None:
    block = np.linspace(0, 1, 100_000, dtype=np.float32)[:, None]
    tokenizer = Levels(LevelsSettings(channels=1, longest=100_000))
    told = tokenizer.fit((block for _ in range(9)), 0)
    assert 100_000 < told["steps"] <= 262_144


def test_wrong_numbers_of_ids_are_refused() -> None:
    tokenizer = Levels(LevelsSettings(channels=2, longest=2))
    with pytest.raises(ValueError, match=r"ids must be 2..4, but are 1"):
        tokenizer.decode(np.array([0]))
    codes = PatchCodes(PatchCodesSettings(channels=2, steps=16, patch=4))
    with pytest.raises(ValueError, match=r"ids must be 4..4, but are 3"):
        codes.decode(np.array([0, 0, 0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"about": {}, "low": [0], "high": [1]}', "were fitted for {}, but the settings ask"),
        ('{"about": ABOUT, "low": [0], "high": [1]}', "must be 2 pairs in order"),
        ('{"about": ABOUT, "low": [1, 0], "high": [0, 1]}', "must be 2 pairs in order"),
        ('{"about": ABOUT, "low": [0, 0], "high": [Infinity, 1]}', "must be finite"),
    ],
)
def test_damaged_ranges_are_refused(tmp_path: Path, text: str, message: str) -> None:
    chosen = LevelsSettings(channels=2, steps=16)
    tokenizer = Levels(chosen)
    tokenizer.fit(waves(2), 0)
    tokenizer.save(tmp_path)
    file = tmp_path / "ranges.json"
    about = file.read_text().partition('"about": ')[2].partition("}")[0] + "}"
    file.write_text(text.replace("ABOUT", about))
    with pytest.raises(ValueError, match=message):
        Levels(chosen).load(tmp_path)


def test_patch_codes_learn_patches(tmp_path: Path) -> None:
    settings = PatchCodesSettings(channels=2, longest=16, patch=4, codes=64)
    tokenizer = PatchCodes(settings)
    values = waves(300)
    told = tokenizer.fit(values, 0)
    assert told["explained"] > 0.95
    ids = tokenizer.encode(values[0][:14])
    assert len(ids) == 4
    assert tokenizer.decode(ids).shape == (16, 2)  # whole patches
    tokenizer.save(tmp_path)
    with pytest.raises(ValueError, match=r"fitted for .*'patch': 4"):
        PatchCodes(settings.model_copy(update={"patch": 2})).load(tmp_path)


def test_patches_hold_the_normalised_series() -> None:
    value = waves(1)[0].astype(np.float32)
    vectors = Patches(PatchesSettings(channels=2, steps=16, patch=4)).preprocess(value)
    assert vectors.shape == (4, 8)
    assert vectors.dtype == np.float32
    series = vectors.reshape(16, 2)
    np.testing.assert_allclose(series.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(series.std(axis=0), 1, atol=1e-5)
    ranges = [[-1.0, 1.0], [-10.0, 10.0]]
    fixed = PatchesSettings(channels=2, steps=16, patch=4, normalise="fixed", ranges=ranges)
    np.testing.assert_allclose(
        Patches(fixed).preprocess(value).reshape(16, 2), value / (1, 10), atol=1e-6
    )
    still = np.full((16, 2), 0.1, dtype=np.float32)
    assert not Patches(PatchesSettings(channels=2, steps=16, patch=4)).preprocess(still).any()


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_networks_give_a_vector_a_patch(kind: Any) -> None:
    settings = PatchesSettings(channels=2, steps=16, patch=4, network=kind, width=5)
    network: Any = Patches(settings).network()
    features = torch.randn(3, 4, 8, requires_grad=True)
    vectors = network(features)
    assert vectors.shape == (3, 4, 5)
    assert network.width == 5
    vectors[:, 0].sum().backward()
    assert features.grad is not None
    seen = features.grad.abs().sum(dim=(0, 2)) > 0
    assert seen.tolist() == (
        [True, False, False, False] if kind == "linear" else [True] * 3 + [False]
    )


def test_without_a_network_patches_are_vectors() -> None:
    patches = Patches(PatchesSettings(channels=2, steps=16, patch=4))
    assert patches.network() is None
    assert patches.width == patches.preprocess(waves(1)[0]).shape[1] == 8
