"""Checks that concern what a tokenizer's `decode` takes and returns."""

from __future__ import annotations

import numpy as np

from loretta_framework.api import protocols, random
from loretta_framework.testing.conformance.checks import check, require
from loretta_framework.testing.conformance.modalities import refusal
from loretta_framework.testing.conformance.sameness import same, shown
from loretta_framework.testing.conformance.subject import SEED, Subject


def possible_ids(subject: Subject) -> list[protocols.IntArray]:
    """Ids that a model may write: shortest, longest, lowest, highest and random ones."""
    bounds, draws = subject.bounds, random.generator(SEED, "conformance/possible")
    slots = bounds.slots or (range(bounds.vocab_size),) * bounds.max_tokens
    found = []
    for length in dict.fromkeys((bounds.min_tokens, bounds.max_tokens)):
        found.append(np.array([slot.start for slot in slots[:length]], np.int64))
        found.append(np.array([slot.stop - 1 for slot in slots[:length]], np.int64))
        found += [subject.ids_of(length, draws) for _ in range(3)]
    return found + subject.random_ids(8)


@check("tokenizer")
def decodes_any_ids(subject: Subject) -> None:
    """`decode` makes a value of any ids within the bounds, also of those that no `encode` gives.

    A model writes them, at first nearly at random. Ids that a fit left unused, sequences that contradict
    themselves, the shortest and the longest, all the lowest and all the highest: each stands for some
    value, if only for a replacement character or for silence. With `slots`, each id is from its slot.
    """
    built = subject.ready()
    for ids in possible_ids(subject):
        outcome = refusal(built.decode, ids)
        require(not outcome, f"decode({shown(ids.tolist())}) raised {outcome}")


@check("tokenizer")
def decodes_the_same_again(subject: Subject) -> None:
    """`decode` gives the same value for the same ids, and leaves the ids as they are.

    What was generated must look the same when it is judged, saved and shown. Where several values fit,
    choose by a rule; copy the ids before you write to them.
    """
    built, other = subject.ready(), subject.ready()
    for ids in possible_ids(subject):
        given = ids.copy()
        first, again, elsewhere = built.decode(given), built.decode(given), other.decode(given)
        require(np.array_equal(given, ids), f"it changed the ids {shown(ids.tolist())}")
        for value in (again, elsewhere):
            text = f"of {shown(ids.tolist())} came {shown(first)} and {shown(value)}"
            require(same(first, value), text)


@check("tokenizer")
def decodes_to_values(subject: Subject) -> None:
    """What `decode` makes is a value: `write` and `show` take it, `encode` takes or refuses it.

    Generated values are saved, shown, and given to the model again. `encode` may refuse one with a
    `ValueError`, for it may be longer than any of the training data, or hold what was never met; any
    other error is a fault. Bring the result into the form that `read` gives: type, shape and range.
    """
    built, bounds = subject.ready(), subject.bounds
    for ids in possible_ids(subject):
        value = built.decode(ids)
        text = f"of {shown(ids.tolist())} came {shown(value)}, of which"
        for name in ("write", "show"):
            outcome = refusal(getattr(built, name), value)
            require(not outcome, f"{text} `{name}` said {outcome}")
        outcome = refusal(built.encode, value)
        require(
            outcome == "" or outcome.startswith("ValueError"), f"{text} `encode` said {outcome}"
        )
        if not outcome:
            again = np.asarray(built.encode(value))
            fits = bounds.min_tokens <= len(again) <= bounds.max_tokens
            require(fits, f"{text} `encode` made {len(again)} ids")


@check("tokenizer")
def refuses_wrong_ids(subject: Subject) -> None:
    """`decode` raises `ValueError` for what are no ids: out of range, no integers, two axes.

    Numpy takes a negative number for the last one and rounds a fraction down, so a mistake in the
    caller would give a wrong value in silence. Begin with
    `ids_T = checked_ids(ids, vocab_size)` of `loretta_framework.api`.
    """
    built, size = subject.ready(), subject.bounds.vocab_size
    good = subject.random_ids(1)[0]
    too_high, negative = good.copy(), good.copy()
    too_high[-1], negative[0] = size, -1
    wrong = {
        f"with an id {size}": too_high,
        "with an id -1": negative,
        "as float64": good.astype(np.float64),
        "with two axes": good[None],
    }
    for what, ids in wrong.items():
        outcome = refusal(built.decode, ids)
        text = f"ids {what} must be refused with a ValueError, but decode"
        require(outcome.startswith("ValueError"), f"{text} {outcome or 'took them'}")
