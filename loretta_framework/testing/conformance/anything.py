"""Checks that concern every component."""

from __future__ import annotations

from loretta_framework.testing.conformance.checks import check, require
from loretta_framework.testing.conformance.subject import Subject


@check("any")
def refuses_unknown_settings(subject: Subject) -> None:
    """The settings class refuses a key it does not know.

    Derive it from `loretta_framework.api.Settings`, `ModalitySettings` or `ObjectiveSettings`, and
    do not change their `model_config`: a misspelt key in a recipe would otherwise be ignored.
    """
    from pydantic import ValidationError

    try:
        subject.spec.settings_class()(**subject.trial.settings, no_such_setting=1)
    except ValidationError:
        return
    require(False, "it accepted the key 'no_such_setting'")
