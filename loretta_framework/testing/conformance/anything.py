"""Checks that concern every component: what its plugin registered, and whether it can be built."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from loretta_framework.api import protocols
from loretta_framework.api.errors import MissingDependencyError
from loretta_framework.api.specs import LazyReference, ModalitySpec
from loretta_framework.api.trials import Trial
from loretta_framework.api.version import API_VERSION
from loretta_framework.testing.conformance.checks import NotInstalled, check, require
from loretta_framework.testing.conformance.subject import Subject

_NAME = re.compile(r"[A-Za-z][\w-]*(\.[\w-]+)*")
_LONGEST_SUMMARY = 120
_CORE = "loretta_framework."


@check("any")
def name_and_summary(subject: Subject) -> None:
    """The spec names itself `<plugin>.<component>` and says in one sentence what it is.

    Recipes name components, and lists show their summaries. Use the entry-point name of your plugin
    as the prefix, letters, digits, `_` and `-` in the name, and a summary of one line of at most 120
    characters that ends with a full stop. `version` is an integer from 1, and `api` holds the
    `API_VERSION` of the framework that you develop with.
    """
    spec = subject.spec
    require(bool(_NAME.fullmatch(spec.name)), f"the name must be plain, but is {spec.name!r}")
    prefixed = "." in spec.name or spec.factory.startswith(_CORE)
    require(prefixed, f"the name must have the plugin's name before a dot, but is {spec.name!r}")
    summary = spec.summary
    one_line = 0 < len(summary) <= _LONGEST_SUMMARY and summary.isprintable()
    require(
        one_line and summary.endswith("."),
        f"the summary must be one sentence with a full stop, on one line of at most "
        f"{_LONGEST_SUMMARY} characters, but is {summary!r}",
    )
    numbered = isinstance(spec.version, int) and spec.version >= 1
    require(numbered, f"the version must be an integer from 1, but is {spec.version!r}")
    low, high = spec.api
    text = f"but is {low}..{high}"
    require(low <= API_VERSION <= high, f"the API range must hold {API_VERSION}, {text}")


@check("any")
def references_resolve(subject: Subject) -> None:
    """Everything the spec refers to can be imported and is what it should be.

    References are text, `package.module:attribute`, so that nothing is imported too early; so a
    spelling mistake shows only when the component is used. Compare each with the module it names.
    `settings` is a class, `factory` and a kernel's `probe` can be called, `trial` is a `Trial`.
    """
    spec = subject.spec
    found = {"settings": _resolved(spec.settings, "settings")}
    require(isinstance(found["settings"], type), f"`settings` must be a class: {spec.settings}")
    probes = [kernel.probe for kernel in spec.kernels]
    for reference in (spec.factory, *probes):
        text = f"it must be possible to call {reference}"
        require(callable(_resolved(reference, "factory or probe")), text)
    if spec.trial:
        trial = _resolved(spec.trial, "trial")
        require(isinstance(trial, Trial), f"`trial` must be a `Trial`, but {spec.trial} is none")


def _resolved(reference: str, what: str) -> Any:
    try:
        return LazyReference.parse(reference).resolve()
    except (ImportError, AttributeError, ValueError) as error:
        require(False, f"{what} '{reference}': {type(error).__name__}: {error}")


_PROTOCOLS: dict[str, tuple[type, ...]] = {
    "modality": (protocols.Encoder, protocols.Decoder),
    "backbone": (protocols.Backbone,),
    "objective": (protocols.Objective,),
    "callback": (protocols.Callback,),
    "evaluator": (protocols.Evaluator,),
    "source": (protocols.Source,),
}


@check("any")
def builds(subject: Subject) -> None:
    """The factory builds the component from small settings, with every method of its kind.

    The factory is called as `factory(settings, context)`. Compare what it returns with the protocol
    of its kind in `loretta_framework.api`; the message names what is missing. Where the defaults of
    the settings are incomplete, or large, give the spec a `trial` with small settings. A modality
    with `form="discrete"` has `encode` and `decode`; a continuous one is an `Encoder`, a `Decoder`,
    or both. Where a package that it needs is absent, nothing can be tried, and this fails: install it,
    or allow its absence in your test class, `may_lack = ("<package>",)`.
    """
    _require_settings(subject)
    try:
        built = subject.build()
    except MissingDependencyError as error:
        raise NotInstalled(f"it could not be tried: {error}") from error
    wanted = _PROTOCOLS[subject.group]
    if isinstance(subject.spec, ModalitySpec) and subject.spec.capabilities.form == "discrete":
        fitted = subject.spec.capabilities.fitted
        wanted = (protocols.FittedTokenizer if fitted else protocols.Tokenizer,)
    if any(isinstance(built, protocol) for protocol in wanted):
        return
    lists = [f"{p.__name__} ({', '.join(_missing(built, p))})" for p in wanted]
    text = f"'{type(built).__name__}' lacks members of {' and of '.join(lists)}"
    require(False, text)


def _require_settings(subject: Subject) -> None:
    from pydantic import ValidationError

    try:
        subject.settings_with()
    except ValidationError as error:
        faults = [(*fault["loc"], fault["msg"]) for fault in error.errors(include_url=False)]
        text = "; ".join(": ".join(map(str, fault)) for fault in faults)
        given = dict(subject.trial.settings)
        require(False, f"its settings class refuses the trial's settings {given}: {text}")


def _missing(built: Any, protocol: Any) -> list[str]:
    names = {
        name
        for base in protocol.__mro__
        if getattr(base, "_is_protocol", False)
        for name in (*vars(base), *getattr(base, "__annotations__", {}))
        if not name.startswith("_") or name == "__call__"
    }
    return sorted(name for name in names if not hasattr(built, name))


@check("any")
def builds_twice(subject: Subject) -> None:
    """Two instances are independent: a factory makes a new one each time.

    A recipe may use a component twice, and a process may load two models. Build all state in the
    factory or in `__init__`: no instance kept at module level, no list, dict or array that two
    instances write to. A constant that instances share is a tuple, or an array that is not writable.
    """
    first = subject.build()
    second = subject.build(subject.settings_with())
    require(first is not second, "the factory returned the same object twice")
    held, others = _state(first), _state(second)
    for name, state in held.items():
        shared = state is others.get(name)
        require(not shared, f"both instances hold the same {type(state).__name__} in '{name}'")


def _state(built: Any) -> dict[str, Any]:
    """What an instance holds that can change: containers, writable arrays, parameters."""
    held = dict(getattr(built, "__dict__", {}))
    if callable(getattr(built, "named_parameters", None)):
        held.update(built.named_parameters())
    return {name: value for name, value in held.items() if _changes(value)}


def _changes(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return bool(value.flags.writeable)
    return isinstance(value, list | dict | set | bytearray) or hasattr(value, "grad_fn")
