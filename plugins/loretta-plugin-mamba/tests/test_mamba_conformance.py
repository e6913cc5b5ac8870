"""All that the framework expects of the plugin, checked by its conformance kit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from loretta_framework.testing.conformance import Conformance
from loretta_framework.testing.conformance.running import checks_of
from loretta_framework.testing.conformance.subject import Subject, subjects

HYBRIDS = {"mamba.mamba1": "HYBRID_TRIAL_1", "mamba.mamba2": "HYBRID_TRIAL"}


class TestMamba(Conformance):
    plugin = "mamba"


class TestHybrids(Conformance):
    """With attention at every second layer: what differs is the trial, and that the cache grows."""

    plugin = "mamba"
    room: ClassVar[str] = "loretta_plugin_mamba.settings"

    def pytest_generate_tests(self, metafunc: Any) -> None:
        cases = []
        for subject in subjects(self.plugin):
            trial = f"{self.room}:{HYBRIDS[subject.spec.name]}"
            grows = replace(subject.spec.capabilities, cache="growing")  # type: ignore[attr-defined]
            spec = replace(subject.spec, trial=trial, capabilities=grows)  # type: ignore[call-arg]
            hybrid = Subject(spec, subject.group, subject.registry)
            # What concerns every kind of component does not depend on the trial.
            cases += [case(hybrid, item) for item in checks_of(hybrid) if item.kind == "backbone"]
        metafunc.parametrize(("subject", "check"), cases)


def case(hybrid: Subject, item: Any) -> Any:
    """One check; two processes take seconds to start, and start for the plain trials every day."""
    marks = [pytest.mark.soak] if item.id == "backbone.two_ranks_equal_one" else []
    return pytest.param(hybrid, item, marks=marks, id=f"{hybrid.spec.name}-{item.id}")
