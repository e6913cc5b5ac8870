"""A component under test: its spec, its settings, fresh instances, example values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from loretta_framework.api import protocols, random
from loretta_framework.api.specs import Bounds, ComponentSpec, LazyReference, ModalitySpec
from loretta_framework.api.trials import Trial
from loretta_framework.registry import Builder, Group, Registry
from loretta_framework.testing.conformance.checks import Kind, NotApplicable

SEED = 20_240_229
"""Of everything the kit draws: a failure repeats."""


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
        assert isinstance(found, Trial)
        return found

    @cached_property
    def settings(self) -> Any:
        """The trial's settings, checked by the component's own settings class."""
        return self.spec.settings_class()(**self.trial.settings)

    def build(self) -> Any:
        """A fresh instance, not fitted."""
        return Builder(self.registry).build_spec(self.group, self.spec.name, self.trial.settings)

    @property
    def bounds(self) -> Bounds:
        """Of a modality."""
        bounds = self.settings.bounds()
        assert isinstance(bounds, Bounds)
        return bounds

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of checks that concern it."""
        if not isinstance(self.spec, ModalitySpec):
            return ("any", self.group)  # type: ignore[return-value]  # every other group is a kind
        if self.spec.capabilities.form == "discrete":
            return ("any", "tokenizer")
        built = self.build()
        kinds: list[Kind] = ["any"]
        if isinstance(built, protocols.Encoder):
            kinds.append("encoder")
        if isinstance(built, protocols.Decoder):
            kinds.append("decoder")
        return tuple(kinds)

    def ready(self) -> Any:
        """A fresh modality, fitted on example values where it must be."""
        built = self.build()
        if isinstance(built, protocols.FittedTokenizer):
            built.fit(self._examples(64), seed=0)
        return built

    def values(self, count: int = 8) -> Sequence[Any]:
        """Example values: the trial's own, else what random ids decode to.

        Raises:
            NotApplicable: the modality must be fitted first and its trial has no values.
        """
        if self.trial.values is not None:
            return self._examples(count)
        built = self.build()
        if isinstance(built, protocols.FittedTokenizer) or not hasattr(built, "decode"):
            raise NotApplicable(
                f"'{self.spec.name}' has no example values; give its spec a `trial` with `values`"
            )
        return [built.decode(ids) for ids in self.random_ids(count)]

    def random_ids(self, count: int) -> list[protocols.IntArray]:
        """Arrays of ids within the bounds: the shortest, the longest, then any length."""
        bounds, draws = self.bounds, random.generator(SEED, "conformance/ids")
        lengths = [bounds.min_tokens, bounds.max_tokens]
        lengths += [
            int(n) for n in draws.integers(bounds.min_tokens, bounds.max_tokens + 1, max(count, 2))
        ]
        return [draws.integers(0, bounds.vocab_size, length) for length in lengths[:count]]

    def _examples(self, count: int) -> Sequence[Any]:
        if self.trial.values is None:
            return self.values(count)
        draws: np.random.Generator = random.generator(SEED, "conformance/values")
        return list(self.trial.values(self.settings, draws, count))


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
