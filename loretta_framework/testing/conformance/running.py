"""Runs checks on components and tells how each ended."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from loretta_framework.api.errors import MissingDependencyError
from loretta_framework.testing.conformance.checks import (
    Check,
    CheckFailure,
    NotApplicable,
    NotInstalled,
    checks_of_kinds,
)
from loretta_framework.testing.conformance.subject import Subject, subjects

SLOW = ("backbone.two_ranks_equal_one",)
"""Checks that take seconds, since they start processes with torch."""

SLOW_SWITCH = "LORETTA_CONFORMANCE_SLOW"
"""Environment variable; "0" leaves the slow checks out, by name."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check of one component ended.

    Attributes:
        component: its name in recipes.
        check: what was checked.
        outcome: "passed", "failed", or "not applicable".
        detail: why it failed or does not apply.
        absent: it failed because a package is not installed, which `detail` names.
    """

    component: str
    check: Check
    outcome: Literal["passed", "failed", "not applicable"]
    detail: str = ""
    absent: bool = False

    def __str__(self) -> str:
        head = f"{self.component}: {self.check.id}: {self.outcome}"
        if self.outcome == "passed":
            return head
        text = f"{head}: {self.detail}"
        return f"{text}\n{self.check.sentence}\n-> {self.check.fix}" if self.failed else text

    @property
    def failed(self) -> bool:
        """Whether the component must be mended."""
        return self.outcome == "failed"


def checks_of(subject: Subject) -> list[Check]:
    """The checks that concern a component."""
    return list(checks_of_kinds(subject.kinds))


def run_check(subject: Subject, item: Check) -> CheckResult:
    """Run one check; any error that it does not expect is a failure with its last line.

    Where a component needs a package that is not installed, and says so, nothing can be tried: of
    `any.builds` and `any.works_in_a_spawned_process` that is a failure, and no other check applies.
    """
    name = subject.spec.name
    if item.id in SLOW and os.environ.get(SLOW_SWITCH) == "0":
        return CheckResult(name, item, "not applicable", f"slow checks are off, {SLOW_SWITCH}=0")
    try:
        item.function(subject)
    except (NotApplicable, MissingDependencyError) as reason:
        return CheckResult(name, item, "not applicable", str(reason))
    except CheckFailure as failure:
        absent = isinstance(failure, NotInstalled)
        return CheckResult(name, item, "failed", str(failure), absent)
    except (Exception, SystemExit) as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
        return CheckResult(name, item, "failed", text)
    return CheckResult(name, item, "passed")


def run(plugin: str) -> Iterator[CheckResult]:
    """Every check of every component of an installed plugin.

    Raises:
        PluginError: the plugin is not installed or cannot be used.
    """
    for subject in subjects(plugin):
        for item in checks_of(subject):
            yield run_check(subject, item)
