"""A component under test: its spec, its settings, fresh instances, example values."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from loretta_framework.api import protocols, random
from loretta_framework.api.specs import Bounds, ComponentSpec, LazyReference, ModalitySpec
from loretta_framework.api.trials import Trial
from loretta_framework.registry import Builder, Group, Registry
from loretta_framework.testing.conformance.checks import CheckFailure, Kind, NotApplicable

SEED = 20_240_229
"""Of everything the kit draws: a failure repeats."""

FIT_VALUES = 64
"""Example values that a tokenizer is fitted on."""


@dataclass(frozen=True)
class Subject:
    """A component with all a check may ask of it.

    Attributes:
        spec: what its plugin registered.
        group: kind of component in recipes.
        registry: where it was found; other plugins are loaded when it asks for their components.
    """

    spec: ComponentSpec
    group: Group
    registry: Registry

    @cached_property
    def trial(self) -> Trial:
        """With what it is tried; an empty trial when the spec names none."""
        found = LazyReference.parse(self.spec.trial).resolve() if self.spec.trial else Trial()
        if not isinstance(found, Trial):
            text = f"but is {type(found).__name__}"
            raise CheckFailure(f"the trial must be a `loretta_framework.api.Trial`, {text}")
        return found

    @cached_property
    def settings(self) -> Any:
        """The trial's settings, checked by the component's own settings class.

        Raises:
            NotApplicable: that class refuses them; `any.builds` fails for it, so that the others need not.
        """
        try:
            return self.settings_with()
        except ValueError as error:
            raise NotApplicable("its settings cannot be made, see `any.builds`") from error

    def settings_with(self, **changes: Any) -> Any:
        """The trial's settings with some changed, read as a recipe's are."""
        text = json.dumps({**self.trial.settings, **changes})
        return self.spec.settings_class().model_validate_json(text)

    def build(self, settings: Any = None) -> Any:
        """A fresh instance, not fitted; with the trial's settings unless others are given."""
        settings = self.settings if settings is None else settings
        context = Builder(self.registry)
        if self.group == "objective":  # its factory is told the task's name as well
            from loretta_framework.train.tasks import TaskBuilder

            context = TaskBuilder(context, "trial")
        return self.spec.build(settings, context)

    @property
    def bounds(self) -> Bounds:
        """Of a modality."""
        bounds = self.settings.bounds()
        if not isinstance(bounds, Bounds):
            raise CheckFailure(f"`bounds()` must return `Bounds`, but returns {bounds!r}")
        return bounds

    @property
    def plugin(self) -> str:
        """Entry-point name of the plugin that brings it."""
        for record in self.registry.records:
            if self.spec.name in record.components:
                return record.name
        return self.spec.name.rpartition(".")[0]

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of checks that concern it."""
        if not isinstance(self.spec, ModalitySpec):
            return ("any", self.group)
        if self.spec.capabilities.form == "discrete":
            fitted: tuple[Kind, ...] = ("fitted",) if self.spec.capabilities.fitted else ()
            return ("any", "modality", "tokenizer", *fitted)
        try:
            built = self.build()
        except Exception:  # the check of building says more
            return ("any", "modality")
        kinds: list[Kind] = ["any", "modality"]
        if isinstance(built, protocols.Encoder):
            kinds.append("encoder")
        if isinstance(built, protocols.Decoder):
            kinds.append("decoder")
        return tuple(kinds)

    def ready(self) -> Any:
        """A fresh modality, where it must be fitted a copy of one that was fitted on example values."""
        built = self.build()
        if not isinstance(built, protocols.FittedTokenizer):
            return built
        return copy.deepcopy(self.once("fitted", self.fitted_anew))  # a fit may take a second

    def fitted_anew(self) -> Any:
        """A fresh tokenizer, fitted now."""
        built = self.build()
        built.fit(self.values(FIT_VALUES), seed=0)
        return built

    def values(self, count: int = 8) -> Sequence[Any]:
        """Example values: the trial's own, else what random ids decode to.

        Raises:
            NotApplicable: there are none.
        """
        if self.trial.values is not None:
            return self._drawn(self.trial.values, count)
        absent = NotApplicable(
            f"'{self.spec.name}' has no example values; give its spec a `trial` with `values`"
        )
        built = self.build()
        if isinstance(built, protocols.FittedTokenizer) or not hasattr(built, "decode"):
            raise absent
        values = []
        for ids in self.random_ids(4 * count):
            value = built.decode(ids)
            try:
                built.encode(value)
            except ValueError:  # ids that no `encode` gives may stand for what it does not take
                continue
            values.append(value)
        if not values:
            raise absent
        return values[:count]

    def refused(self, count: int = 8) -> Sequence[Any]:
        """The trial's values that must be refused; [] when it has none."""
        return self._drawn(self.trial.refused, count) if self.trial.refused is not None else []

    def random_ids(self, count: int) -> list[protocols.IntArray]:
        """Arrays of ids that a model may generate: the shortest, the longest, then any length."""
        bounds, draws = self.bounds, random.generator(SEED, "conformance/ids")
        lengths = [bounds.min_tokens, bounds.max_tokens]
        lengths += [
            int(n) for n in draws.integers(bounds.min_tokens, bounds.max_tokens + 1, max(count, 2))
        ]
        return [self.ids_of(length, draws) for length in lengths[:count]]

    def ids_of(self, length: int, draws: np.random.Generator) -> protocols.IntArray:
        """Random ids of this length, each within its slot."""
        slots = self.bounds.slots or (range(self.bounds.vocab_size),) * length
        return np.array(
            [draws.integers(slot.start, slot.stop) for slot in slots[:length]], np.int64
        )

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """What `make` returns, called at the first use of the key: for answers of other processes."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    @cached_property
    def _made(self) -> dict[str, Any]:
        return {}

    def _drawn(self, examples: Callable[..., Sequence[Any]], count: int) -> list[Any]:
        draws = random.generator(SEED, "conformance/values")
        values = list(examples(self.settings, draws, count))
        if not values:
            raise CheckFailure("the trial gives no example values")
        return values


def subjects(plugin: str, registry: Registry | None = None) -> list[Subject]:
    """Every component of an installed plugin.

    Raises:
        PluginError: the plugin is not installed or cannot be used.
    """
    registry = registry or Registry.discover({plugin})
    return [
        Subject(registry.component(name), registry.group(name), registry)
        for name in registry.require(plugin).components
    ]
