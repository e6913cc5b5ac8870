"""`omics.bins`: files and what callers may hold."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings as effort, strategies as st
from loretta_plugin_omics.profile import Profile
from loretta_plugin_omics.settings import BinsSettings
from loretta_plugin_omics.tokenizer import Bins, build

NAMES = ("ESR1", "PGR", "hsa-mir-21")


def tokenizer(**settings: Any) -> Bins:
    return build(BinsSettings(**{"features": NAMES, **settings}))


def numbers(profile: Profile) -> dict[str, float | None]:
    return profile.as_dict()


@pytest.mark.parametrize(
    ("data", "extension"),
    [
        (b"ESR1,PGR,hsa-mir-21\n0.5,-2e3,\n", "csv"),
        (b'\xef\xbb\xbf"PGR",ESR1\r\n -2000 ,.5\r\n\r\n', "csv"),
        (b"PGR\thsa-mir-21\tESR1\n-2000.\tNA\t+0.5\n", "tsv"),
        (b"hsa-mir-21,ESR1,PGR\nNaN,0.5,-2000\n", "csv"),
        (b'{"PGR": -2000, "ESR1": 0.5, "hsa-mir-21": null}', "json"),
        (b'{"PGR": "-2000", "ESR1": 0.5, "hsa-mir-21": NaN}', "json"),
        (b"feature,value\nPGR,-2000\nESR1,0.5\n", "csv"),
        (b"feature,value,lower,upper\nPGR,-2000,,\nESR1,0.5,0.5,0.5\n", "csv"),
    ],
)
def test_forms_of_one_profile(data: bytes, extension: str) -> None:
    profile = tokenizer().read(data, extension)
    assert profile.names == NAMES
    assert numbers(profile) == {"ESR1": 0.5, "PGR": -2000.0, "hsa-mir-21": None}
    np.testing.assert_array_equal(profile.lower, profile.values)
    assert numbers(tokenizer().parse(data)) == numbers(profile)


@pytest.mark.parametrize(
    ("data", "extension", "message"),
    [
        (
            b"ESR1,PGRR\n1,2\n",
            "csv",
            r"no feature 'PGRR' \(did you mean 'PGR'\?\); 'extra: ignore'",
        ),
        (b"ESR1,x,y\n1,2,3\n", "csv", "no feature 'x' and 1 more"),
        (b"x,y,z,u\n1,2,3,4\n", "csv", "none of its 4 features is known: .* ESR1, .* has x, y, z"),
        (b"{}", "json", "none of its 0 features is known"),
        (b"ESR1,ESR1\n1,2\n", "csv", "feature 'ESR1' occurs twice"),
        (b'{"ESR1": 1, "ESR1": 2}', "json", "feature 'ESR1' occurs twice"),
        (b"feature,value\nPGR,1\nPGR,2\n", "csv", "feature 'PGR' occurs twice"),
        (b"ESR1,\n1,2\n", "csv", "feature names must not be empty"),
        (b"ESR1,PGR\n1\n", "csv", "the row must have 2 cells, as the header, but has 1"),
        (b"feature,value\nPGR,1,2\n", "csv", "line 2 must have 2 cells"),
        (b"ESR1\n1\n2\n", "csv", "a header and one row, but there are 3 lines"),
        (b"", "csv", "a header and one row, but there are 0 lines"),
        (b"ESR1\nhigh\n", "csv", "feature 'ESR1' must be a number, but is 'high'"),
        (b"ESR1\n1_0\n", "csv", "must be a number, but is '1_0'"),
        (b"ESR1\ninf\n", "csv", "must be a number, but is 'inf'"),
        (b"ESR1\n1e39\n", "csv", r"must be finite and fit float32, but is 1e\+39"),
        (b'{"ESR1": Infinity}', "json", "must be finite"),
        (b'{"ESR1": [1]}', "json", "must be a number that float32 holds, but is a list"),
        (b'{"ESR1": 1' + b"0" * 400 + b"}", "json", "that float32 holds, but is a int"),
        (b"[1, 2]", "json", "must be an object {feature: number}, but is a list"),
        (b"[" * 100_000, "json", "nested too deeply"),
        (b"{", "json", "Expecting"),
        (b"ESR1\n\xff\n", "csv", "codec can't decode"),
        (b'"ESR1\n' + b"1" * 140_000, "csv", "the table cannot be read: field larger"),
    ],
)
def test_files_that_are_refused(data: bytes, extension: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer().read(data, extension)


def test_extra_features_may_be_ignored() -> None:
    profile = tokenizer(extra="ignore").read(b"patient,PGR\np1,4\n", "csv")
    assert numbers(profile) == {"ESR1": None, "PGR": 4.0, "hsa-mir-21": None}
    with pytest.raises(ValueError, match="none of its 1 features is known"):
        tokenizer(extra="ignore").read(b"patient\np1\n", "csv")


def test_files_that_lack_too_much_are_refused() -> None:
    strict = tokenizer(max_missing=0.5)
    assert numbers(strict.read(b"PGR,ESR1\n1,2\n", "csv"))["PGR"] == 1
    with pytest.raises(ValueError, match=r"at most 50\.0% of the features, but lacks 66\.7%"):
        strict.read(b"PGR,ESR1\n1,NA\n", "csv")


def test_before_the_fit_a_file_keeps_its_own_names() -> None:
    unfitted = tokenizer(features=3)
    assert unfitted.read(b"b,a\n1,2\n", "csv").names == ("b", "a")
    with pytest.raises(ValueError, match="names of the features must be known"):
        unfitted.parse([1.0, 2.0, 3.0])


class Series:
    """What a pandas Series has in common with a dict."""

    def items(self) -> Any:
        return zip(["PGR", "ESR1"], [np.float64(1.5), np.nan], strict=True)


@pytest.mark.parametrize(
    "held",
    [
        {"PGR": 1.5},
        {"PGR": np.float32(1.5), "ESR1": None},
        {"PGR": "1.5", "ESR1": "na"},
        Series(),
        [math.nan, 1.5, math.nan],
        np.array([math.nan, 1.5, math.nan]),
        Profile.measured(("hsa-mir-21", "PGR"), [math.nan, 1.5]),
    ],
)
def test_what_a_caller_may_hold(held: Any) -> None:
    assert numbers(tokenizer().parse(held)) == {"ESR1": None, "PGR": 1.5, "hsa-mir-21": None}


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ([1.0, 2.0], r"there must be 3 numbers, but the shape is \(2,\)"),
        ("ESR1", "must be numbers, or {feature: number}"),
        ([1.0, 2.0, math.inf], "must be finite and fit float32"),
        ({"ESR1": object()}, "must be a number that float32 holds, but is a object"),
        (Profile.measured(("ESR2", "PGR"), [1, 2]), r"no feature 'ESR2' \(did you mean 'ESR1'"),
    ],
)
def test_what_a_caller_must_not_hold(held: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer().parse(held)


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
FLOATS = st.floats(width=32, allow_infinity=False)


@effort(deadline=None)
@given(st.dictionaries(TEXT, st.tuples(FLOATS, FLOATS, FLOATS), min_size=1, max_size=8))
def test_what_is_written_reads_back(rows: dict[str, tuple[float, float, float]]) -> None:
    names = tuple(rows)
    ends = [
        sorted(row) if not any(map(math.isnan, row)) else [math.nan] * 3 for row in rows.values()
    ]
    lower, values, upper = np.array(ends, np.float32).T
    profile = Profile(names, values, lower, upper)
    data, extension = tokenizer(features=names).write(profile)
    restored = tokenizer(features=names).read(data, extension)
    assert restored.names == names
    for found, wanted in (
        (restored.values, values),
        (restored.lower, lower),
        (restored.upper, upper),
    ):
        np.testing.assert_array_equal(found, wanted)


def test_a_table_for_people() -> None:
    names = ("<b>", "a")
    shown = tokenizer(features=names, bins=2)
    value = shown.parse([1.0, math.nan])
    page, sheet = shown.show(value)
    assert (page.extension, sheet.extension) == ("html", "csv")
    assert b"<td>&lt;b&gt;</td><td>1.0</td>" in page.data
    assert b"<meter" not in page.data
    shown.fit([shown.parse([0.0, 1.0]), value], seed=0)
    assert shown.show(value)[0].data.count(b"<meter min='0' max='2' value='2'></meter> 2/2") == 1
    assert sheet.data.decode().splitlines() == [
        "feature,value,lower,upper",
        "<b>,1.0,1.0,1.0",
        "a,,,",
    ]


def test_a_json_file_holds_what_json_holds() -> None:
    rows = {"ESR1": 0.1, "PGR": True}
    assert numbers(tokenizer().read(json.dumps(rows).encode(), "json"))["PGR"] == 1.0
