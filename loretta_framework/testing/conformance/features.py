"""Checks that concern `preprocess`, which encoders and decoders have in common."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from loretta_framework.testing.conformance import children, questions
from loretta_framework.testing.conformance.checks import check, require
from loretta_framework.testing.conformance.sameness import shown
from loretta_framework.testing.conformance.subject import Subject


def features_of(subject: Subject, count: int = 4) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Features of example values, stacked: (N, ...)."""
    built = subject.ready()
    return np.stack([built.preprocess(value) for value in subject.values(count)])


@check("decoder")
@check("encoder")
def features_have_one_shape(subject: Subject) -> None:
    """`preprocess` gives finite float32 arrays of one shape for all values.

    They are stacked to batches. Pad, crop or resample what varies in length, in a way that the settings
    name; bring numbers into a usual range, and replace or refuse what is not finite.
    """
    built, shapes = subject.ready(), set()
    for value in subject.values():
        array = built.preprocess(value)
        right = isinstance(array, np.ndarray) and array.dtype == np.float32
        form = getattr(array, "dtype", type(array).__name__)
        require(right, f"features must be float32 arrays, but are {form}")
        require(bool(np.isfinite(array).all()), f"features of {shown(value)} are not finite")
        shapes.add(array.shape)
    require(len(shapes) == 1, f"features must have one shape, but have {sorted(shapes)}")


@check("decoder")
@check("encoder")
def preprocesses_the_same_again(subject: Subject) -> None:
    """`preprocess` gives the same features for the same value, at once and from another instance.

    Random choices belong into `augment`, and noise that is learned from into the network. Write to a new
    array each time: a buffer that is reused changes the features that were given out before.
    """
    built, other = subject.ready(), subject.ready()
    values = subject.values()
    first = [built.preprocess(value) for value in values]
    copies = [array.copy() for array in first]
    again = [built.preprocess(value) for value in reversed(values)][::-1]
    for value, array, copy, later in zip(values, first, copies, again, strict=True):
        what = f"the features of {shown(value)}"
        require(np.array_equal(array, copy), f"{what} changed after they were given out")
        require(np.array_equal(copy, later), f"{what} differ from call to call")
        elsewhere = other.preprocess(value)
        require(np.array_equal(copy, elsewhere), f"{what} differ from instance to instance")


@check("decoder")
@check("encoder")
def preprocesses_without_torch(subject: Subject) -> None:
    """The modality is built, and `preprocess` works, where torch is not installed.

    It runs in worker processes, which would each take seconds and hundreds of megabytes for torch. Write
    it with numpy, and keep the network in a module of its own that `network()` or `decoder()` imports.
    The message names the line that imports torch.
    """
    values = subject.values(2)
    child = children.torchless(subject.plugin)
    answer = child.ask(questions.own_answers, replace(subject), values)
    importers = ", ".join(answer.importers)
    require(not answer.importers, f"torch is imported at {importers}")
    require(answer.taken() == questions.answers(subject.ready(), values), "it differs from here")
