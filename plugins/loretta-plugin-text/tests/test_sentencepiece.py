"""`text.sentencepiece` through its public doors."""

from __future__ import annotations

import csv
import gzip
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from loretta_plugin_text.sentencepiece_tokenizer import SentencePieceTokenizer
from loretta_plugin_text.settings import SentencePieceSettings
from pydantic import ValidationError

from loretta_framework.testing.conformance import Conformance

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FORMS = ("a handwritten {}", "the digit {}", "{}", "this is {}", "it says {}", "number {}")
TEXTS = [form.format(word) for word in WORDS for form in FORMS]
DATA = os.environ.get("LORETTA_TEST_DATA")


def fitted(texts: list[str] = TEXTS, **changes: object) -> SentencePieceTokenizer:
    built = SentencePieceTokenizer(SentencePieceSettings(**changes), None)
    built.fit(iter(texts), 0)
    return built


@pytest.fixture(scope="module")
def tokenizer() -> SentencePieceTokenizer:
    return fitted()


class TestConformance(Conformance):
    plugin = "text"


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_texts_come_back_within_the_bounds(model_type: str) -> None:
    built = fitted(model_type=model_type)
    bounds = SentencePieceSettings(model_type=model_type).bounds()
    for text in TEXTS:
        ids = built.encode(text)
        assert bounds.min_tokens <= len(ids) <= bounds.max_tokens
        assert built.decode(ids) == text


def test_a_small_corpus_leaves_ids_unused_but_decodable() -> None:
    built = SentencePieceTokenizer(SentencePieceSettings(vocab_size=500))
    figures = built.fit(TEXTS, 0)
    assert figures["texts"] == len(TEXTS)
    assert 24 <= figures["pieces"] < 200
    assert 1 <= figures["tokens_per_text"] < 10
    assert built.decode(np.array([499])) == "\N{REPLACEMENT CHARACTER}"
    assert SentencePieceSettings(vocab_size=500).bounds().vocab_size == 500


@settings(max_examples=150, deadline=None)
@given(ids=st.lists(st.integers(0, 63), max_size=32))
def test_any_ids_decode(tokenizer: SentencePieceTokenizer, ids: list[int]) -> None:
    assert isinstance(tokenizer.decode(np.array(ids, np.int64)), str)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=24) | st.text("abcdefghij nopqrstuv", max_size=24))
def test_a_text_comes_back_or_is_refused(tokenizer: SentencePieceTokenizer, text: str) -> None:
    value = tokenizer.parse(text)
    try:
        ids = tokenizer.encode(value)
    except ValueError:
        return
    assert tokenizer.decode(ids) == value
    assert 1 <= len(ids) <= 32


@settings(max_examples=200, deadline=None)
@given(text=st.text(min_size=1, max_size=20))
def test_byte_fallback_takes_every_text(text: str) -> None:
    built = _with_bytes()
    value = built.parse(text)
    if value and "\N{LOWER ONE EIGHTH BLOCK}" not in value:
        assert built.decode(built.encode(value)) == value


_BUILT: list[SentencePieceTokenizer] = []


def _with_bytes() -> SentencePieceTokenizer:
    if not _BUILT:
        _BUILT.append(fitted(vocab_size=320, byte_fallback=True, max_tokens=200))
    return _BUILT[0]


def test_an_unknown_character_is_named(tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(ValueError, match=r"never met: 'é' \(U\+00E9\), 'Q' \(U\+0051\)"):
        tokenizer.encode("oneéQ")
    with pytest.raises(ValueError, match=r"'▁' \(U\+2581\)"):
        tokenizer.encode("a▁seven")  # the library's own sign for a space would come back as one


def test_values_are_composed_and_stripped(tokenizer: SentencePieceTokenizer) -> None:
    assert tokenizer.read(b" the  digit one \r\n", "txt") == "the  digit one"
    assert tokenizer.parse("e\u0301") == "é"


def test_fitting_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from loretta_plugin_text.sentencepiece_tokenizer import SentencePieceTokenizer\n"
        "from loretta_plugin_text.settings import SentencePieceSettings\n"
        "built = SentencePieceTokenizer(SentencePieceSettings(model_type=sys.argv[2]))\n"
        "built.fit(sys.stdin.read().split('|'), 0)\n"
        "built.save(pathlib.Path(sys.argv[1]))\n"
    )
    for model_type in ("unigram", "bpe"):
        found = set()
        for seed in ("1", "2"):
            folder = tmp_path / f"{model_type}{seed}"
            command = [sys.executable, "-c", code, str(folder), model_type]
            environment = {**os.environ, "PYTHONHASHSEED": seed}
            subprocess.run(command, input="|".join(TEXTS), text=True, check=True, env=environment)
            found.add((folder / "sentencepiece.model").read_bytes())
        assert len(found) == 1


