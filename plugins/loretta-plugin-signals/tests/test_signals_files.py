"""Files to values and back: what is read, what is refused, and before how much work."""

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp
from loretta_plugin_signals.levels import Levels, LevelsSettings

few = settings(max_examples=30, deadline=None)


def levels(**settings: Any) -> Levels:
    return Levels(LevelsSettings(**({"channels": ["x", "y"], "longest": 50} | settings)))


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def test_columns_are_picked_by_name() -> None:
    value = levels().read(b"\xef\xbb\xbfy, other ,x\r\n1,a,2\r\n3,b,4\r\n", "csv")
    assert value.tolist() == [[2, 1], [4, 3]]
    assert value.dtype == np.float32
    assert levels(channels=2).read(b"1\t2\n3\t4\n", "tsv").tolist() == [[1, 2], [3, 4]]


def test_arrays_and_lists() -> None:
    rows = [[1.0, 2.0], [3.0, 4.0]]
    for array in (np.array(rows), np.array(rows, dtype=np.int16), np.array(rows, dtype=">f4")):
        assert levels().read(npy(array), "npy").tolist() == rows
    assert levels().read(json.dumps(rows).encode(), "json").tolist() == rows
    assert levels().read(b'{"y": [2, 4], "x": [1, 3]}', "json").tolist() == rows
    assert levels(channels=1).parse([1, 2, 3]).tolist() == [[1], [2], [3]]


def test_strokes_lie_behind_one_another() -> None:
    pen = levels(channels=["x", "up", "y"], pen="up")
    value = pen.read(b"[[[1, 2], [3, 4]], [[5, 6]]]", "json")
    assert value.tolist() == [[1, 0, 2], [3, 0, 4], [5, 1, 6]]
    arrays = [np.array([[1, 2], [3, 4]]), np.array([[5, 6]])]
    assert np.array_equal(pen.parse(arrays), value)


@few
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 30), st.just(2)),
        elements=st.floats(-(2.0**99), 2.0**99, width=32),
    ),
    st.sampled_from(
        [
            {"longest": 50},
            {"rate": 7.3, "seconds": 7.0},
            {"rate": 7.3, "seconds": 7.0, "time": "t"},
            {"rate": 7.3, "seconds": 7.0, "source_rate": 500.0},
        ]
    ),
)
def test_read_takes_back_what_write_made(value: Any, grid: dict[str, Any]) -> None:
    modality = Levels(LevelsSettings(channels=2, **grid))
    data, extension = modality.write(value)
    np.testing.assert_allclose(modality.read(data, extension), value, rtol=1e-6, atol=1e-44)


@pytest.mark.parametrize(
    ("data", "extension", "message"),
    [
        (b"x,z\n1,2\n", "csv", "columns \\['y'\\] are missing; there are \\['x', 'z'\\]"),
        (b"x,y\n1\n", "csv", "row 1 must have 2 cells, but has 1"),
        (b"x,y\n1,two\n", "csv", "row 1: cells must be numbers, but one is 'two'"),
        (b"x,y\n1,1_0\n", "csv", "row 1: cells must be numbers, but one is '1_0'"),
        (b"x,x,y\n1,1,2\n", "csv", "column names must differ"),
        (b"1,2\n", "csv", "the table must have a header"),
        (b"\n", "csv", "must hold at least one row, but is empty"),
        (b"x,y\n", "csv", "with at least one step, but has the shape \\(0, 2\\)"),
        (b"x,y\n1,inf\n", "csv", "must be finite, but some are infinite"),
        (b"x,y\n1,\n3,4\n", "csv", "channel 'y': missing steps in a row must be at most 0"),
        (b"x,y\n1,1e300\n", "csv", "must fit float32, but are too large"),
        (b"# rate: 5\nx,y\n1,2\n", "csv", "keep steps as recorded"),
        (b'x,y\n1,"' + b"9" * 140_000 + b'"', "csv", "the table cannot be read"),
        (b"[[1, 2], [3]]", "json", "must be numbers in lists of one length"),
        (b"[[1, 2, 3]]", "json", "must be \\(steps, 2\\) .* but has the shape \\(1, 3\\)"),
        (b'{"x": [1]}', "json", "columns must hold \\['y'\\]"),
        (b'{"x": [1], "y": [1, 2]}', "json", "must be equally long lists"),
        (b"7", "json", "the JSON must be a list or an object, but is int"),
        (b"[" * 100_000, "json", "nested too deeply"),
        (b"[[[1, 2]]]", "json", "need the setting pen, which is not given"),
        (b'[["a", "b"]]', "json", "must hold numbers, but holds"),
        (npy(np.zeros((3, 2), dtype=complex)), "npy", "must be numbers .* but is complex128"),
        (npy(np.zeros((3, 2)))[:-1], "npy", "the array must have 48 bytes, but has 47"),
        (npy(np.zeros((3, 2))).replace(b"(3, 2)", b"(3, 2 "), "npy", "npy header cannot be read"),
        (b"\x93NUMPY\x03\x00" + npy(np.zeros((3, 2)))[8:], "npy", "npy version must be 1.0 or"),
        (b"1", "wav", "the extension must be one of .* but is 'wav'"),
    ],
)
def test_faulty_files_are_refused(data: bytes, extension: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        levels().read(data, extension)


def test_objects_are_never_unpickled() -> None:
    with pytest.raises(ValueError, match="must be numbers"):
        levels().read(npy(np.array([[None]]), allow_pickle=True), "npy")


def test_limits_are_told_before_decoding() -> None:
    small = levels(max_steps=3)
    for data, extension in (
        (b"x,y\n" + b"oops\n" * 9, "csv"),  # would be refused for its cells
        (b"[" + b"oops," * 99 + b"]", "json"),
        (npy(np.zeros((10, 2)))[:-80], "npy"),  # would be refused for its length
    ):
        with pytest.raises(ValueError, match=r"at most 3 steps \(setting max_steps\)"):
            small.read(data, extension)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "must hold numbers|must be"),
        ("text", "a series must hold numbers, but is str"),
        (([[1.0, 2.0]], 5.0), "a rate was given, but the settings keep steps as recorded"),
        ([[[1, 2, 3]]], "stroke 0 must be \\(points, 1\\)"),
    ],
)
def test_parse_refuses(value: Any, message: str) -> None:
    settings = {"pen": "y"} if isinstance(value, list) else {}
    with pytest.raises(ValueError, match=message):
        levels(**settings).parse(value)


def test_rates_are_checked() -> None:
    timed = Levels(LevelsSettings(channels=1, rate=10.0, seconds=5.0, time="t"))
    with pytest.raises(ValueError, match=r"the rate must be above 0 hertz, but is 0.0"):
        timed.parse(([1.0, 2.0], 0.0))
    with pytest.raises(ValueError, match="the value has a time column already"):
        timed.parse(({"t": [0, 1], "c0": [1, 2]}, 5.0))
    with pytest.raises(ValueError, match="there must be a time column 't'"):
        timed.read(b"c0\n1\n", "csv")
    with pytest.raises(ValueError, match="there must be 1 channels, but are 2"):
        timed.read(b"t,a,b\n1,2,3\n", "csv")


def test_pen_channel_holds_0_and_1() -> None:
    with pytest.raises(ValueError, match="the pen channel 'y' must hold 0 and 1 only"):
        levels(pen="y").parse([[1, 0.5]])
