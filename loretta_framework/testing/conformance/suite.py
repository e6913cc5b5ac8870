"""The kit as a pytest class: one test for each check of each component."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from loretta_framework.api.errors import PluginError
from loretta_framework.testing.conformance.checks import Check
from loretta_framework.testing.conformance.running import checks_of, run_check
from loretta_framework.testing.conformance.subject import Subject, subjects


class Conformance:
    """Inherit from it in a test file and name the plugin; see the package's docstring.

    Attributes:
        plugin: entry-point name of an installed plugin.
        may_lack: names of optional packages; a component that cannot be tried without one of them is
            a skip where it is absent. Without, that is a failure: a test run that tried nothing must
            not look like one that found nothing.
    """

    plugin: ClassVar[str] = ""
    may_lack: ClassVar[tuple[str, ...]] = ()

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Called by pytest: one case for each check of each component."""
        cases = [
            (subject, item) for subject in subjects(self.plugin) for item in checks_of(subject)
        ]
        if not cases:
            raise PluginError(f"the plugin '{self.plugin}' registers no component to check")
        ids = [f"{subject.spec.name}-{item.id}" for subject, item in cases]
        metafunc.parametrize(("subject", "check"), cases, ids=ids)

    def test_conformance(self, subject: Subject, check: Check) -> None:
        """The component does what the check says."""
        import pytest

        result = run_check(subject, check)
        named = any(
            re.search(rf"\b{re.escape(package)}\b", result.detail) for package in self.may_lack
        )
        if result.outcome == "not applicable" or (result.absent and named):
            pytest.skip(f"{subject.spec.name}: {check.id}: {result.detail}")
        assert not result.failed, str(result)
