"""Builds components from plain settings, and hands factories what they may ask for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from loretta_framework.api.errors import (
    LorettaError,
    PluginError,
    Problem,
    RecipeError,
    nearest,
)
from loretta_framework.registry import promises
from loretta_framework.registry.discovery import Registry
from loretta_framework.registry.faults import FIX, blamed, cause_of, place_of
from loretta_framework.registry.guard import RaisedByPlugin, contained
from loretta_framework.registry.loading import Group
from loretta_framework.registry.records import CORE

if TYPE_CHECKING:
    from pydantic import ValidationError

    from loretta_framework.api.specs import Bounds, ComponentSpec

Note = Callable[[str, str, str], None]


class Builder:
    """A `BuildContext`: what every factory is given.

    Attributes:
        registry: where components come from.
        reasons: (key, choice, reason) of every automatic choice noted so far.
        note: notes one; factories call it.
    """

    def __init__(self, registry: Registry, note: Note | None = None) -> None:
        self.registry = registry
        self.reasons: list[tuple[str, str, str]] = []
        self._forward = note
        self.note: Note = self._collect

    def build(self, kind: str, settings: Mapping[str, Any]) -> Any:
        """Build a component of any group by its recipe name.

        Raises:
            PluginError: there is no such component, or its plugin cannot be used.
            RecipeError: its settings class refuses the settings.
        """
        return self.build_spec(self.registry.group(kind), kind, settings)

    def bounds(self, kind: str, settings: Mapping[str, Any]) -> Bounds:
        """What the settings of a modality promise; it is not built.

        Raises:
            PluginError: there is no such modality, or its plugin cannot be used.
            RecipeError: its settings class refuses the settings.
        """
        checked = self._settings(self.registry.spec("modality", kind), settings)
        with contained():
            bounds: Bounds = checked.bounds()
        return bounds

    def build_spec(self, group: Group, kind: str, settings: Mapping[str, Any]) -> Any:
        """Build a component of this group.

        Raises:
            PluginError: there is none of that name and group, or its plugin cannot be used.
            RecipeError: its settings class refuses the settings.
        """
        spec = self.registry.spec(group, kind)
        checked = self._settings(spec, settings)
        self._resolve(spec, spec.factory)
        try:
            with contained():
                return spec.build(checked, self)
        except (LorettaError, MemoryError):
            raise
        except Exception as error:
            source = self.registry.distribution(spec.name)
            # The core's own faults are bugs and keep their traceback; a card that is full is none.
            if source.startswith(f"{CORE} ") or type(error).__name__ == "OutOfMemoryError":
                raise
            raise blamed(spec, source, "the factory", error) from error

    def _settings(self, spec: ComponentSpec, settings: Mapping[str, Any]) -> Any:
        from pydantic import ValidationError

        try:
            settings_class = promises.settings_class(spec)
        except PluginError as error:
            what = f"the settings of '{spec.name}' ({self.registry.distribution(spec.name)})"
            raise PluginError(
                f"{what} cannot be used: {error.what}", where=error.where, fix=FIX
            ) from error
        try:
            # Settings are plain data from a file. Read as JSON, strict validation still takes a
            # list for a tuple and a string for a path, which it refuses in Python objects.
            with contained():
                return settings_class.model_validate_json(json.dumps(dict(settings)))
        except ValidationError as error:
            raise RecipeError(_problems(spec.name, settings_class, error)) from None
        except RaisedByPlugin as error:
            source = self.registry.distribution(spec.name)
            raise blamed(spec, source, "the settings class", error) from error
        except (TypeError, ValueError) as error:
            problem = Problem(f"settings must be plain data: {error}", f"settings of '{spec.name}'")
            raise RecipeError([problem]) from error

    def _resolve(self, spec: ComponentSpec, reference: str) -> Any:
        """Import what a spec refers to; a failure there is the plugin's, and says so."""
        try:
            return promises.imported(spec, reference)
        except LorettaError:
            raise
        except Exception as error:
            source = self.registry.distribution(spec.name)
            file, line = place_of(error, reference.partition(".")[0])
            raise PluginError(
                f"'{spec.name}' of {source} cannot be used: {cause_of(error)}",
                where=f"{file}:{line}" if file else reference,
                fix="install what is missing, or report it to the plugin's authors",
            ) from error

    def _collect(self, key: str, choice: str, reason: str) -> None:
        self.reasons.append((key, choice, reason))
        if self._forward is not None:
            self._forward(key, choice, reason)


def _problems(name: str, settings_class: Any, error: ValidationError) -> list[Problem]:
    problems = []
    for fault in error.errors(include_url=False):
        key = ".".join(map(str, fault["loc"]))
        text = fault["msg"]
        if fault["type"] == "extra_forbidden":
            text = f"unknown setting{nearest(key, list(settings_class.model_fields))}"
        problems.append(
            Problem(text, f"settings of '{name}': {key}" if key else f"settings of '{name}'")
        )
    return problems
