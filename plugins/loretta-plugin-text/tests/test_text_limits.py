"""Texts are measured before they are decoded or cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest
from loretta_plugin_text.sentencepiece_tokenizer import LONGEST_PIECE, SentencePieceTokenizer
from loretta_plugin_text.settings import SentencePieceSettings


def fitted(**changes: object) -> SentencePieceTokenizer:
    tokenizer = SentencePieceTokenizer(SentencePieceSettings(**{"max_tokens": 4, **changes}))
    tokenizer.fit(["abababab" * 4, "ab", "ba"], 0)
    return tokenizer


def test_a_file_above_the_limit_is_not_decoded() -> None:
    tokenizer = SentencePieceTokenizer(SentencePieceSettings(max_bytes=10))
    assert tokenizer.read(b"x" * 10, "txt") == "x" * 10
    with pytest.raises(ValueError, match=r"at most 10 bytes \(max_bytes\), but has 11"):
        tokenizer.read(b"\xff" * 11, "txt")
    assert SentencePieceSettings().max_bytes == 1 << 20


def test_a_text_that_cannot_fit_is_not_cut_into_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = fitted()
    longest = "ab" * (LONGEST_PIECE * 2)
    assert len(longest) == LONGEST_PIECE * 4
    assert len(tokenizer.encode(longest[:32])) <= 4
    monkeypatch.setattr(tokenizer, "_processor", object())  # has no `encode`
    with pytest.raises(ValueError, match=r"at most 4 tokens \(max_tokens\), but has at least 5"):
        tokenizer.encode(longest + "a")


def test_no_piece_is_longer_than_it_may_be() -> None:
    tokenizer = fitted(max_tokens=1000, vocab_size=64)
    for number in range(64):
        assert len(tokenizer.decode(np.array([number]))) <= LONGEST_PIECE
