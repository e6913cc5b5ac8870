"""The built-in byte tokenizer."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, strategies as st
from pydantic import ValidationError

from loretta_framework.api.protocols import FittedTokenizer, Judgeable, Tokenizer
from loretta_framework.builtin.settings import TextBytesSettings
from loretta_framework.builtin.text_bytes import TextBytes


def tokenizer(max_tokens: int = 256) -> TextBytes:
    return TextBytes(TextBytesSettings(max_tokens=max_tokens), None)


def test_it_is_a_tokenizer_that_needs_no_fit() -> None:
    assert isinstance(tokenizer(), Tokenizer)
    assert isinstance(tokenizer(), Judgeable)
    assert not isinstance(tokenizer(), FittedTokenizer)
    bounds = TextBytesSettings().bounds()
    assert (bounds.vocab_size, bounds.min_tokens, bounds.max_tokens) == (256, 1, 256)


@given(st.text(min_size=1, max_size=60))
def test_every_text_comes_back(text: str) -> None:
    built = tokenizer()
    ids = built.encode(text)
    assert ids.dtype == np.int64
    assert 1 <= len(ids) <= 256
    assert built.decode(ids) == text
    assert built.read(*built.write(text)) == text
    assert built.parse(text) == text


@given(st.lists(st.integers(0, 255), max_size=20))
def test_any_ids_decode(ids: list[int]) -> None:
    assert isinstance(tokenizer().decode(np.array(ids, np.int64)), str)


def test_length_is_counted_in_bytes_and_never_cut() -> None:
    assert len(tokenizer(4).encode("éé")) == 4
    with pytest.raises(ValueError, match=r"at most 4 bytes \(max_tokens\), but has 5: 'éée'"):
        tokenizer(4).encode("éée")


def test_features_tell_texts_apart_and_have_one_shape() -> None:
    built = tokenizer()
    features = [built.features(text) for text in ("seven", "Seven", "eight", "", "x" * 300)]
    assert {array.shape for array in features} == {(1, 16, 32)}
    assert {array.dtype for array in features} == {np.dtype(np.float32)}
    assert np.array_equal(features[0], features[1])
    assert not np.array_equal(features[0], features[2])
    assert features[0].sum() == pytest.approx(5 * np.log(2))


def test_it_survives_pickling_and_shows_itself() -> None:
    copy = pickle.loads(pickle.dumps(tokenizer()))
    assert np.array_equal(copy.encode("five"), tokenizer().encode("five"))
    assert [(item.data, item.extension) for item in copy.show("fünf")] == [("fünf".encode(), "txt")]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.encode(""), r"at least 1 bytes \(min_tokens\), but has 0"),
        (lambda t: t.encode(b"x"), "must be str, but is bytes"),
        (lambda t: t.parse(7), "must be str, but is int"),
        (lambda t: t.encode("a\ud800"), r"valid Unicode, but character 1 is '\\ud800'"),
        (lambda t: t.read(b"a\xff", "txt"), "must be UTF-8, but byte 1 is 0xff"),
        (lambda t: t.decode(np.array([256])), r"ids must lie in 0..255, but span 256..256"),
        (lambda t: t.decode(np.array([-1])), r"ids must lie in 0..255, but span -1..-1"),
        (
            lambda t: t.decode(np.array([0.5])),
            r"ids must be integers \(T,\), but are float64 \(1,\)",
        ),
        (lambda t: t.decode(np.array([[1]])), r"but are int64 \(1, 1\)"),
    ],
)
def test_what_cannot_be_used_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(tokenizer())


def test_settings_are_strict() -> None:
    with pytest.raises(ValidationError):
        TextBytesSettings(max_tokens=0)
    with pytest.raises(ValidationError):
        TextBytesSettings(max_tokens="9")  # type: ignore[arg-type]
