"""The many ways to fail a check: each is seen, and told in words."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import global_sins
import numpy as np
import pytest
import sound_components as parts
from sound_plugin import broken, made, sound

from loretta_framework.api import Artifact, Bounds, Kernel
from loretta_framework.api.errors import MissingDependencyError, ShardError
from loretta_framework.testing.conformance import CheckResult, Subject
from loretta_framework.testing.conformance.running import checks_of, run_check


def result_of(subject: Subject, name: str) -> CheckResult:
    (item,) = (item for item in checks_of(subject) if item.id == name)
    return run_check(subject, item)


def letters(**members: Any) -> Subject:
    return broken("letters", made(parts.Letters, **members))()


def levels(**members: Any) -> Subject:
    return broken("levels", made(parts.Levels, **members))()


def wave(**members: Any) -> Subject:
    return broken("wave", made(parts.Wave, **members))()


def rows(**members: Any) -> Subject:
    return broken("rows", made(parts.Rows, store=made(parts.Store, **members)))()


def quiet(name: str, **members: Any) -> Subject:
    return broken(name, made(parts.Quiet, **members))()


def bounds(*sizes: Any, slots: Any = (), name: str = "letters") -> Subject:
    base = {"letters": parts.LettersSettings, "wave": parts.WaveSettings}[name]
    settings = made(base, bounds=lambda self: Bounds(*sizes, slots=slots))
    return broken(name, settings=f"{settings.__module__}:{settings.__name__}")()


def finds(**found: Any) -> Subject:
    return quiet("judge", evaluate=lambda self, context: {"edges": {}, **found})


KERNEL = Kernel("fast", "sound_components:absent", "pip install fast", "It is slower.")
BOUNDS = "modality.bounds_are_sound"
STORE = "source.store_is_sound"
AGAIN = "source.store_opens_again"
SHOWS = "modality.shows_artifacts"
PLAIN = "evaluator.returns_plain_data"
EDGES = "evaluator.judges_edges_that_exist"
TRIP = "callback.state_round_trip"
VECTORS = "encoder.gives_vectors"


def artifacts(*shown: Any) -> Subject:
    return letters(show=lambda self, value: list(shown))


@pytest.mark.parametrize(
    ("subject", "name", "text"),
    [
        (
            broken("letters", name="two words"),
            "any.name_and_summary",
            "must be plain, but is 'two w",
        ),
        (
            broken("letters", name="letters"),
            "any.name_and_summary",
            "the plugin's name before a dot",
        ),
        (broken("letters", summary="a" * 130 + "."), "any.name_and_summary", "at most 120"),
        (broken("letters", version=0), "any.name_and_summary", "from 1, but is 0"),
        (broken("letters", api=(7, 8)), "any.name_and_summary", "must hold 1, but is 7..8"),
        (
            broken("letters", settings="sound_components:words"),
            "any.references_resolve",
            "`settings` must be a class: sound_components:words",
        ),
        (
            broken("letters", factory="sound_components:LETTERS"),
            "any.references_resolve",
            "possible to call sound_components:LETTERS",
        ),
        (
            broken("letters", trial="sound_components:words"),
            "any.references_resolve",
            "must be a `Trial`, but sound_components:words is none",
        ),
        (
            broken("letters", kernels=(KERNEL,)),
            "any.references_resolve",
            "components:absent': Attri",
        ),
        (
            broken("letters", parts.Wave),
            "any.builds",
            "'Wave' lacks members of Tokenizer (decode, enc",
        ),
        (
            broken("letters", capabilities={"fitted": True}),
            "any.builds",
            "FittedTokenizer (fit, load",
        ),
        (lambda: letters(__new__=lambda *_: ONLY), "any.builds_twice", "the same object twice"),
        (
            broken("folder", settings="sound_components:Numbers"),
            "any.settings_class",
            "must derive from `Settings`",
        ),
        (lambda: bounds(0, 1, 2), BOUNDS, "vocab_size must be at least 1, but is 0"),
        (lambda: bounds(3, 2, 2, name="wave"), BOUNDS, "must be 0 (it is continuous), but is 3"),
        (lambda: bounds(0, 1, 2, name="wave"), BOUNDS, "must have min_tokens = max_tokens"),
        (lambda: bounds(3, 0, 2), BOUNDS, "but they are 0 and 2"),
        (lambda: bounds(3, 1, 2.0), BOUNDS, "must be integers, but are (3, 1, 2.0)"),
        (lambda: bounds(3, 1, 1, slots=(range(4),)), BOUNDS, "within 0..2, but is range(0, 4)"),
        (lambda: bounds(3, 1, 1, slots=(range(0, 3, 2),)), BOUNDS, "but is range(0, 3, 2)"),
        (lambda: bounds(3, 2, 2, slots=(range(3),)), BOUNDS, "there are 1 for 2"),
        (lambda: artifacts(), SHOWS, "it shows nothing of"),
        (lambda: artifacts(b"text"), SHOWS, "must show `Artifact`s, but shows b'text'"),
        (
            lambda: artifacts(Artifact(b"x", "gif")),
            SHOWS,
            "must be one of png, wav, txt, csv, html",
        ),
        (lambda: artifacts(Artifact(b"", "txt")), SHOWS, "must hold bytes, but the txt holds b''"),
        (lambda: artifacts(Artifact(b"RIFX", "wav")), SHOWS, "the wav does not begin as one"),
        (lambda: artifacts(Artifact(b"\xff", "html")), SHOWS, "the html must be UTF-8"),
        (
            lambda: letters(augment=lambda self, value, random: value + "!" * 20),
            "modality.augments_by_its_generator",
            "cannot be used: ValueError: a word must have at most 6",
        ),
        (
            lambda: letters(features=lambda self, value: np.zeros((1, 1, 1))),
            "modality.features_can_be_judged",
            "must be float32 (channels, height, width), but are float64 (1, 1, 1)",
        ),
        (
            lambda: letters(features=lambda self, value: np.full((1, 1, 1), np.inf, np.float32)),
            "modality.features_can_be_judged",
            "are not finite",
        ),
        (
            broken("letters", capabilities={"extensions": ()}),
            "modality.names_its_files",
            "`capabilities.extensions` is empty",
        ),
        (
            broken("letters", capabilities={"extensions": (".TXT",)}),
            "modality.names_its_files",
            "lower-case letters and digits, but is '.TXT'",
        ),
        (
            lambda: letters(write=lambda self, value: (value, "txt")),
            "modality.names_its_files",
            "must return bytes, but returns str",
        ),
        (
            lambda: levels(write=lambda self, value: (json.dumps([0.5] * 4).encode(), "json")),
            "modality.reads_what_it_writes",
            "may lose 0.2 (`max_distance`), but loses 0.",
        ),
        (
            lambda: letters(
                read=lambda self, data, extension: data.decode("ascii", "replace") + "!"
            ),
            "modality.reads_what_it_writes",
            "must give the value back (`lossy` is False), but of",
        ),
        (
            lambda: letters(
                read=lambda self, data, extension: {}[1] if extension == "unknown" else "a"
            ),
            "modality.refuses_damaged_files",
            "as 'unknown': read raised KeyError: 1",
        ),
        (
            lambda: letters(read=lambda self, data, extension: data or 7),
            "modality.refuses_damaged_files",
            "was read, but then it raised TypeError",
        ),
        (
            lambda: letters(encode=lambda self, value: [0]),
            "tokenizer.ids_are_int64",
            "must be int64 (T,), but are list",
        ),
        (
            lambda: letters(encode=lambda self, value: np.array([-1])),
            "tokenizer.ids_in_range",
            "span -1..-1, but must lie in 0..25",
        ),
        (
            lambda: letters(encode=lambda self, value: np.zeros(0, np.int64)),
            "tokenizer.length_in_bounds",
            "has 0 tokens, but must have 1..6",
        ),
        (
            lambda: letters(decode=lambda self, ids: ids.sort() or "a"),
            "tokenizer.decodes_the_same_again",
            "it changed the ids",
        ),
        (
            lambda: letters(encode=longer_second_time),
            "tokenizer.decodes_to_values",
            "`encode` made 7 ids",
        ),
        (
            lambda: letters(encode=lambda self, value: {}[value]),
            "tokenizer.decodes_to_values",
            "`encode` said KeyError",
        ),
        (
            lambda: letters(decode=lambda self, ids: "ab"[int(max(0, -ids.min()))]),
            "tokenizer.refuses_wrong_ids",
            "ids with an id 26 must be refused with a ValueError, but decode took them",
        ),
        (
            lambda: letters(
                decode=lambda self, ids: [0] * 26 and "a" * {0: 1}[int(ids.max() > 25)]
            ),
            "tokenizer.refuses_wrong_ids",
            "but decode KeyError: 1",
        ),
        (
            lambda: levels(save=lambda self, directory: None),
            "fitted.refuses_before_the_fit",
            "`save` before the fit must be refused with a ValueError, but was not",
        ),
        (
            lambda: levels(fit=lambda self, values, seed: {}),
            "fitted.reports_its_fit",
            "it returned {}",
        ),
        (
            lambda: levels(fit=lambda self, values, seed: values[0]),
            "fitted.fits_from_any_iterable",
            "without length raised TypeError",
        ),
        (
            lambda: levels(fit=lambda self, values, seed: {"values": 1.0}),
            "fitted.fits_from_any_iterable",
            "did not look at the values",
        ),
        (
            lambda: levels(save=lambda self, d: None, load=lambda self, d: None),
            "fitted.state_comes_back",
            "`save` wrote no file",
        ),
        (
            lambda: levels(save=saves("a.npz")),
            "fitted.saves_only_data",
            "'a.npz' is of a kind that",
        ),
        (lambda: levels(save=saves("a.json")), "fitted.saves_only_data", "'a.json' ValueError"),
        (lambda: levels(save=saves("a.npy")), "fitted.saves_only_data", "'a.npy' ValueError"),
        (
            lambda: levels(save=saves("a.safetensors")),
            "fitted.saves_only_data",
            "'a.safetensors' SafetensorError",
        ),
        (
            lambda: wave(preprocess=lambda self, value: value.tolist()),
            "encoder.features_have_one_shape",
            "must be float32 arrays, but are list",
        ),
        (
            lambda: wave(preprocess=lambda self, value: value[value > 0.5]),
            "decoder.features_have_one_shape",
            "features must have one shape, but have",
        ),
        (
            lambda: wave(preprocess=lambda self, value: np.random.rand(2, 3).astype("f4")),
            "encoder.preprocesses_the_same_again",
            "differ from call to call",
        ),
        (lambda: wave(network=lambda self: None, width=3), VECTORS, None),
        (
            lambda: wave(network=lambda self: None),
            VECTORS,
            "`width` must be the integer 3 of its features, but is None",
        ),
        (
            lambda: wave(network=lambda self: None, width=4),
            VECTORS,
            "`width` must be the integer 3 of its features, but is 4",
        ),
        (
            lambda: wave(network=lambda self: None, preprocess=lambda self, value: value),
            VECTORS,
            "without a network, features must be (2, width), but are (6,)",
        ),
        (lambda: wave(network=lambda self: parts), VECTORS, "must be a torch module with `width`"),
        (lambda: rows(__init__=float_shapes), STORE, "shape_S must be uint32 (3,), but is float64"),
        (lambda: rows(shapes=()), STORE, "shape_S counts beyond `shapes`"),
        (lambda: rows(starts=(0, 3)), STORE, "stay below 3, but are [0, 3]"),
        (lambda: rows(starts=(1,)), STORE, "must ascend from 0"),
        (lambda: rows(key=lambda self, sample: "k"), STORE, "keys repeat within a file"),
        (
            lambda: rows(starts=(0, 1, 2), key=lambda self, sample: "k"),
            STORE,
            "'k' has two hashes",
        ),
        (
            lambda: rows(key_hashes=lambda self: np.zeros(3)),
            STORE,
            "key hashes must be uint64 (3,), but are float64 (3,)",
        ),
        (lambda: rows(place=lambda self, sample: ""), STORE, "sample 'a' has no place"),
        (lambda: rows(__len__=lambda self: 0), STORE, "the trial's rows gave no samples"),
        (lambda: rows(digest="DIGEST"), AGAIN, "must be hexadecimal, but is 'DIGEST'"),
        (
            broken("rows", made(parts.Rows, open=lambda self, patterns, base: fails())),
            "source.names_what_is_not_there",
            "must name the pattern, but is: nothing",
        ),
        (
            broken("folder", made(parts.Folder, modality_of=lambda self, member: member)),
            "source.answers_any_name",
            "modality_of('') must be a name or None, but is ''",
        ),
        (
            lambda: quiet("watch", on_step=lambda self, run, metrics: setattr(run, "steps", 9)),
            "callback.watches_a_run",
            "it changed the run it was shown at step 1",
        ),
        (
            lambda: quiet("watch", state=lambda self: {}),
            TRIP,
            "has only one of `state` and `restore`",
        ),
        (
            lambda: quiet(
                "watch", state=lambda self: {"a": (1,)}, restore=lambda self, state: None
            ),
            TRIP,
            "the state {'a': (1,)} must be plain JSON data",
        ),
        (
            lambda: quiet(
                "watch", state=lambda self: {"seen": self.seen}, restore=lambda self, state: None
            ),
            TRIP,
            "of the state {'seen': 2} came {'seen': 0}",
        ),
        (lambda: quiet("watch", state=counted, restore=recounted), TRIP, None),
        (lambda: quiet("judge", evaluate=lambda self, context: []), PLAIN, "mapping with 'edges'"),
        (lambda: finds(worst=float("nan")), PLAIN, "cannot be written: ValueError: Out of range"),
        (lambda: finds(by={1: "a"}), PLAIN, "are all keys texts?"),
        (lambda: finds(edges={"a->b": {}}), EDGES, "there is no edge 'a->b' between english, fig"),
        (
            lambda: finds(edges={"->english": {"mean": None}}),
            EDGES,
            "'mean' of ->english is None",
        ),
    ],
)
def test_the_fault_is_told(subject: Any, name: str, text: str | None) -> None:
    """Where the text is None, nothing is wrong, or nothing can be tried."""
    result = result_of(subject(), name)
    if text is None:
        assert not result.failed, str(result)
        return
    assert result.failed, str(result)
    assert text in result.detail


ONLY = parts.Letters(parts.LettersSettings(), None)
"""What a factory without an end gives each time."""


def counted(self: Any) -> dict[str, int]:
    return {"seen": self.seen}


def recounted(self: Any, state: dict[str, int]) -> None:
    self.seen = state["seen"]


def float_shapes(self: Any, found: Any) -> None:
    self.rows, self.shape_S = found, np.zeros(len(found))


def fails() -> None:
    raise ShardError("nothing")


def needs() -> None:
    raise MissingDependencyError("no such board", fix="pip install board")


def longer_second_time(self: Any, value: Any) -> Any:
    """Takes what is too long, the second time that it sees it."""
    seen = self.__dict__.setdefault("seen", [])
    seen.append(value)
    return np.zeros(7 if seen.count(value) > 1 else 1, np.int64)


def saves(name: str) -> Any:
    def save(self: Any, directory: Path) -> None:
        (directory / name).write_bytes(b"\x01\x02 nothing that could be read")

    return save


@pytest.mark.parametrize("part", global_sins.SINS)
def test_each_part_of_the_shared_state_is_watched(part: str) -> None:
    subject = broken("letters", factory=f"global_sins:{global_sins.CLASSES[part]}")()
    result = result_of(subject, "any.leaves_global_state_alone")
    assert result.failed
    assert part in result.detail


def test_what_an_import_does_is_seen() -> None:
    assert not result_of(sound("letters"), "any.leaves_global_state_alone").failed
    subject = broken("letters", factory="sins_at_import:Letters")()
    detail = result_of(subject, "any.leaves_global_state_alone").detail
    for part in (
        "the environment (TOKENIZERS_PARALLELISM)",
        "the warning filters",
        "numpy's global",
    ):
        assert part in detail


def test_a_package_that_is_absent_leaves_nothing_to_try() -> None:
    subject = quiet("watch", on_start=lambda self, run: needs())
    result = result_of(subject, "callback.watches_a_run")
    assert result.outcome == "not applicable"
    assert "no such board" in result.detail
    assert "pip install board" in result.detail
    subject = broken("letters", factory="global_sins:Needy")()
    result = result_of(subject, "any.leaves_global_state_alone")
    assert result.outcome == "not applicable"
    assert "no such codec" in result.detail


def test_what_a_child_inherits_is_seen_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is started after the component has already changed the process that starts it."""
    part = "the environment"
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setattr(sys, "path", [*sys.path, "another place"])
    subject = broken("letters", factory=f"global_sins:{global_sins.CLASSES[part]}")()
    detail = result_of(subject, "any.leaves_global_state_alone").detail
    assert "the environment (OMP_WAIT_POLICY)" in detail


def test_the_kernels_probes_are_looked_at() -> None:
    good = Kernel("fast", "sound_components:words", "pip install fast", "It is slower.")
    assert not result_of(broken("letters", kernels=(good,))(), "any.references_resolve").failed
