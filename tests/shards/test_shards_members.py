from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from loretta_framework.shards.members import modality_of, parse_member


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("000042.image.png", ("000042", "image", 0, "png", "image.png")),
        ("000042.image.1.PNG", ("000042", "image", 1, "png", "image.1.png")),
        ("000042.image.0.png", ("000042", "image", 0, "png", "image.png")),
        ("a/b/7.text.txt", ("a/b/7", "text", 0, "txt", "text.txt")),
        ("7.meta.json", ("7", "meta", 0, "json", "meta.json")),
        ("7.JPG", ("7", "jpg", 0, "jpg", "jpg")),
        ("7.txt.txt", ("7", "txt", 0, "txt", "txt.txt")),
    ],
)
def test_a_name_is_taken_apart(path: str, expected: tuple[str, str, int, str, str]) -> None:
    name = parse_member(path)
    assert (name.key, name.modality, name.instance, name.extension, name.local) == expected


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/etc/passwd.text.txt", "relative"),
        ("../x.text.txt", "climb"),
        ("a//x.text.txt", "climb"),
        ("a\\x.text.txt", "climb"),
        ("README", "extension"),
        ("x.", "extension"),
        (".hidden.txt", "key"),
        ("IMG.0001.image.png", "key has no dot"),
        ("a.b.image.png", "key has no dot"),
        ("x.image..png", "empty part"),
        ("x.image.p ng", "blank"),
        ("x.image.pkl", "run code"),
        ("x.pth", "run code"),
        ("x.PICKLE", "run code"),
    ],
)
def test_a_malformed_name_is_refused_with_its_reason(path: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_member(path)


def test_the_default_mapping_reads_the_first_part() -> None:
    assert modality_of("image.1.png") == "image"


@given(st.text(min_size=1, max_size=40))
def test_any_text_is_parsed_or_refused(path: str) -> None:
    try:
        name = parse_member(path)
    except ValueError:
        return
    assert parse_member(f"{name.key}.{name.local}") == name
