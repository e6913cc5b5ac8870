"""The kit lets sound components pass, and tells how each check of a broken one ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sound_components as sound_parts
import torch
from sound_plugin import broken, made, sound

from loretta_framework.api import Trial
from loretta_framework.api.errors import PluginError
from loretta_framework.testing.conformance import (
    CheckFailure,
    CheckResult,
    Conformance,
    Subject,
    all_checks,
    children,
    run,
)
from loretta_framework.testing.conformance.checks import NotApplicable, check
from loretta_framework.testing.conformance.running import checks_of, run_check
from loretta_framework.testing.conformance.sameness import same
from loretta_framework.testing.conformance.subject import subjects

NOT_APPLICABLE = {
    "sound.folder": {"store_is_sound", "store_opens_again", "names_what_is_not_there"},
    "sound.judge": set(),
    "sound.letters": {"refuses_other_axes"},
    "sound.levels": {"augments_by_its_generator", "features_can_be_judged", "nothing_is_cut"},
    "sound.rows": set(),
    "sound.watch": {"state_round_trip"},
    "sound.wave": {"augments_by_its_generator", "features_can_be_judged"},
}


def test_sound_components_pass() -> None:
    found: dict[str, set[str]] = {}
    for result in run("sound"):
        kept = found.setdefault(result.component, set())
        assert not result.failed, str(result)
        if result.outcome == "not applicable":
            kept.add(result.check.id.partition(".")[2])
    assert found == NOT_APPLICABLE


def test_every_check_says_what_and_how() -> None:
    for item in all_checks():
        kind, _, name = item.id.partition(".")
        assert kind == item.kind
        assert name.isidentifier()
        assert item.sentence.endswith("."), item.id
        assert 30 < len(item.sentence) < 160, item.id
        assert len(item.fix) > 40, item.id


def test_checks_stand_kind_by_kind() -> None:
    kinds = [item.kind for item in all_checks()]
    assert len([kind for kind, _ in groupby(kinds)]) == len(set(kinds)) == 11


def test_a_check_without_a_way_to_mend_is_refused() -> None:
    def nameless(subject: Subject) -> None:
        """Only a sentence."""

    with pytest.raises(AssertionError, match=r"any\.nameless must tell how to fix it"):
        check("any")(nameless)
    nameless.__doc__ = ""
    with pytest.raises(AssertionError, match=r"any\.nameless must have a docstring"):
        check("any")(nameless)
    nameless.__name__, nameless.__doc__ = "builds", "A sentence.\n\nA way."
    with pytest.raises(AssertionError, match=r"there are two checks any\.builds"):
        check("any")(nameless)


def result_of(subject: Subject, name: str) -> CheckResult:
    (item,) = (item for item in checks_of(subject) if item.id == name)
    return run_check(subject, item)


def test_a_failure_tells_all_that_is_needed() -> None:
    (failed,) = (result for result in run("cuts") if result.failed)
    assert failed.check.id == "tokenizer.nothing_is_cut"
    text = str(failed)
    assert text.startswith("cuts.letters: tokenizer.nothing_is_cut: failed: of 'abcdefg'")
    assert failed.detail in text
    assert failed.check.sentence in text
    assert f"-> {failed.check.fix}" in text
    passed = replace(failed, outcome="passed", detail="")
    assert str(passed) == "cuts.letters: tokenizer.nothing_is_cut: passed"
    absent = replace(failed, outcome="not applicable", detail="no reason")
    assert str(absent) == "cuts.letters: tokenizer.nothing_is_cut: not applicable: no reason"


def test_an_unexpected_error_is_a_failure_with_its_place() -> None:
    def encode(self: Any, value: Any) -> Any:
        raise KeyError("lost")

    def leave(self: Any, value: Any) -> Any:
        sys.exit(3)

    result = result_of(broken("letters", made(sound_parts.Letters, encode=encode))(), ENCODES)
    assert result.failed
    assert "KeyError: 'lost' (" in result.detail
    assert "test_conformance_kit.py:" in result.detail
    result = result_of(broken("letters", made(sound_parts.Letters, encode=leave))(), ENCODES)
    assert "SystemExit: 3" in result.detail


ENCODES = "tokenizer.ids_in_range"


def test_without_settings_one_check_fails_and_the_others_say_why() -> None:
    def no_default(**fields: Any) -> Any:
        raise AssertionError

    subject = broken("folder", trial="test_conformance_trials:WRONG")()
    sys.modules["test_conformance_trials"] = sys.modules[__name__]
    results = {item.id: run_check(subject, item) for item in checks_of(subject)}
    assert "refuses the trial's settings {'modalities': 7}: modalities" in results[BUILDS].detail
    assert results["source.answers_any_name"].detail == SEE
    assert results["any.leaves_global_state_alone"].detail == SEE
    assert [name for name, result in results.items() if result.failed] == [BUILDS]


BUILDS = "any.builds"
SEE = "its settings cannot be made, see `any.builds`"
WRONG = Trial(settings={"modalities": 7})
NOTHING = Trial(values=lambda settings, random, count: [])
HALF = Trial(values=sound_parts.numbers, max_distance=0.5)
NO_TRIAL = "a text"


def test_wrong_trials_are_told() -> None:
    sys.modules["test_conformance_trials"] = sys.modules[__name__]
    subject = broken("letters", trial="test_conformance_trials:NOTHING")()
    assert "the trial gives no example values" in result_of(subject, ENCODES).detail
    subject = broken("letters", trial="test_conformance_trials:NO_TRIAL")()
    assert (
        "must be a `loretta_framework.api.Trial`, but is str" in result_of(subject, ENCODES).detail
    )
    subject = broken("levels", trial="test_conformance_trials:HALF")()
    assert "must have `distance`" in result_of(subject, "tokenizer.comes_back").detail


def test_without_examples_random_ids_stand_in() -> None:
    subject = broken("letters", trial="")()
    values = subject.values(5)
    assert len(values) == 5
    assert {len(value) for value in values} >= {1, 6}
    assert subject.values(5) == values
    with pytest.raises(NotApplicable, match=r"'sound\.levels' has no example values"):
        broken("levels", trial="")().values()
    refusing = made(sound_parts.Letters, encode=lambda self, value: int("no number"))
    with pytest.raises(NotApplicable, match="has no example values"):
        broken("letters", refusing, trial="")().values()


def test_random_ids_keep_to_their_slots() -> None:
    subject = sound("levels")
    settings = made(
        sound_parts.LevelsSettings,
        bounds=lambda self: sound_parts.Bounds(8, 2, 2, (range(3), range(5, 8))),
    )
    subject = broken("levels", settings=f"{settings.__module__}:{settings.__name__}")()
    for ids in subject.random_ids(50):
        assert ids[0] < 3
        assert ids[1] >= 5


def test_plugins_that_cannot_be_checked() -> None:
    with pytest.raises(PluginError, match="no plugin 'absent' is installed"):
        list(run("absent"))
    with pytest.raises(PluginError, match="no plugin '' is installed"):
        Conformance().pytest_generate_tests(None)
    assert subjects("nothing") == []


THREE_LINES = """
from loretta_framework.testing.conformance import Conformance

