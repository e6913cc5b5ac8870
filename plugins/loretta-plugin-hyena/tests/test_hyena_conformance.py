"""All that the framework expects of the plugin, checked by its conformance kit."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from loretta_plugin_hyena.settings import TRIAL

from loretta_framework.api import Trial
from loretta_framework.testing.conformance import Conformance
from loretta_framework.testing.conformance.checks import Check
from loretta_framework.testing.conformance.running import checks_of, run_check
from loretta_framework.testing.conformance.subject import Subject, subjects


class TestHyena(Conformance):
    plugin = "hyena"


class Variant(Subject):
    """The component with other settings than its own trial's."""

    changes: ClassVar[dict[str, Any]]

    @property
    def trial(self) -> Trial:
        return Trial(settings={**TRIAL.settings, **self.changes})


class Order3(Variant):
    changes: ClassVar[dict[str, Any]] = {"order": 3, "conv": 4}


class Hybrid(Variant):
    changes: ClassVar[dict[str, Any]] = {"attention_every": 2}


ALONE = "backbone.two_ranks_equal_one"
"""Seconds long, and it builds the component in other processes, from its own trial."""

(HYENA,) = subjects("hyena")
CASES = [
    pytest.param(kind, check, id=f"{kind.__name__}-{check.id}")
    for kind in (Order3, Hybrid)
    for check in checks_of(HYENA)
    if check.id.startswith("backbone.") and check.id != ALONE
]


@pytest.mark.parametrize(("kind", "check"), CASES)
def test_other_settings(kind: type[Variant], check: Check) -> None:
    result = run_check(kind(HYENA.spec, HYENA.group, HYENA.registry), check)
    if result.outcome == "not applicable":
        pytest.skip(result.detail)
    assert not result.failed, str(result)