def test_one_file_is_saved_and_an_unfitted_tokenizer_can_be_sent(
    tokenizer: SentencePieceTokenizer, tmp_path: Path
) -> None:
    tokenizer.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sentencepiece.model"]
    unfitted = pickle.loads(pickle.dumps(SentencePieceTokenizer(SentencePieceSettings())))
    with pytest.raises(ValueError, match="fitted or loaded"):
        unfitted.encode("one")


def test_what_cannot_be_loaded_is_refused(
    tokenizer: SentencePieceTokenizer, tmp_path: Path
) -> None:
    file = tmp_path / "sentencepiece.model"
    with pytest.raises(ValueError, match=r"sentencepiece\.model: .*No such file"):
        tokenizer.load(tmp_path)
    for damage in (b"no model", b"", b"\x00" * 64):
        file.write_bytes(damage)
        with pytest.raises(
            ValueError, match=r"sentencepiece\.model: (this is no|a) SentencePiece model"
        ):
            tokenizer.load(tmp_path)
    assert tokenizer.decode(tokenizer.encode("seven")) == "seven"
    fitted(vocab_size=40).save(tmp_path)
    with pytest.raises(ValueError, match=r"must have 1\.\.30 pieces \(vocab_size\), but has 3\d"):
        SentencePieceTokenizer(SentencePieceSettings(vocab_size=30)).load(tmp_path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda t: t.encode(""), "at least 1 character, but is empty"),
        (lambda t: t.encode(7), "must be str, but is int"),
        (lambda t: t.parse(b"one"), "must be str, but is bytes"),
        (lambda t: t.parse("\udc00"), r"valid Unicode, but character 0 is '\\udc00'"),
        (lambda t: t.read(b"\xfe", "txt"), "must be UTF-8, but byte 0 is 0xfe"),
        (
            lambda t: t.encode("one " * 40),
            r"at most 32 tokens \(max_tokens\), but has \d+: 'one one",
        ),
        (lambda t: t.decode(np.array([64])), r"ids must lie in 0\.\.63, but span 64\.\.64"),
        (lambda t: t.decode(np.array([0.0])), r"ids must be integers \(T,\), but are float64"),
    ],
)
def test_what_cannot_be_used_is_refused(
    tokenizer: SentencePieceTokenizer, call, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        call(tokenizer)


def test_fits_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one text to fit on"):
        fitted(["", "  "])
    with pytest.raises(ValueError, match="vocab_size 8 on texts of 21 different characters"):
        fitted(vocab_size=8)
    with pytest.raises(ValueError, match="fitted or loaded"):
        SentencePieceTokenizer(SentencePieceSettings()).save(Path("unused"))
    with pytest.raises(ValidationError, match="must exceed 257 with byte_fallback"):
        SentencePieceSettings(byte_fallback=True)
    with pytest.raises(ValidationError):
        SentencePieceSettings(model_type="word")  # type: ignore[arg-type]


@pytest.mark.skipif(not DATA, reason="LORETTA_TEST_DATA is unset")
@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
def test_real_captions_come_back(model_type: str) -> None:
    file = Path(DATA or "") / "text" / "audiocaps_val.csv.gz"
    rows = csv.reader(io.StringIO(gzip.decompress(file.read_bytes()).decode()))
    captions = [row[-1] for row in rows][1:]
    assert len(captions) > 1000
    built = SentencePieceTokenizer(
        SentencePieceSettings(vocab_size=2000, max_tokens=300, model_type=model_type)
    )
    figures = built.fit(captions, 0)
    assert figures["pieces"] <= 2000
    for caption in captions:
        value = built.parse(caption)
        assert built.decode(built.encode(value)) == value


def test_a_corpus_of_very_short_texts_is_fitted() -> None:
    tokenizer = SentencePieceTokenizer(SentencePieceSettings(vocab_size=16), None)
    texts = ["ab", "ba", "abba", "b"]
    tokenizer.fit(texts, seed=0)
    assert [tokenizer.decode(tokenizer.encode(text)) for text in texts] == texts
