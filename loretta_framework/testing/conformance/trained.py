"""A model with fresh weights and a few test samples, for components that look at trained models."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loretta_framework.evaluate.context import EvaluationContext

_TEXT = {"kind": "text_bytes", "settings": {"max_tokens": 12}}
_PAIR = ["english", "figures"]
_CHANGES: dict[str, Any] = {
    "modalities": dict.fromkeys(_PAIR, _TEXT),
    "data": {
        "train": [{"name": "pages", "shards": "shards/pages-*.tar", "modalities": _PAIR}],
        "test": [
            {
                "name": "triples",
                "shards": "shards/triples-*.tar",
                "modalities": _PAIR,
                "label": "meta.number",
            }
        ],
    },
}
"""Two modalities instead of three, and every pair observed: the least that has edges."""


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Lives as long as this process."""
    return tempfile.TemporaryDirectory()


@cache
def small_context() -> EvaluationContext:
    """What an evaluator is handed, of a run that `small_runs` made; its directory may be written to."""
    from loretta_framework.evaluate.context import EvaluationContext
    from loretta_framework.evaluate.samples import SampleReader
    from loretta_framework.inference import load
    from loretta_framework.testing.small_runs import write_small_run

    path = write_small_run(Path(_folder().name), **_CHANGES)
    model = load(path)
    reader = SampleReader(model, {}, None, _note)
    samples = reader.test(()).samples
    return EvaluationContext(model, model.plan, samples, path, 0, _note, reader.training)


def _note(key: str, choice: str, reason: str) -> None:
    """Evaluators note choices; here nobody reads them."""
