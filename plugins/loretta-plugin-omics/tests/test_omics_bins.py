"""`omics.bins`: the bins themselves. Axes: N rows, F features."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings as effort, strategies as st
from loretta_plugin_omics.profile import Profile
from loretta_plugin_omics.rows import drawn_rows
from loretta_plugin_omics.settings import BinsSettings
from loretta_plugin_omics.tokenizer import Bins, build
from pydantic import ValidationError

from loretta_framework.api import generator

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
FEW = st.sampled_from([-1.5, 0.0, 0.25, 7.0])
COLUMNS = st.lists(st.one_of(FLOATS, FEW, st.just(math.nan)), min_size=1, max_size=60)


def fitted(values_NF: Any, bins: int = 8, **settings: Any) -> tuple[Bins, dict[str, float]]:
    values_NF = np.asarray(values_NF, np.float32)
    names = tuple(f"g{feature}" for feature in range(values_NF.shape[1]))
    tokenizer = build(BinsSettings(features=len(names), bins=bins, **settings))
    figures = tokenizer.fit([Profile.measured(names, row) for row in values_NF], seed=0)
    return tokenizer, dict(figures)


def column(tokenizer: Bins, value: float) -> tuple[int, Profile]:
    ids = tokenizer.encode(tokenizer.parse([value]))
    return int(ids[0]), tokenizer.decode(ids)


@effort(deadline=None, max_examples=150)
@given(COLUMNS, st.integers(2, 20))
def test_bins_are_monotone_and_hold_their_values(values: list[float], bins: int) -> None:
    tokenizer, _ = fitted([[value] for value in values], bins)
    present = sorted(value for value in values if not math.isnan(value))
    found = [column(tokenizer, value) for value in present]
    ids = [number for number, _ in found]
    assert ids == sorted(ids)
    assert all(0 <= number < bins for number in ids)
    for value, (number, restored) in zip(present, found, strict=True):
        (lower,), (median,), (upper,) = restored.lower, restored.values, restored.upper
        assert lower <= median <= upper
        assert lower <= np.float32(value) <= upper
        assert column(tokenizer, float(median))[0] == number


@effort(deadline=None, max_examples=50)
@given(COLUMNS, st.integers(2, 20))
def test_every_id_decodes_in_order_and_only_the_last_is_missing(
    values: list[float], bins: int
) -> None:
    if all(math.isnan(value) for value in values):
        values = [*values, 1.0]
    tokenizer, _ = fitted([[value] for value in values], bins)
    every = [tokenizer.decode(np.array([number])) for number in range(bins + 1)]
    medians = [float(profile.values[0]) for profile in every]
    assert medians[:-1] == sorted(medians[:-1])
    assert np.isnan([every[-1].values, every[-1].lower, every[-1].upper]).all()
    assert column(tokenizer, math.nan)[0] == bins


@effort(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 10**6), unique=True, min_size=16, max_size=80))
def test_distinct_values_fill_the_bins_evenly(values: list[int]) -> None:
    tokenizer, figures = fitted([[value] for value in values], 8)
    counts = np.bincount([column(tokenizer, value)[0] for value in values], minlength=8)
    assert counts.max() - counts.min() <= 1
    assert figures["bins_used"] == 1


def test_a_value_that_fills_half_of_the_rows_has_a_bin_of_its_own() -> None:
    values = [-3, -2, -1] + [0] * 10 + [1, 2, 3, 4, 5, 6, 7]
    tokenizer, _ = fitted([[value] for value in values], 8)
    number, restored = column(tokenizer, 0)
    assert restored.values == [0]
    assert column(tokenizer, -1)[0] < number < column(tokenizer, 1)[0]


def test_constant_and_binary_features_come_back_exactly() -> None:
    values_NF = [[4.5, n % 2] for n in range(30)]
    tokenizer, figures = fitted(values_NF, 16)
    for row in values_NF:
        restored = tokenizer.decode(tokenizer.encode(tokenizer.parse(row)))
        assert restored.values.tolist() == row
    assert column_bins(tokenizer, 1) == [0] * 8 + [1] * 8
    assert figures["explained"] == 1
    assert figures["bins_used"] == 3 / 32


def column_bins(tokenizer: Bins, feature: int) -> list[float]:
    return [float(tokenizer.decode(np.array([n, n])).values[feature]) for n in range(16)]


def test_neighbouring_floats_are_told_apart() -> None:
    low = np.float32(1)
    high = np.nextafter(low, np.float32(2))
    tokenizer, _ = fitted([[low], [high]], 2)
    assert [column(tokenizer, float(value))[0] for value in (low, high)] == [0, 1]


def test_values_beyond_the_training_rows_count_as_the_outermost() -> None:
    tokenizer, _ = fitted([[n] for n in range(10)], 5)
    assert column(tokenizer, -1e30)[0] == 0
    number, restored = column(tokenizer, 1e30)
    assert number == 4
    assert restored.upper == [9]


def test_a_feature_that_was_never_measured_is_missing_for_ever() -> None:
    tokenizer, figures = fitted([[1, math.nan], [2, math.nan]], 4)
    assert figures["never_measured"] == 1
    assert figures["missing"] == 0.5
    ids = tokenizer.encode(tokenizer.parse([1, 5]))
    assert ids.tolist() == [0, 4]
    assert np.isnan(tokenizer.decode(np.array([0, 0])).values).tolist() == [False, True]
    assert tokenizer.features(tokenizer.parse([1, 5])).tolist() == [[[-1.0, 0.0]]]


def test_features_for_judges_are_z_scores() -> None:
    random = np.random.default_rng(0)
    values_NF = random.normal([3, -50, 1], [1, 20, 0], (200, 3)).astype(np.float32)
    tokenizer, _ = fitted(values_NF)
    scores = np.stack([tokenizer.features(tokenizer.parse(row)) for row in values_NF])
    assert scores.shape == (200, 1, 1, 3)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scores.std(axis=0).ravel(), [1, 1, 0], atol=1e-4)
    far = tokenizer.features(tokenizer.parse([3e38, math.nan, 1]))
    assert far.ravel().tolist() == [10, 0, 0]


def test_hidden_features_are_drawn_from_the_generator_alone() -> None:
    tokenizer, _ = fitted(np.arange(4000).reshape(2, 2000), augment={"missing": 0.1})
    value = tokenizer.parse(np.arange(2000))
    first, second = (tokenizer.augment(value, generator(3, "test")) for _ in range(2))  # type: ignore[attr-defined]
    np.testing.assert_array_equal(first.values, second.values)
    assert 150 < np.isnan(first.values).sum() < 250
    kept = ~np.isnan(first.values)
    assert (tokenizer.encode(first)[kept] == tokenizer.encode(value)[kept]).all()
    assert not np.isnan(value.values).any()


def test_nothing_is_augmented_unless_asked_for() -> None:
    assert not hasattr(build(BinsSettings(features=3)), "augment")


def test_large_tables_are_sampled() -> None:
    rows = [np.array([n], np.float32) for n in range(1000)]
    drawn = [drawn_rows(rows, 1, np.random.default_rng(seed), max_cells=50) for seed in range(40)]
    assert {values.shape for values in drawn} == {(50, 1)}
    assert len(np.unique(drawn[0])) == 50
    assert abs(np.mean(drawn) - 499.5) < 30
    assert drawn_rows(rows, 1, np.random.default_rng(0)).shape == (1000, 1)


def test_state_comes_back(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    tokenizer, _ = fitted(random.normal(size=(40, 5)))
    tokenizer.save(tmp_path / "state")
    same = build(BinsSettings(features=5, bins=8))
    same.load(tmp_path / "state")
    ids = random.integers(0, 9, 5)
    np.testing.assert_array_equal(same.decode(ids).values, tokenizer.decode(ids).values)
    value = same.parse({"g3": 0.5})
    np.testing.assert_array_equal(same.encode(value), tokenizer.encode(value))
    np.testing.assert_array_equal(same.features(value), tokenizer.features(value))
    same.save(tmp_path / "again")
    for path in (tmp_path / "state").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"features": 4, "bins": 8},
            r"fitted for 5 features \(g0, g1, g2, ...\), but .* ask for 4",
        ),
        ({"features": ("g0", "g1", "g2", "g4", "g3"), "bins": 8}, "fit it again"),
        ({"features": 5, "bins": 9}, "fitted with 8 bins, but the settings ask for 9"),
    ],
)
def test_state_of_other_settings_is_refused(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    tokenizer, _ = fitted(np.arange(50).reshape(10, 5))
    tokenizer.save(tmp_path)
    with pytest.raises(ValueError, match=message):
        build(BinsSettings(**settings)).load(tmp_path)


def damage_order(folder: Path) -> None:
    table = np.load(folder / "bins.npy")
    table[0, :7] = table[0, 6::-1]
    np.save(folder / "bins.npy", table)


def damage_shape(folder: Path) -> None:
    np.save(folder / "bins.npy", np.load(folder / "bins.npy")[:, 1:])


def damage_names(folder: Path) -> None:
    (folder / "features.json").write_text(json.dumps({"bins": 8}))


def damage_file(folder: Path) -> None:
    (folder / "bins.npy").write_bytes((folder / "bins.npy").read_bytes()[:-9])


def damage_absent(folder: Path) -> None:
    (folder / "features.json").unlink()


def damage_table(columns: Any, change: Any) -> Any:
    """Change columns of the table of 8 bins: 7 cuts, 8 medians, 8 lower, 8 upper, mean, deviation."""

    def damage(folder: Path) -> None:
        table = np.load(folder / "bins.npy")
        table[:, columns] = change(table[:, columns])
        np.save(folder / "bins.npy", table)

    return damage


def damage_features(features: Any) -> Any:
    def damage(folder: Path) -> None:
        (folder / "features.json").write_text(json.dumps({"bins": 8, "features": features}))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_table(slice(None), lambda part: part * np.nan), "the cuts between bins"),
        (damage_table(slice(7, 31), lambda part: part * np.nan), "must be finite, or all be NaN"),
        (damage_table(30, lambda part: part * np.nan), "must be finite, or all be NaN"),
        (damage_table(31, lambda part: part + np.inf), "must be finite, or all be NaN"),
        (damage_table(slice(7, 15), lambda part: part + 99), "must lie between its ends"),
        (damage_table(slice(23, 31), lambda part: part - 99), "must lie between its ends"),
        (damage_table(slice(7, 31), lambda part: part[:, ::-1]), "must lie between its ends"),
        (
            damage_table(
                slice(7, 31), lambda part: part.reshape(2, 3, 8)[..., ::-1].reshape(2, 24)
            ),
            "the medians of bins must ascend",
        ),
        (damage_table(32, np.negative), "standard deviations must not be negative"),
        (damage_features("ab"), "must be a list of texts, each once"),
        (damage_features(["a", "a"]), "must be a list of texts, each once"),
        (damage_features(["a", ["b"]]), "must be a list of texts, each once"),
        (damage_features(["a", ""]), "must be a list of texts, each once"),
        (damage_order, "the cuts between bins must ascend"),
        (damage_shape, r"must be one float32 array \(2, 33\)"),
        (damage_names, "the bins cannot be read"),
        (damage_file, "the bins cannot be read"),
        (damage_absent, "the bins cannot be read"),
    ],
)
def test_damaged_state_is_refused(tmp_path: Path, damage: Any, message: str) -> None:
    tokenizer, _ = fitted(np.arange(40).reshape(20, 2))
    tokenizer.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ValueError, match=message):
        build(BinsSettings(features=2, bins=8)).load(tmp_path)


def test_state_with_a_feature_that_was_never_measured_comes_back(tmp_path: Path) -> None:
    tokenizer, _ = fitted([[1, math.nan], [2, math.nan]])
    tokenizer.save(tmp_path)
    same = build(BinsSettings(features=2, bins=8))
    same.load(tmp_path)
    value = same.parse([2, 5])
    np.testing.assert_array_equal(same.encode(value), tokenizer.encode(value))
    assert same.encode(value)[1] == 8


def test_nothing_works_before_the_fit(tmp_path: Path) -> None:
    tokenizer = build(BinsSettings(features=("a", "b")))
    value = tokenizer.parse([1, 2])
    for act in (
        lambda: tokenizer.encode(value),
        lambda: tokenizer.decode(np.array([0, 0])),
        lambda: tokenizer.save(tmp_path),
        lambda: tokenizer.features(value),
    ):
        with pytest.raises(ValueError, match="must be fitted or loaded"):
            act()


def test_ids_of_another_number_or_range() -> None:
    tokenizer, _ = fitted([[1, 2], [3, 4]], 4)
    with pytest.raises(ValueError, match="there must be 2 ids, but there are 3"):
        tokenizer.decode(np.array([0, 0, 0]))
    with pytest.raises(ValueError, match=r"must lie in 0\.\.4"):
        tokenizer.decode(np.array([0, 5]))


def profiles(rows: Sequence[dict[str, float]]) -> list[Profile]:
    return [Profile.measured(tuple(row), list(row.values())) for row in rows]


def test_names_are_learned_in_the_tables_order() -> None:
    tokenizer = build(BinsSettings(features=3, bins=4))
    tokenizer.fit(profiles([{"z": 1, "a": 2}, {"m": 4, "z": 3}]), seed=0)
    assert tokenizer.decode(np.zeros(3, np.int64)).names == ("z", "a", "m")
    assert tokenizer.encode(tokenizer.parse({"m": 4.0})).tolist() == [4, 4, 1]


def test_a_wrong_number_of_features_names_the_right_one() -> None:
    tokenizer = build(BinsSettings(features=3))
    with pytest.raises(ValueError, match=r"name 2 features, .* is 3; set features: 2"):
        tokenizer.fit(profiles([{"a": 1}, {"b": 1}]), seed=0)
    with pytest.raises(ValueError, match=r"it has 4 features, .* is 3; set features: 4"):
        tokenizer.parse(dict.fromkeys("abcd", 1.0))


def test_a_listed_feature_that_no_row_holds_is_a_mistake() -> None:
    tokenizer = build(BinsSettings(features=("a", "bb")))
    with pytest.raises(ValueError, match=r"in some training row, but 'bb' is in none"):
        tokenizer.fit(profiles([{"a": 1, "b": 2}]), seed=0)


def test_a_fit_needs_rows() -> None:
    with pytest.raises(ValueError, match="at least one training row"):
        build(BinsSettings(features=("a",))).fit([], seed=0)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (0, "greater than or equal to 1"),
        (["a", "a"], "features must be named once each, but 'a' occurs twice"),
        (["a", ""], "feature names must not be empty"),
        ([], "at least 1 item"),
        ("a", "valid tuple"),
    ],
)
def test_settings_that_make_no_sense(features: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BinsSettings(features=features)


def test_bounds_keep_missing_out_of_predictions() -> None:
    bounds = BinsSettings(features=["a", "b"], bins=4).bounds()
    assert (bounds.vocab_size, bounds.min_tokens, bounds.max_tokens) == (5, 2, 2)
    assert bounds.slots == (range(4), range(4))
