"""What the kit asks in other processes. Answers are plain data."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from loretta_framework.api.specs import LazyReference
from loretta_framework.testing.conformance import global_state
from loretta_framework.testing.conformance.subject import SEED, Subject

ODD_NAMES = ("image.png", "image.1.png", "meta.json", "a.b.c.txt", "", ".", "..", "no extension")
"""Member names, some of which no shard could hold."""


def settings_class(reference: str) -> str:
    """Import a settings class; its name."""
    return str(LazyReference.parse(reference).resolve().__name__)


def answers(built: Any, values: Sequence[Any]) -> list[Any]:
    """What a modality or source that was sent here makes of values sent with it."""
    if hasattr(built, "modality_of"):
        return [built.modality_of(name) for name in ODD_NAMES]
    made = built.encode if hasattr(built, "encode") else built.preprocess
    return [np.asarray(made(value)).tolist() for value in values]


def own_answers(subject: Subject, values: Sequence[Any]) -> list[Any]:
    """What a modality that is built (and fitted) here makes of values sent here."""
    return answers(subject.ready(), values)


def state_changes(subject: Subject) -> list[str]:
    """Which global state importing, building and using a component changes.

    All is done twice. The first time lets other packages do to the process what they do when they
    are imported, which the component's author cannot help; the second imports only its own modules.
    """
    start = global_state.snapshot()
    use(subject)
    _forget_modules(subject)
    global_state.put_back(start)
    settled = global_state.snapshot()
    global_state.unsettle()
    before = global_state.snapshot()
    with global_state.rewrites() as rewritten:
        use(replace(subject))
    after = global_state.snapshot()
    global_state.put_back(settled)
    found = global_state.changes(before, after)
    if rewritten:
        found.append(f"{global_state.ENVIRONMENT} ({', '.join(dict.fromkeys(rewritten))})")
    if subject.group == "backbone":
        found = [text for text in found if not text.startswith(global_state.TORCH_DRAWS)]
    return found


def _forget_modules(subject: Subject) -> None:
    packages = {
        text.partition(":")[0].partition(".")[0]
        for text in (subject.spec.settings, subject.spec.factory)
    } - {"loretta_framework"}
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]


def use(subject: Subject) -> None:
    """Build a component, and put a modality or source through all it can do."""
    if subject.group == "modality":
        _use_modality(subject, subject.ready())
        return
    built = subject.build()
    if subject.group == "source":
        answers(built, ())


def _use_modality(subject: Subject, built: Any) -> None:
    for value in subject.values(2):
        if hasattr(built, "encode"):
            built.decode(built.encode(value))
        elif hasattr(built, "restore"):
            built.restore(built.preprocess(value))
        else:
            built.preprocess(value)
        built.parse(built.read(*built.write(value)))
        built.show(value)
        if hasattr(built, "features"):
            built.features(value)
        if hasattr(built, "augment"):
            built.augment(value, np.random.default_rng(SEED))
