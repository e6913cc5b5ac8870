"""Text for loretta-framework: registers `text.sentencepiece`. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import ModalityCapabilities, ModalitySpec, hookimpl


@hookimpl
def register_modalities(register: Callable[[ModalitySpec], None]) -> None:
    """Text as learned pieces of words."""
    register(
        ModalitySpec(
            name="text.sentencepiece",
            version=1,
            summary="Text as pieces of words, learned by SentencePiece (unigram or BPE).",
            settings="loretta_plugin_text.settings:SentencePieceSettings",
            factory="loretta_plugin_text.sentencepiece_tokenizer:SentencePieceTokenizer",
            trial="loretta_plugin_text.trial:TRIAL",
            capabilities=ModalityCapabilities(fitted=True, lossy=False, extensions=("txt",)),
        )
    )
