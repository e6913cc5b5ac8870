"""For each check of backbones a component that fails it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from loretta_framework.api import BackboneCapabilities, BackboneSpec, Kernel
from loretta_framework.api.specs import ComponentSpec
from loretta_framework.testing.conformance.subject import Subject


@dataclass(frozen=True)
class OneComponent:
    """All that a `Subject` asks of a registry."""

    kind: str
    only: ComponentSpec
    records = ()

    def spec(self, group: str, name: str) -> ComponentSpec:
        assert (group, name) == (self.kind, self.only.name)
        return self.only

    def group(self, name: str) -> str:
        assert name == self.only.name
        return self.kind

    def component(self, name: str) -> ComponentSpec:
        return self.spec(self.kind, name)

    def distribution(self, name: str) -> str:
        return "a test"


def backbone(fault: str, kernels: tuple[Kernel, ...] = (), **capabilities: Any) -> Subject:
    """A faulty Transformer; `fault` is a class of `broken_backbones`."""
    spec = BackboneSpec(
        name="twin.transformer",
        version=1,
        summary="Broken in one way.",
        settings="loretta_framework.backbones.settings:TransformerSettings",
        factory=f"broken_backbones:build_{fault}",
        trial="broken_backbones:TRIAL",
        kernels=kernels,
        capabilities=BackboneCapabilities(**capabilities),
    )
    return Subject(spec, "backbone", OneComponent("backbone", spec))  # type: ignore[arg-type]


ABSENT = Kernel("no-such-kernel", "broken_backbones:FAULTS", "pip install it", "It is slower.")

TWINS: dict[str, Callable[[], Subject]] = {
    "backbone.keeps_the_shape": partial(backbone, "CutsTheLastToken"),
    "backbone.is_causal": partial(backbone, "LooksAhead"),
    "backbone.packed_equals_separate": partial(backbone, "IgnoresDocuments"),
    "backbone.packed_documents_do_not_see_each_other": partial(backbone, "LeavesATrace"),
    "backbone.padding_changes_nothing": partial(backbone, "CountsPadding"),
    "backbone.rows_do_not_mix": partial(backbone, "NormalisesTheBatch"),
    "backbone.cached_equals_full": partial(backbone, "CountsFromZero"),
    "backbone.ragged_prompts_continue": partial(backbone, "CachesPadding"),
    "backbone.padding_leaves_the_cache_alone": partial(backbone, "CachesPadding"),
    "backbone.cache_rows_are_selected": partial(backbone, "SharesItsCache"),
    "backbone.cache_size_is_as_declared": partial(backbone, "Sound", cache="constant"),
    "backbone.every_parameter_gets_a_gradient": partial(backbone, "HasAnIdleParameter"),
    "backbone.is_finite": partial(backbone, "DividesByZero"),
    "backbone.reaches_its_max_length": partial(backbone, "HasAShortTable", max_length=64),
    "backbone.works_in_bfloat16": partial(backbone, "IsCoarseInBfloat16"),
    "backbone.keeps_float32_islands": partial(
        backbone, "Sound", float32_parameters=("blocks.*.mlp.down.weight",)
    ),
    "backbone.same_seed_same_weights": partial(backbone, "DrawsFromNumpy"),
    "backbone.draws_only_in_training": partial(backbone, "AlwaysDrops"),
    "backbone.weights_come_back": partial(backbone, "KeepsWhatItDerived"),
    "backbone.builds_without_memory": partial(backbone, "HasABufferThatIsNotSaved"),
    "backbone.blocks_are_units": partial(backbone, "PassesItsBlocksBy"),
    "backbone.works_without_its_kernels": partial(backbone, "Sound", kernels=(ABSENT,)),
    "backbone.two_ranks_equal_one": partial(backbone, "HasAScalar"),
}
"""Check id -> a component on which it fails."""
