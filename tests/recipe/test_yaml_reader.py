"""YAML 1.2 core scalars, refusals, limits, and the way back through the writer."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from loretta_framework.api.errors import RecipeError
from loretta_framework.recipe.yaml_reader import (
    MAX_ALIASED,
    MAX_BYTES,
    MAX_DEPTH,
    parse_yaml,
    read_yaml,
)
from loretta_framework.recipe.yaml_writer import write_yaml


def value(text: str) -> Any:
    return parse_yaml(text, "x").data


def refusal(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_yaml(text, "r.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NO", "NO"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("1e-4", 1e-4),
        ("1.5e-3", 1.5e-3),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+1.0", 1.0),
        ("1:30", "1:30"),
        ("12:30:00", "12:30:00"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2026-01-01", "2026-01-01"),
        ("<<", "<<"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("-.inf", -math.inf),
    ],
)
def test_scalars_follow_the_core_schema(text: str, expected: Any) -> None:
    found = value(f"key: {text}")["key"]
    assert found == expected
    assert type(found) is type(expected)


def test_not_a_number_is_read() -> None:
    assert math.isnan(value("key: .nan")["key"])


def test_lines_of_values_are_kept() -> None:
    document = parse_yaml("a:\n  b: 1\n\n  c:\n    - 2\n    - d: 3\n", "x")
    assert document.data == {"a": {"b": 1, "c": [2, {"d": 3}]}}
    assert document.lines["a",] == 1
    assert document.lines["a", "b"] == 2
    assert document.lines["a", "c", 1, "d"] == 6


def test_anchors_are_copied_not_shared() -> None:
    data = value("a: &x {n: [1]}\nb: *x\nc: *x\n")
    assert data["b"] == data["c"] == data["a"] == {"n": [1]}
    data["b"]["n"].append(2)
    assert data["a"] == data["c"] == {"n": [1]}
    assert parse_yaml("a: &x {n: [1]}\nb: *x\n", "x").lines["b", "n", 0] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "r.yaml:3: a: the key 'a' is given twice, on lines 1 and 3"),
        ("m: {k: 1,\n k: [2]}\n", "the key 'k' is given twice, on lines 1 and 2"),
        ("a: !!python/object:os.system x\n", "tags are refused"),
        ("a: !!str 5\n", "tags are refused"),
        ("a: ! x\n", "tags are refused"),
        ("!!map {a: 1}\n", "r.yaml:1: tags are refused"),
        ("a: 1\n---\nb: 2\n", "a file must hold one document"),
        ("a: [1\n", "not valid YAML"),
        ("a: b: c\n", "r.yaml:1: not valid YAML"),
        ("a: \x07\n", "not valid YAML"),
        ("\ta: 1\n", "not valid YAML"),
        ("1: x\n", "a key must be text, but '1' is not; quote it"),
        ("null: x\n", "a key must be text"),
        ("[a]: x\n", "a key must be plain text"),
        ("a: *nobody\n", "the alias '*nobody' has no anchor before it"),
        ("a: &x [*x]\n", "the alias '*x' stands inside its own anchor"),
        (f"a: {2**64}\n", "an integer must fit into 64 bits"),
        (f"a: {'9' * 5000}\n", "an integer must fit into 64 bits"),
        ('a: "\\ud800"\n', "text must not hold half a character"),
        ("a: 1e999\n", "a number must fit into 64 bits"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    assert message in refusal(text)


def test_every_repeated_key_is_reported() -> None:
    text = refusal("a: 1\na: 2\nb: {c: 1, c: 2}\n")
    assert "on lines 1 and 2" in text
    assert "r.yaml:3: b.c" in text


def test_depth_is_limited() -> None:
    assert value("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert "at most 64 deep" in refusal("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))
    assert "at most 64 deep" in refusal("[" * 50_000)
    assert "at most 64 deep" in refusal("\n".join(" " * n + "a:" for n in range(3000)))
    deep = "[" * 40 + "]" * 40
    assert "at most 64 deep" in refusal(f"a: &x {deep}\nb: {'[' * 30}*x{']' * 30}\n")


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert f"aliases must stand for at most {MAX_ALIASED} values" in refusal("\n".join(lines))


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: \xc3\xa4\n")
    assert read_yaml(path).data == {"a": "ä"}
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(RecipeError, match=r"recipe.yaml:2: the file must be UTF-8"):
        read_yaml(path)
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(RecipeError, match="at most 1048576 bytes"):
        read_yaml(path)
    with pytest.raises(RecipeError, match=r"no such file \(did you mean 'recipe.yaml'\?\)"):
        read_yaml(tmp_path / "recipes.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_yaml(tmp_path)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("ab:-[]{}&*!|>'\"#%,? \n\t1.e")), max_size=60))
def test_any_text_gives_data_or_a_recipe_error(text: str) -> None:
    with suppress(RecipeError):
        parse_yaml(text, "x")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_data_or_a_recipe_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(data)
    with suppress(RecipeError):
        read_yaml(path)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        "NO",
        "null",
        "1e-4",
        "1:30",
        "010",
        "~",
        "a: b",
        "- a",
        "#x",
        "x #y",
        "true",
        ".inf",
        "...",
        "a b",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(DATA)
def test_what_is_written_is_read_back(data: Any) -> None:
    found = value(write_yaml(data))
    assert found == data
    assert repr(found) == repr(data)  # 1, 1.0 and True are equal


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(TEXTS, DATA, max_size=4), TEXTS)
def test_comments_change_nothing(data: dict[str, Any], comment: str) -> None:
    text = write_yaml(data, lambda path: comment)
    assert value(text) == data
