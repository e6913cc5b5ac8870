"""Checks that concern sources."""

from __future__ import annotations

from loretta_framework.testing.conformance import questions
from loretta_framework.testing.conformance.checks import check, require
from loretta_framework.testing.conformance.modalities import refusal
from loretta_framework.testing.conformance.processes import require_same_there
from loretta_framework.testing.conformance.subject import Subject

_NAMES = (
    *questions.ODD_NAMES,
    "x" * 10_000 + ".png",
    "\N{SNOWMAN}.txt",
    "a/b.png",
    "..png",
    "image.",
    " image.png",
    "image.-1.png",
    "\x00",
)


@check("source")
def answers_any_name(subject: Subject) -> None:
    """`modality_of` gives a modality's name or None for every member name.

    Shards hold members that you never thought of, from other tools and of later versions. Answer None for
    what is not yours, and never index into `name.split(".")` without looking how many parts there are.
    """
    built = subject.build()
    for name in _NAMES:
        outcome = refusal(built.modality_of, name)
        require(not outcome, f"modality_of({name[:40]!r}) raised {outcome}")
        found = built.modality_of(name)
        text = f"modality_of({name[:40]!r}) must be a name or None, but is {found!r}"
        require(found is None or (isinstance(found, str) and found != ""), text)


@check("source")
def answers_the_same_again(subject: Subject) -> None:
    """`modality_of` is a function of the name and the settings: any order, any instance.

    The index of a set is made once and read for months. Keep no count of what was asked, and draw nothing.
    """
    built, other = subject.build(), subject.build()
    first = [built.modality_of(name) for name in _NAMES]
    again = [built.modality_of(name) for name in reversed(_NAMES)][::-1]
    elsewhere = [other.modality_of(name) for name in _NAMES]
    for name, *found in zip(_NAMES, first, again, elsewhere, strict=True):
        require(len(set(found)) == 1, f"modality_of({name[:40]!r}) was {found}")


@check("source")
def survives_pickling(subject: Subject) -> None:
    """It is sent to another process, and answers the same there.

    Worker processes map members, and some are started afresh. Hold no open file, lock or lambda; leave out in
    `__getstate__` what cannot be sent. Its class is at the top level of a module.
    """
    require_same_there(subject.build(), ())
