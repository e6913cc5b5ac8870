"""Checks that concern what a tokenizer's `encode` returns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from loretta_framework.testing.conformance.checks import NotApplicable, check, require
from loretta_framework.testing.conformance.modalities import refusal
from loretta_framework.testing.conformance.sameness import promises, require_near, shown
from loretta_framework.testing.conformance.subject import Subject


@check("tokenizer")
def ids_are_int64(subject: Subject) -> None:
    """`encode` returns a numpy array of int64 with one axis.

    Return `np.array(ids, np.int64)`, also where there is one token only. Other integer types overflow
    when offsets are added, and lists and tensors are slow to send between processes.
    """
    built = subject.ready()
    for value in subject.values():
        ids = built.encode(value)
        right = isinstance(ids, np.ndarray) and ids.dtype == np.int64 and ids.ndim == 1
        form = f"{getattr(ids, 'dtype', type(ids).__name__)} {getattr(ids, 'shape', '')}"
        require(right, f"ids must be int64 (T,), but are {form}")


@check("tokenizer")
def ids_in_range(subject: Subject) -> None:
    """Every id that `encode` returns lies in 0..vocab_size-1.

    The framework adds offsets, class and end tokens: an id outside belongs to another modality. Ids of
    your own start at 0; reserve those that a fit may need in `bounds()`, before anything is fitted.
    """
    built, size = subject.ready(), subject.bounds.vocab_size
    for value in subject.values():
        ids = np.asarray(built.encode(value))
        inside = ids.size == 0 or (ids.min() >= 0 and ids.max() < size)
        span = f"{ids.min()}..{ids.max()}" if ids.size else "none"
        require(bool(inside), f"ids of {shown(value)} span {span}, but must lie in 0..{size - 1}")


@check("tokenizer")
def length_in_bounds(subject: Subject) -> None:
    """`encode` returns from `min_tokens` to `max_tokens` ids.

    Rows are laid out, and the longest sequence is known, from `bounds()`. Raise `ValueError` for a
    value that would be shorter or longer; with `min_tokens = max_tokens` all values have one length.
    """
    built, bounds = subject.ready(), subject.bounds
    for value in subject.values():
        length = len(built.encode(value))
        inside = bounds.min_tokens <= length <= bounds.max_tokens
        allowed = f"but must have {bounds.min_tokens}..{bounds.max_tokens}"
        require(inside, f"{shown(value)} has {length} tokens, {allowed}")


@check("tokenizer")
def encodes_the_same_again(subject: Subject) -> None:
    """`encode` gives the same ids for the same value, at once, later, and from another instance.

    Random choices belong into `augment`. Look for a generator that is drawn from in `encode`, for
    order that comes from a set, and for state that the instance takes from outside its settings.
    """
    built, other = subject.ready(), subject.ready()
    for value in subject.values():
        ids = built.encode(value)
        for again, who in ((built.encode(value), "again"), (other.encode(value), "elsewhere")):
            text = f"{shown(value)} became {shown(ids)}, and {who} {shown(again)}"
            require(np.array_equal(ids, again), text)


@check("tokenizer")
def keeps_no_memory(subject: Subject) -> None:
    """The ids of a value do not depend on what was encoded or decoded before it.

    Workers meet samples in any order, so a batch must give what a loop gives. Keep nothing of a value
    on the instance: no buffer that is reused, no vocabulary that grows, no running mean.
    """
    built, other, values = subject.ready(), subject.ready(), subject.values()
    forward = [np.array(built.encode(value)) for value in values]
    for ids in forward:
        built.decode(ids)
    backward = [np.array(other.encode(value)) for value in reversed(values)][::-1]
    again = [np.array(built.encode(value)) for value in reversed(values)][::-1]
    for value, ids, *others in zip(values, forward, backward, again, strict=True):
        for later in others:
            text = f"{shown(value)} became {shown(ids)}, and after other values {shown(later)}"
            require(np.array_equal(ids, later), text)


@check("tokenizer")
def comes_back(subject: Subject) -> None:
    """`decode(encode(value))` is the value, or as near to it as the trial says.

    A modality with `lossy=False` gives back an equal value; for another, `max_distance` in the trial
    says how much is lost by its `distance`. Look for an axis or an order that only one of the two
    knows, for ids that two things share, and for an end that is cut. Without a `max_distance`, a lossy
    modality promises nothing: give its trial one, since the figure is what users ask for first.
    """
    built = subject.ready()
    if not promises(subject):
        raise NotApplicable("it is lossy, and its trial has no `max_distance`")
    for value in subject.values():
        require_near(subject, value, built.decode(built.encode(value)), "decode(encode(value))")


@check("tokenizer")
def refuses_other_axes(subject: Subject) -> None:
    """An array with an axis more than a value has, flattened, or of one number without any axis, is
    refused with a `ValueError`.

    A batch of one looks like a value, and flattened it can be taken for another. Compare the shape, or
    the number of axes, with what a value must have; never `reshape`, `squeeze` or broadcast what was
    given into it. It is tried where values are numpy arrays.
    """
    built = subject.ready()
    values = [value for value in subject.values() if isinstance(value, np.ndarray) and value.ndim]
    if not values:
        raise NotApplicable("its values are no arrays")
    for value in values:
        flat = [value.reshape(-1)] if value.ndim > 1 else []
        for other in [value[None], *flat, value.reshape(-1)[:1].reshape(())]:
            outcome = refusal(built.encode, other)
            text = (
                f"an array {other.shape} instead of {value.shape} must be refused with a ValueError"
            )
            require(outcome.startswith("ValueError"), f"{text}, but encode {outcome or 'took it'}")


@check("tokenizer")
def nothing_is_cut(subject: Subject) -> None:
    """A value that has more tokens than `max_tokens` is refused with a `ValueError`, never cut.

    Cut values would be learned as whole ones, without a word to anybody. Count before you return, and
    raise `ValueError` with both numbers. It is tried with the trial's `refused` values, and with
    settings whose `max_tokens` is one below what an example value needs.
    """
    tried = 0
    built = subject.ready()
    for value in subject.refused():
        fault = refusal(built.encode, value)
        text = f"of {shown(value)}, which must be refused, `encode` said {fault or 'nothing'}"
        require(fault.startswith("ValueError"), text)
        tried += 1
    narrow = _narrow(subject, built)
    if narrow is not None:
        encode, value, most = narrow
        fault = refusal(encode, value)
        text = f"`encode` of {shown(value)} with max_tokens={most}"
        require(fault == "" or fault.startswith("ValueError"), f"{text} raised {fault}")
        require(fault != "", f"{text} returned ids instead of a ValueError")
        tried += 1
    if not tried:
        raise NotApplicable(
            "its trial has no `refused` values, and no setting `max_tokens` can be lowered"
        )


def _narrow(subject: Subject, built: Any) -> tuple[Callable[[Any], Any], Any, int] | None:
    """`encode` of an instance whose `max_tokens` is one too few for the value beside it."""
    bounds, fields = subject.bounds, type(subject.settings).model_fields
    if bounds.fixed_length or "max_tokens" not in fields:
        return None
    lengths = [(len(built.encode(value)), value) for value in subject.values()]
    needed, value = max(lengths, key=lambda pair: pair[0])
    most = needed - 1
    if most < bounds.min_tokens:
        return None
    small = subject.build(subject.settings_with(max_tokens=most))
    if hasattr(built, "save"):
        with tempfile.TemporaryDirectory() as folder:
            built.save(Path(folder))
            if refusal(small.load, Path(folder)):
                small.fit([item for length, item in lengths if length <= most], seed=0)
    return small.encode, value, most
