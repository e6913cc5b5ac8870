"""What the kit holds an objective's sums to, and what it does not where they are of its own."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import broken_objectives
import pytest
from twins_objectives import objective

from loretta_framework.api import ObjectiveCapabilities
from loretta_framework.testing.conformance import CheckResult, Subject
from loretta_framework.testing.conformance.running import checks_of, run_check

SUMS = "objective.sums_add_to_the_total"
OWN = ObjectiveCapabilities(own_loss=True)
GUIDE = Path(__file__).parents[2] / "docs" / "plugins" / "objective.md"


def results(subject: Subject) -> dict[str, CheckResult]:
    found = [item for item in checks_of(subject) if item.kind == "objective"]
    return {item.id: run_check(subject, item) for item in found}


def declared(subject: Subject) -> Subject:
    """The same, with a loss of its own."""
    return replace(subject, spec=replace(subject.spec, capabilities=OWN))  # type: ignore[call-arg]


def test_a_sound_objective_passes() -> None:
    found = results(objective("Sound"))
    assert {result.outcome for result in found.values()} == {"passed"}


@pytest.mark.parametrize("fault", ["OneEdge", "Swaps"])
def test_right_totals_on_wrong_edges_are_told(fault: str) -> None:
    result = results(objective(fault))[SUMS]
    assert result.failed
    assert "the sum of '" in result.detail
    assert ", but must be " in result.detail


def test_a_loss_of_its_own_must_be_declared() -> None:
    assert results(objective("FromHidden"))[SUMS].failed
    found = results(declared(objective("FromHidden")))
    assert found.pop(SUMS).outcome == "not applicable"
    assert {result.outcome for result in found.values()} == {"passed"}


def test_a_loss_of_its_own_must_still_be_finite() -> None:
    result = results(declared(objective("Unbounded")))[SUMS]
    assert result.failed
    assert "has the sum and count [inf" in result.detail


def test_the_example_of_the_guide_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Focused`, with the rows of a sound objective, declared as the guide says."""
    (block,) = (
        text.partition("```")[0]
        for text in GUIDE.read_text(encoding="utf-8").split("```python\n")
        if "class Focused" in text.partition("```")[0]
    )
    module = ModuleType("objective_of_the_guide")
    exec(compile(block, str(GUIDE), "exec"), vars(module))
    module.Aimed = type("Aimed", (module.Focused, broken_objectives.Sound), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    subject = objective("Sound")
    spec = replace(subject.spec, factory=f"{module.__name__}:Aimed")
    undeclared = results(replace(subject, spec=spec))[SUMS]
    assert undeclared.failed
    found = results(declared(replace(subject, spec=spec)))
    assert found.pop(SUMS).outcome == "not applicable"
    assert {result.outcome for result in found.values()} == {"passed"}
