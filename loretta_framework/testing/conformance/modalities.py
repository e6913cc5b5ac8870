"""Checks that concern every modality, whatever its form: bounds, values, what people are shown."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from loretta_framework.api import protocols
from loretta_framework.api.specs import Bounds, ModalitySpec
from loretta_framework.testing.conformance import children, questions
from loretta_framework.testing.conformance.checks import (
    CheckFailure,
    NotApplicable,
    check,
    require,
)
from loretta_framework.testing.conformance.processes import require_same_there
from loretta_framework.testing.conformance.sameness import same, shown
from loretta_framework.testing.conformance.subject import SEED, Subject


@check("modality")
def bounds_are_sound(subject: Subject) -> None:
    """`bounds()` is a promise that can be kept: ids, lengths and slots agree with each other.

    Vocabulary and sequence lengths are laid out from it before anything is built. A discrete modality
    has at least one id, a continuous one `vocab_size=0`; `1 <= min_tokens <= max_tokens`, and both are
    equal for a continuous one. `slots` are for fixed lengths: one range of step 1 for each position,
    not empty, within the vocabulary. The method is a function of the settings alone.
    """
    bounds = subject.bounds
    assert isinstance(subject.spec, ModalitySpec)
    continuous = subject.spec.capabilities.form == "continuous"
    sizes = (bounds.vocab_size, bounds.min_tokens, bounds.max_tokens)
    whole = all(isinstance(number, int) for number in sizes)
    require(whole, f"sizes must be integers, but are {sizes}")
    ids = bounds.vocab_size == 0 if continuous else bounds.vocab_size >= 1
    wanted = "0 (it is continuous)" if continuous else "at least 1"
    require(ids, f"vocab_size must be {wanted}, but is {bounds.vocab_size}")
    ordered = 1 <= bounds.min_tokens <= bounds.max_tokens
    lengths = f"but they are {bounds.min_tokens} and {bounds.max_tokens}"
    require(ordered, f"1 <= min_tokens <= max_tokens must hold, {lengths}")
    require(
        bounds.fixed_length or not continuous,
        f"a continuous modality must have min_tokens = max_tokens, {lengths}",
    )
    _require_slots(bounds)
    require(subject.settings_with().bounds() == bounds, "the same settings gave other bounds")


def _require_slots(bounds: Bounds) -> None:
    if not bounds.slots:
        return
    require(bounds.fixed_length, "slots must come with a fixed length, but the length varies")
    count = f"but there are {len(bounds.slots)} for {bounds.max_tokens}"
    require(len(bounds.slots) == bounds.max_tokens, f"there must be a slot a token, {count}")
    for place, slot in enumerate(bounds.slots):
        inside = slot.step == 1 and 0 <= slot.start < slot.stop <= bounds.vocab_size
        text = f"must be a range within 0..{bounds.vocab_size - 1}, but is {slot}"
        require(inside, f"the slot of token {place} {text}")


@check("modality")
def has_examples(subject: Subject) -> None:
    """The kit has example values to try it with.

    Without any, hardly a check can be tried, and none of them fails. Give the spec a `trial` with
    `values`. A tokenizer that needs no fit can do without: its values are what random ids decode to,
    where `encode` takes some of them.
    """
    _ = subject.settings  # `any.builds` fails where there are none
    try:
        subject.values(1)
    except NotApplicable as reason:
        raise CheckFailure(str(reason)) from reason


@check("modality")
def survives_pickling(subject: Subject) -> None:
    """It is sent to another process, and the values with it, and makes the same of them there.

    The object that the factory returns goes to worker processes, and values come back from them. Hold
    no open file, lock, generator, lambda or library handle; leave out in `__getstate__` what cannot be
    sent, and open it again when it is needed. Learned state is sent with it.
    """
    require_same_there(subject.ready(), subject.values())


@check("modality")
def same_in_another_process(subject: Subject) -> None:
    """Built (and fitted) in another process, under another hash seed, it makes the same of a value.

    Tokens are cached, and read by other processes on other machines. Sort before you number what comes
    from a set or a folder; never use `hash()` of a text, the time, the process number, or a random
    number that has no seed. A fit follows from its values and its seed alone.
    """
    values = subject.values()
    here = questions.answers(subject.ready(), values)
    child = children.worker()
    there = child.ask(questions.own_answers, replace(subject), values).taken()
    for value, wanted, given in zip(values, here, there, strict=True):
        text = f"of {shown(value)} it makes {shown(wanted)} here"
        require(wanted == given, f"{text} and {shown(given)} there")


@check("modality")
def parses_values(subject: Subject) -> None:
    """`parse` of a value gives an equal value.

    `parse` takes what callers of the Python API hold, and a value is one of those things: what one
    call returned is often given to the next. Recognise a value first, and return it as it is.
    """
    built = subject.ready()
    for value in subject.values():
        parsed = built.parse(value)
        require(same(parsed, value), f"of {shown(value)} it made {shown(parsed)}")


_NO_VALUES: tuple[Any, ...] = (
    None,
    object(),
    b"\x00\xff",
    "",
    -1,
    float("nan"),
    True,
    [],
    {},
    [[1], [2, 3]],
    ["a", None],
    np.array(None),
    np.zeros((0, 3, 0)),
    1j,
)


@check("modality")
def parses_or_refuses(subject: Subject) -> None:
    """`parse` of something else gives a value or raises `ValueError`, and nothing else.

    A caller's mistake is told apart from a fault in the modality by the kind of error. Look at the
    type before you use the thing, or turn what conversions raise (`TypeError`, `OverflowError`,
    `AttributeError`) into a `ValueError` that says what a value must be and what was given.
    """
    built = subject.ready()
    for thing in _NO_VALUES:
        outcome = refusal(built.parse, thing)
        text = f"parse({shown(thing)}) raised {outcome}"
        require(outcome == "" or outcome.startswith("ValueError"), text)


def refusal(call: Callable[..., Any], *arguments: Any) -> str:
    """The error of a call, "" when there is none; every `ValueError` reads "ValueError: ..."."""
    try:
        call(*arguments)
    except ValueError as error:
        return f"ValueError: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


_SIGNS: dict[str, bytes] = {"png": b"\x89PNG\r\n\x1a\n", "wav": b"RIFF"}
_TEXTS = ("txt", "csv", "html")


@check("modality")
def shows_artifacts(subject: Subject) -> None:
    """`show` gives files that people can look at or listen to.

    Return a list of `Artifact(data, extension)`, at least one, none of them empty: "png" with a PNG's
    bytes, "wav" with a WAV's, or "txt", "csv" or "html" in UTF-8. Galleries, previews and reports put
    them into pages as they are.
    """
    built = subject.ready()
    for value in subject.values():
        artifacts = built.show(value)
        require(len(artifacts) > 0, f"it shows nothing of {shown(value)}")
        for artifact in artifacts:
            right = isinstance(artifact, protocols.Artifact)
            require(right, f"it must show `Artifact`s, but shows {shown(artifact)}")
            _require_file(artifact)


def _require_file(artifact: protocols.Artifact) -> None:
    kind, data = artifact.extension, artifact.data
    known = (*_SIGNS, *_TEXTS)
    require(kind in known, f"an artifact must be one of {', '.join(known)}, but is {kind!r}")
    filled = isinstance(data, bytes) and len(data) > 0
    require(filled, f"an artifact must hold bytes, but the {kind} holds {shown(data)}")
    require(data.startswith(_SIGNS.get(kind, b"")), f"the {kind} does not begin as one")
    if kind in _TEXTS:
        fault = refusal(data.decode, "utf-8")
        require(not fault, f"the {kind} must be UTF-8: {fault}")


@check("modality")
def values_stay_unchanged(subject: Subject) -> None:
    """No method changes the value it is given.

    A value is used again: encoded, shown, compared, given to the next objective. Copy an array before
    you write to it (`value.copy()`, `np.clip` without `out`), sort with `sorted`, and build new
    containers instead of changing the old.
    """
    built = subject.ready()
    calls = {
        name: getattr(built, name)
        for name in ("encode", "preprocess", "write", "show", "parse", "features")
        if hasattr(built, name)
    }
    if hasattr(built, "augment"):
        calls["augment"] = lambda value: built.augment(value, np.random.default_rng(SEED))
    for name, call in calls.items():
        for value in subject.values():
            before = copy.deepcopy(value)
            call(value)
            text = f"`{name}` changed {shown(before)} to {shown(value)}"
            require(same(before, value), text)


@check("modality")
def augments_by_its_generator(subject: Subject) -> None:
    """`augment` draws from the generator it is given, and makes a value that can be encoded.

    Its second argument is a numpy generator that was made for this sample of this step: a restarted
    run, and a run with other workers, draws the same. Take every random number from there, none from
    `np.random` or `random`, and keep the result within what `encode` (or `preprocess`) takes.
    """
    built = subject.ready()
    if not hasattr(built, "augment"):
        raise NotApplicable("it has no `augment`")
    take = built.encode if hasattr(built, "encode") else built.preprocess
    for value in subject.values():
        for seed in (SEED, SEED + 1):
            first = built.augment(value, np.random.default_rng(seed))
            again = built.augment(value, np.random.default_rng(seed))
            text = f"of {shown(value)} it made {shown(first)} and {shown(again)}"
            require(same(first, again), f"the same generator gave two results: {text}")
            fault = refusal(take, first)
            require(not fault, f"what it makes of {shown(value)} cannot be used: {fault}")


@check("modality")
def features_can_be_judged(subject: Subject) -> None:
    """`features` gives finite float32 arrays (channels, height, width) of one shape.

    The evaluation trains a small network on them, to judge what was generated. Pad or resample what
    varies in length; the shape must follow from the settings alone. Without `features`, the modality
    is left out of such figures.
    """
    built = subject.ready()
    if not hasattr(built, "features"):
        raise NotApplicable("it has no `features`")
    shapes = set()
    for value in subject.values():
        array = built.features(value)
        right = isinstance(array, np.ndarray) and array.dtype == np.float32 and array.ndim == 3
        require(
            right, f"features must be float32 (channels, height, width), but are {_form(array)}"
        )
        require(bool(np.isfinite(array).all()), f"features of {shown(value)} are not finite")
        shapes.add(array.shape)
    require(len(shapes) == 1, f"features must have one shape, but have {sorted(shapes)}")


def _form(array: Any) -> str:
    return f"{getattr(array, 'dtype', type(array).__name__)} {getattr(array, 'shape', '')}"
