"""Objectives become tasks: when each works, on how many samples, and who stands in before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from loretta_framework.api.errors import Problem, RecipeError, nearest
from loretta_framework.api.settings import ObjectiveSettings, TaskSchedule
from loretta_framework.api.specs import ObjectiveSpec
from loretta_framework.graph import Bridge
from loretta_framework.recipe.load import LoadedRecipe
from loretta_framework.recipe.nodes import Component, Components
from loretta_framework.recipe.plan import Reason, SetPlan, TaskPlan
from loretta_framework.recipe.yaml_reader import KeyPath
from loretta_framework.sequence.vocabulary import Vocabulary

FALLBACK = "causal"
"""Kind of the objective that takes over the share of one that cannot work (yet)."""


@dataclass(frozen=True, slots=True)
class _Draft:
    """An objective with what decides its task."""

    path: KeyPath
    name: str
    component: Component
    share: float
    weight: float
    start_step: int
    schedule: TaskSchedule

    @property
    def needs_bridges(self) -> bool:
        """Whether it has work only where pairs are missing."""
        spec = self.component.spec
        return isinstance(spec, ObjectiveSpec) and spec.capabilities.needs_bridges

    @property
    def key(self) -> str:
        """Its key in reasons."""
        return f"objectives.{self.name}"


@dataclass(frozen=True, slots=True)
class Lengths:
    """Expected tokens of a sequence; class and end ids counted, every segment at its longest.

    Attributes:
        samples: mean over the training sets by share, all modalities of a set in a row.
        pairs: mean over the missing pairs, both segments; 0 without any.
        longest: the longest of all of these.
        what: what the longest is made of, for messages.
    """

    samples: float
    pairs: float
    longest: int
    what: str

    @classmethod
    def of(
        cls, vocabulary: Vocabulary, sets: Sequence[SetPlan], bridges: Sequence[Bridge]
    ) -> Lengths:
        """Lengths from the id blocks."""

        def tokens(names: Sequence[str]) -> int:
            return sum(vocabulary[name].segment_length for name in names)

        sizes = [(tokens(item.modalities), f"set '{item.name}'") for item in sets]
        pairs = [(tokens(bridge.pair), f"pair {' + '.join(bridge.pair)}") for bridge in bridges]
        samples = math.fsum(item.share * size for item, (size, _) in zip(sets, sizes, strict=True))
        mean = sum(size for size, _ in pairs) / len(pairs) if pairs else 0.0
        return cls(samples, mean, *max(sizes + pairs))


def plan_tasks(
    loaded: LoadedRecipe, components: Components, lengths: Lengths, bridged: bool
) -> tuple[tuple[TaskPlan, ...], list[Reason]]:
    """The tasks of a recipe and the reasons for what was decided.

    Args:
        loaded: the recipe.
        components: its checked nodes.
        lengths: expected sequence lengths.
        bridged: whether there are missing pairs to bridge.

    Raises:
        RecipeError: no objective has a share, one needs `causal` to fall back to and there is
            none, or settings name modalities that are not declared.
    """
    _require_declared(loaded, components)
    drafts, reasons = _drafts(loaded, components)
    drafts = _without_idle(loaded, drafts, bridged, reasons)
    kept = [draft for draft in drafts if draft.share > 0]
    for draft in drafts:
        if draft.share == 0:
            reasons.append(Reason(draft.key, "left out", "its share is 0"))
    late = [draft for draft in kept if draft.start_step > 0]
    stand_in = next((draft for draft in kept if draft.component.node.kind == FALLBACK), None)
    if late and (stand_in is None or stand_in in late):
        raise RecipeError([_no_fallback(loaded, draft, bridged=True) for draft in late])
    tasks = []
    for draft in kept:
        others = [other for other in late if draft is stand_in]
        tasks.append(_task(loaded, draft, others, lengths))
    for draft in late:
        assert stand_in is not None
        why = f"it starts at step {draft.start_step}; until then '{stand_in.name}' gets its samples"
        reasons.append(Reason(f"{draft.key}.settings.start", f"step {draft.start_step}", why))
    return tuple(tasks), reasons


def _require_declared(loaded: LoadedRecipe, components: Components) -> None:
    """Settings of objectives name modalities of the recipe only."""
    declared, problems = list(loaded.recipe.modalities), []
    for index in range(len(loaded.recipe.objectives)):
        path: KeyPath = ("objectives", index)
        settings = components[path].settings
        assert isinstance(settings, ObjectiveSettings)
        for key, names in settings.modalities_named().items():
            where = loaded.where((*path, "settings", key))
            fix = f"declared in `modalities`: {', '.join(declared)}"
            for name in sorted(set(names) - set(declared)):
                what = f"the modality '{name}' is not declared{nearest(name, declared)}"
                problems.append(Problem(what, where, fix))
    if problems:
        raise RecipeError(problems)


def _drafts(loaded: LoadedRecipe, components: Components) -> tuple[list[_Draft], list[Reason]]:
    objectives = loaded.recipe.objectives
    total = math.fsum(node.share for node in objectives)
    if total <= 0:
        what = "at least one objective must have a share above 0, but none has"
        raise RecipeError([Problem(what, loaded.where(("objectives",)), "give one a share")])
    drafts, reasons = [], []
    for index, node in enumerate(objectives):
        path: KeyPath = ("objectives", index)
        component = components[path]
        schedule = component.settings.schedule()
        name, share = node.name or node.kind, node.share / total
        start = round(schedule.start * loaded.recipe.train.steps)
        drafts.append(_Draft(path, name, component, share, node.weight, start, schedule))
        if not math.isclose(share, node.share):
            why = f"shares are normalised to 1 (written: {node.share:g} of {total:g})"
            reasons.append(Reason(f"objectives.{name}.share", f"{share:.4g}", why))
    return drafts, reasons


def _without_idle(
    loaded: LoadedRecipe, drafts: list[_Draft], bridged: bool, reasons: list[Reason]
) -> list[_Draft]:
    """Drop tasks that need bridges where there are none; the first `causal` gets their share."""
    idle = [draft for draft in drafts if draft.needs_bridges and not bridged and draft.share > 0]
    if not idle:
        return drafts
    stand_in = next((draft for draft in drafts if draft.component.node.kind == FALLBACK), None)
    if stand_in is None:
        raise RecipeError([_no_fallback(loaded, draft, bridged=False) for draft in idle])
    for draft in idle:
        why = "there is no missing pair that could be bridged"
        reasons.append(Reason(draft.key, f"left out; its share goes to '{stand_in.name}'", why))
    share = math.fsum([stand_in.share, *(draft.share for draft in idle)])
    kept = [draft for draft in drafts if draft not in idle]
    return [replace(draft, share=share) if draft is stand_in else draft for draft in kept]


def _task(
    loaded: LoadedRecipe, draft: _Draft, late: Sequence[_Draft], lengths: Lengths
) -> TaskPlan:
    tokens = lengths.pairs if draft.needs_bridges else lengths.samples
    budget = loaded.recipe.train.batch_tokens
    extra = tuple(
        sorted((other.start_step, math.floor(other.share * budget / tokens)) for other in late)
    )
    return TaskPlan(
        name=draft.name,
        component=draft.component.plan,
        share=draft.share,
        weight=draft.weight,
        start_step=draft.start_step,
        every=draft.schedule.every,
        samples_per_step=max(1, math.floor(draft.share * budget / tokens)),
        extra_samples=extra,
        sequence_tokens=tokens,
        overlap=draft.schedule.overlap,
    )


def _no_fallback(loaded: LoadedRecipe, draft: _Draft, bridged: bool) -> Problem:
    when = f"before step {draft.start_step}" if bridged else "without a missing pair"
    return Problem(
        f"'{draft.name}' has no work {when}, and there is no '{FALLBACK}' objective with a share "
        "from the first step on to take over",
        loaded.where(draft.path),
        f"add {{kind: {FALLBACK}}} to `objectives`",
    )
