"""Checks that concern tokenizers that learn from data."""

from __future__ import annotations

import gc
import json
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from loretta_framework.testing.conformance.checks import check, require
from loretta_framework.testing.conformance.decoding import possible_ids
from loretta_framework.testing.conformance.modalities import refusal
from loretta_framework.testing.conformance.sameness import same, shown
from loretta_framework.testing.conformance.subject import FIT_VALUES, Subject


class Values:
    """What `fit` is given in training: it can be iterated, more than once, and nothing else."""

    def __init__(self, values: Sequence[Any]) -> None:
        self._values = values
        self.rounds = 0

    def __iter__(self) -> Iterator[Any]:
        self.rounds += 1
        return iter(self._values)


def _require_refusal(call: Any, what: str, *arguments: Any) -> None:
    outcome = refusal(call, *arguments)
    text = f"{what} must be refused with a ValueError, but"
    require(outcome.startswith("ValueError"), f"{text} {outcome or 'was not'}")


@check("fitted")
def refuses_before_the_fit(subject: Subject) -> None:
    """`encode`, `decode` and `save` raise `ValueError` before `fit` or `load`.

    A tokenizer that starts with some state of its own would train a model on ids that mean nothing.
    Keep the state at None until it is learned, and say in the error that it must be fitted or loaded.
    """
    built = subject.build()
    _require_refusal(built.encode, "`encode` before the fit", subject.values(1)[0])
    _require_refusal(built.decode, "`decode` before the fit", subject.random_ids(1)[0])
    with tempfile.TemporaryDirectory() as folder:
        _require_refusal(built.save, "`save` before the fit", Path(folder))


@check("fitted")
def refuses_to_fit_on_nothing(subject: Subject) -> None:
    """`fit` raises `ValueError` when there are no values.

    An empty training set is a mistake in a recipe. Count what was iterated, and say that there must be
    at least one value; the instance stays unfitted.
    """
    built = subject.build()
    _require_refusal(built.fit, "a fit without values", Values([]), 0)
    _require_refusal(built.encode, "`encode` after it", subject.values(1)[0])


@check("fitted")
def reports_its_fit(subject: Subject) -> None:
    """`fit` returns figures that say how good it is: names with finite numbers.

    They are printed, and saved with the run. Return a mapping such as
    `{"distortion": 0.02, "codes_used": 61.0}`; one figure at least, so that a bad fit is seen before the
    model is trained on it.
    """
    figures = subject.build().fit(Values(subject.values(FIT_VALUES)), seed=0)
    require(isinstance(figures, Mapping) and len(figures) > 0, f"it returned {shown(figures)}")
    for name, figure in figures.items():
        number = isinstance(figure, Real) and bool(np.isfinite(float(figure)))
        require(isinstance(name, str) and number, f"the figure {name!r} is {figure!r}")


@check("fitted")
def fits_the_same_again(subject: Subject) -> None:
    """The same values and the same seed give the same state.

    A run that is started again must learn the same ids. Draw from `loretta_framework.api.generator` with
    the seed given, sum in one order (one thread where a library offers several), and start from nothing:
    a second `fit` of one instance replaces the first.
    """
    first, twice = subject.ready(), subject.fitted_anew()
    _require_equal(subject, first, twice, "a fit of another instance with the same seed")
    twice.fit(Values(subject.values(FIT_VALUES)), seed=0)
    _require_equal(subject, first, twice, "a second fit with the same seed")


def _require_equal(subject: Subject, first: Any, second: Any, what: str) -> None:
    for value in subject.values():
        ids, others = first.encode(value), second.encode(value)
        text = f"{what} gave other ids: {shown(value)} became {shown(ids)} and {shown(others)}"
        require(np.array_equal(ids, others), text)
    for ids in possible_ids(subject):
        value, other = first.decode(ids), second.decode(ids)
        text = f"{what} gave other values: {shown(ids.tolist())} became {shown(value)}"
        require(same(value, other), f"{text} and {shown(other)}")


