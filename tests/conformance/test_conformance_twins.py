"""A check that cannot fail is no check: each has a component that is broken in just its way.

A file `twins_<what>.py` of this folder exports `TWINS`: check id -> a function that makes a
`Subject` on which this check fails. Its components lie in modules that a child process can import
by name, as those of this folder can.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from loretta_framework.testing.conformance.checks import Check, all_checks
from loretta_framework.testing.conformance.running import checks_of, run_check
from loretta_framework.testing.conformance.subject import Subject

Twins = dict[str, Callable[[], Subject]]


def gathered() -> Twins:
    found: Twins = {}
    for file in sorted(Path(__file__).parent.glob("twins_*.py")):
        twins: Twins = importlib.import_module(file.stem).TWINS
        assert not set(twins) & set(found)
        found.update(twins)
    return found


TWINS = gathered()
CHECKS = {item.id: item for item in all_checks()}


def test_every_check_has_a_broken_twin() -> None:
    assert sorted(TWINS) == sorted(CHECKS)


@pytest.mark.parametrize("check", CHECKS.values(), ids=lambda item: item.id)
def test_the_check_fails_on_its_twin(check: Check) -> None:
    subject = TWINS[check.id]()
    assert check in checks_of(subject)
    result = run_check(subject, check)
    assert result.outcome == "failed", str(result)
    assert "testing/conformance/" not in result.detail, f"the check itself broke: {result}"
