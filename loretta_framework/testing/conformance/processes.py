"""Checks that concern every component's conduct towards the process it works in, and towards others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from loretta_framework.testing.conformance import children, questions
from loretta_framework.testing.conformance.checks import NotInstalled, check, require
from loretta_framework.testing.conformance.children import Answer
from loretta_framework.testing.conformance.sameness import shown
from loretta_framework.testing.conformance.subject import Subject


@check("any")
def light_import(subject: Subject) -> None:
    """Discovering the plugin imports `loretta_framework.api` and no other package.

    The module that your entry point names is imported whenever somebody looks at your plugin. Leave
    only specs in it: they refer to settings and factories by text, so that torch, numpy, pydantic
    and your own libraries are imported when a recipe uses the component. From the framework, import
    the top level of `loretta_framework.api`.
    """
    child = children.torchless(subject.plugin)
    assert child.discovery is not None
    importers = ", ".join(child.discovery.importers)
    require(not child.discovery.importers, f"torch is imported at {importers}")
    foreign, _ = child.discovery.taken()
    require(not foreign, f"it imports {', '.join(foreign)}")


@check("any")
def works_in_a_spawned_process(subject: Subject) -> None:
    """It can be imported, built and used in a process that shares nothing with this one.

    Data are loaded in worker processes, and a run on several machines has no common memory. The
    module must be importable by its name there, and nothing may rest on what another process did
    before: an environment variable, a file in the working directory, a global that was filled. Where a
    package that it needs is absent, this fails: install it, or allow its absence by `may_lack`.
    """
    subject.build()
    answer = _changes(subject)
    if answer.outcome == "absent":
        raise NotInstalled(f"it could not be tried: {answer.value}")
    answer.taken()


@check("any")
def leaves_global_state_alone(subject: Subject) -> None:
    """Importing, building and using it changes nothing that the whole process shares.

    Random state, torch's defaults and threads, the environment, the working directory, warning
    filters, signal handlers and the root logger belong to the user: a component that changes them
    changes other components' results. Draw from a generator of your own
    (`loretta_framework.api.generator`), use `with warnings.catch_warnings()`, and pass a dtype or a
    thread count to the call that needs it. What discovery of the plugin changes is put back by the
    registry, and fails here all the same.
    """
    changed = _changes(subject).taken()
    require(not changed, f"it changes {'; '.join(changed)}")
    discovery = children.torchless(subject.plugin).discovery
    assert discovery is not None
    if discovery.outcome == "answered":  # `any.light_import` fails where it is not
        _, note = discovery.value
        require("importing it changes" not in note, f"its plugin is at fault: {note}")


def _changes(subject: Subject) -> Answer:
    _ = subject.settings  # where there are none, nothing can be tried there either
    answer: Answer = subject.once(
        "global state",
        lambda: children.worker().ask(questions.state_changes, replace(subject)),
    )
    return answer


def require_same_there(built: Any, values: Sequence[Any]) -> None:
    """Fail unless an instance that is sent to a worker answers there as it does here.

    Args:
        built: a modality that is ready, or a source.
        values: to ask a modality about; sent along.
    """
    here = questions.answers(built, values)
    there = children.worker().ask(questions.answers, built, values).taken()
    for asked, wanted, given in zip(values or questions.ODD_NAMES, here, there, strict=True):
        text = f"of {shown(asked)} it makes {shown(wanted)} here"
        require(wanted == given, f"{text} and {shown(given)} there")