@check("fitted")
def fits_from_any_iterable(subject: Subject) -> None:
    """`fit` only iterates over its values, and does not keep them.

    They are read from shards as they are asked for, and are many more than memory holds. Use
    `for value in values`, more than once where you must; no `len`, no index. Keep what you learned, not
    what you learned it from: the instance is sent to every worker.
    """
    values = Values(subject.values(FIT_VALUES))
    built = subject.build()
    outcome = refusal(built.fit, values, 0)
    require(not outcome, f"fit on an iterable without length raised {outcome}")
    require(values.rounds > 0, "fit did not look at the values")
    watched = weakref.ref(values)
    del values
    gc.collect()
    require(watched() is None, "the instance keeps the iterable that it was fitted on")
    del built


@check("fitted")
def state_comes_back(subject: Subject) -> None:
    """A fresh instance that loads what another saved gives the same ids and the same values.

    A model is worth nothing without the meaning of its ids. Save all that `encode` and `decode` look at,
    in full precision, and take it back in `load`; what follows from the settings need not be saved.
    """
    built, loaded = subject.ready(), subject.build()
    with tempfile.TemporaryDirectory() as folder:
        built.save(Path(folder))
        loaded.load(Path(folder))
        kept = sorted(path.name for path in Path(folder).rglob("*") if path.is_file())
    require(bool(kept), "`save` wrote no file")
    _require_equal(subject, built, loaded, "saving and loading")


_DATA = {".json", ".npy", ".safetensors", ".png", ".html", ".csv", ".txt", ".wav"}
_CODE = {".pkl", ".pickle", ".pt", ".pth", ".joblib", ".dill", ".npz", ".py", ".so"}
_CODE_SIGNS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04", b"\x7fELF")
"""Pickles, archives of them (what torch.save writes), and libraries."""


@check("fitted")
def saves_only_data(subject: Subject) -> None:
    """What `save` writes can be read without running code: JSON, npy without objects, safetensors.

    A run directory is passed on, and whoever loads it must not run what its author wrote into it. Use
    `json`, `np.save(..., allow_pickle=False)` or `safetensors`; pictures and tables that show the fit
    may lie beside. No pickle, no `torch.save`, no npz. A library's own format may be kept where it holds
    data alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        subject.ready().save(Path(folder))
        files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
        require(bool(files), "`save` wrote no file")
        for path in files:
            fault = _fault(path.suffix, path.read_bytes(), path)
            require(not fault, f"'{path.relative_to(folder)}' {fault}")


def _fault(suffix: str, data: bytes, path: Path) -> str:
    """What is wrong with a saved file, "" when nothing is."""
    if suffix in _CODE or data.startswith(_CODE_SIGNS):
        return "is of a kind that can run code when it is opened"
    if suffix == ".json":
        return refusal(json.loads, data)
    if suffix == ".npy":
        return refusal(lambda: np.load(path, allow_pickle=False))
    if suffix == ".safetensors":
        from safetensors.numpy import load

        return refusal(load, data)
    return ""


@check("fitted")
def refuses_foreign_state(subject: Subject) -> None:
    """`load` raises `ValueError` when files are missing, damaged or not its own.

    A copy that stopped half-way must not become a tokenizer. Check that every file is there, has the
    shapes and ranges that the settings ask for, and is whole; turn what readers raise (`OSError`,
    `KeyError`, `EOFError`) into a `ValueError` that names the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder, "state")
        _require_refusal(subject.build().load, "an empty folder", Path(folder))
        _require_refusal(subject.build().load, "a folder that is not there", state)
        subject.ready().save(state)
        files = {p: p.read_bytes() for p in state.rglob("*") if p.is_file()}
        for what, damage in _DAMAGES.items():
            for path, data in files.items():
                path.write_bytes(damage(data))
            _require_refusal(subject.build().load, f"a state whose files are {what}", state)
        for path in files:
            path.unlink()
        _require_refusal(subject.build().load, "a state whose files are gone", state)


_DAMAGES: dict[str, Any] = {
    "empty": lambda data: b"",
    "cut in half": lambda data: data[: len(data) // 2],
    "noise": lambda data: np.random.default_rng(len(data)).bytes(max(len(data), 1)),
    "JSON of something else": lambda data: b'{"something": "else"}',
}
