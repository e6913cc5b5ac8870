"""The conformance kit: every check that concerns a component, in three lines of a test file.

    from loretta_framework.testing.conformance import Conformance

    class TestAudio(Conformance):
        plugin = "audio"

The same checks run on an installed plugin by `loretta plugins doctor --conformance audio`.
"""

from loretta_framework.testing.conformance.checks import (
    Check as Check,
    CheckFailure as CheckFailure,
    all_checks as all_checks,
)
from loretta_framework.testing.conformance.running import CheckResult as CheckResult, run as run
from loretta_framework.testing.conformance.subject import Subject as Subject
from loretta_framework.testing.conformance.suite import Conformance as Conformance