class TestPlugin(Conformance):
    plugin = "{name}"
"""


def test_three_lines_are_a_test_file(tmp_path: Path) -> None:
    for name in ("cuts", "nothing"):
        (tmp_path / f"test_{name}.py").write_text(THREE_LINES.format(name=name))
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider"]
    command += ["--continue-on-collection-errors", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
    assert "1 failed, 35 passed, 1 skipped, 1 error" in done.stdout
    assert "test_conformance[cuts.letters-tokenizer.nothing_is_cut]" in done.stdout
    assert "-> Cut values would be learned as whole ones" in done.stdout
    assert "the plugin 'nothing' registers no component to check" in done.stdout


def test_what_does_not_apply_is_a_named_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = sound("levels")
    (item,) = (i for i in all_checks() if i.id == "modality.augments_by_its_generator")
    with pytest.raises(pytest.skip.Exception, match=r"augments_by_its_generator: it has no `augm"):
        Conformance().test_conformance(subject, item)


def test_discovery_may_import_the_api_alone() -> None:
    result = result_of(subjects("numpy")[0], "any.light_import")
    assert result.detail == "it imports numpy"
    result = result_of(subjects("heavy")[0], "any.light_import")
    assert "torch is imported at" in result.detail
    assert "loretta_plugin_heavy" in result.detail


def end_now() -> None:
    print("last words", flush=True)
    os._exit(7)


def test_a_process_that_ends_is_told_and_replaced() -> None:
    child = children.worker()
    assert child.ask(sum, [1, 2]).taken() == 3
    assert children.worker() is child
    answer = child.ask(os._exit, 7)
    assert answer.outcome == "failed"
    assert "the process ended with code 7" in answer.value
    again = children.worker()
    assert again is not child
    assert again.ask(sum, [1, 2]).taken() == 3
    with pytest.raises(CheckFailure, match="in a process of its own: ValueError: max"):
        again.ask(max, []).taken()
    assert "it cannot be pickled" in again.ask(print, lambda: None).value
    assert "its answer cannot be pickled" in again.ask(sys._getframe).value
    assert again.ask(sum, [1, 2]).taken() == 3


def test_a_process_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "TIMEOUT_S", 0.2)
    child = children.Child()
    assert "it did not answer within 0.2 s" in child.ask(time.sleep, 60).value
    assert not child.alive


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        ("a", "a", True),
        (1, 1.0, False),
        (float("nan"), float("nan"), True),
        (torch.ones(2), torch.ones(2), True),
        (torch.ones(2), torch.tensor([1.0, 2.0]), False),
        (np.array([1.0, np.nan]), np.array([1.0, np.nan]), True),
        (np.zeros(2), np.zeros(2, np.float32), False),
        (np.zeros(2), np.zeros((2, 1)), False),
        (np.array(["a"]), np.array(["b"]), False),
        ([np.zeros(2), "a"], [np.zeros(2), "a"], True),
        ([1], [1, 2], False),
        ((1, 2), [1, 2], False),
        ({"a": np.ones(1)}, {"a": np.ones(1)}, True),
        ({"a": 1}, {"b": 1}, False),
        (Trial(settings={"a": 1}), Trial(settings={"a": 1}), True),
        (Trial(settings={"a": 1}), Trial(settings={"a": 2}), False),
        (sound_parts.Quiet(None, None), sound_parts.Quiet(None, None), True),
    ],
)
def test_sameness(first: Any, second: Any, equal: bool) -> None:
    assert same(first, second) is equal
    assert same(second, first) is equal
