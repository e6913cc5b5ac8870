"""What the kit could not try, leaves out on request, or sees only where a plugin is discovered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import sound_components as parts
from sound_plugin import broken, made, sound

from loretta_framework.api import Kernel
from loretta_framework.cli.main import main
from loretta_framework.testing.conformance import CheckResult, Conformance, Subject, all_checks
from loretta_framework.testing.conformance.running import SLOW, SLOW_SWITCH, checks_of, run_check
from loretta_framework.testing.conformance.subject import subjects

KERNEL = Kernel("fast", "sound_components:absent", "pip install fast", "It is slower.")


def result_of(subject: Subject, name: str) -> CheckResult:
    (item,) = (item for item in checks_of(subject) if item.id == name)
    return run_check(subject, item)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("any.builds", broken("letters", factory="global_sins:unbuilt")),
        ("any.works_in_a_spawned_process", broken("letters", factory="global_sins:Needy")),
    ],
)
def test_what_could_not_be_tried_at_all_is_a_failure_unless_it_is_allowed(
    name: str, subject: Any
) -> None:
    result = result_of(subject(), name)
    assert result.failed
    assert result.absent
    assert "it could not be tried: " in result.detail
    assert "pip install codec" in result.detail

    class Lenient(Conformance):
        may_lack = ("codec",)

    class Strict(Conformance):
        may_lack = ("code", "dec", "torch")

    with pytest.raises(pytest.skip.Exception, match=f"{name}: it could not be tried: .* codec"):
        Lenient().test_conformance(subject(), result.check)
    with pytest.raises(AssertionError, match="may_lack"):
        Strict().test_conformance(subject(), result.check)


def test_the_doctor_says_what_to_install_and_fails(
    site: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(Path(__file__).parent)]))
    with pytest.raises(SystemExit, match="1"):
        main(["plugins", "doctor", "needy", "--conformance"])
    told = capfd.readouterr().out
    assert "needy.letters: any.builds: it could not be tried: there is no codec" in told
    assert "pip install codec" in told
    assert "1 failed" in told


def test_an_allowed_package_excuses_no_other_failure() -> None:
    class Lenient(Conformance):
        may_lack = ("absent",)

    subject = broken("letters", kernels=(KERNEL,))()
    (item,) = (i for i in checks_of(subject) if i.id == "any.references_resolve")
    with pytest.raises(AssertionError, match="sound_components:absent"):
        Lenient().test_conformance(subject, item)


def test_a_fitted_modality_without_examples_fails_one_check() -> None:
    subject = broken("levels", trial="")()
    results = {item.id: run_check(subject, item) for item in checks_of(subject)}
    failed = [name for name, result in results.items() if result.failed]
    assert failed == ["modality.has_examples"]
    assert "give its spec a `trial` with `values`" in results[failed[0]].detail
    there = results["any.works_in_a_spawned_process"]
    assert there.outcome == "not applicable"
    assert "has no example values" in there.detail


@pytest.mark.parametrize("nest", [b"[", b'{"a":'])
def test_a_deep_nest_is_among_the_damaged_files(nest: bytes) -> None:
    def read(self: Any, data: bytes, extension: str) -> Any:
        if data.startswith(nest * 9):
            raise RecursionError("maximum recursion depth exceeded")
        return parts.Letters.read(self, data, extension)

    result = result_of(
        broken("letters", made(parts.Letters, read=read))(), "modality.refuses_damaged_files"
    )
    assert "read raised RecursionError" in result.detail


def test_slow_checks_can_be_left_out_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {item.id: item for item in all_checks()}
    assert set(SLOW) <= set(known)
    monkeypatch.setenv(SLOW_SWITCH, "0")
    result = run_check(sound("letters"), known[SLOW[0]])
    assert result.outcome == "not applicable"
    assert "LORETTA_CONFORMANCE_SLOW=0" in result.detail


def test_what_discovery_changes_and_the_registry_puts_back_is_told() -> None:
    (subject,) = subjects("meddles")
    result = result_of(subject, "any.leaves_global_state_alone")
    assert result.failed
    assert "importing it changes the environment variable MEDDLED" in result.detail
