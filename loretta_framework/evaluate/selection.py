"""Which edges and which test samples an evaluator works on. The same for every arm of a study."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import permutations

from loretta_framework.api.random import generator
from loretta_framework.data.values import ValueSample
from loretta_framework.evaluate.settings import EdgeChoice
from loretta_framework.recipe.plan import Plan


def directed_pairs(
    plan: Plan, samples: Sequence[ValueSample], choice: EdgeChoice = "all"
) -> list[tuple[str, str]]:
    """Ordered pairs of the modalities that the test samples have, in the plan's order.

    Where every pair was observed, as in an oracle arm, "unobserved" means all of them: its figures
    are what the others are compared with.
    """
    present = {name for sample in samples for name in sample.tokens.modalities}
    nodes = [node.name for node in plan.modalities if node.name in present]
    pairs = list(permutations(nodes, 2))
    missing = [pair for pair in pairs if not plan.graph.has(*pair)]
    return missing if choice == "unobserved" and missing else pairs


def having(
    samples: Sequence[ValueSample], *modalities: str, labelled: bool = False
) -> list[ValueSample]:
    """The samples that have all of these modalities and, if asked for, a label."""
    return [
        sample
        for sample in samples
        if sample.tokens.modalities.issuperset(modalities)
        and not (labelled and sample.label is None)
    ]


def balanced(samples: Sequence[ValueSample], count: int, seed: int) -> list[ValueSample]:
    """At most `count` samples, as evenly over classes as they allow, in an order of class rounds.

    The choice is a function of the samples' keys and the seed alone: the order in which shards were
    read has no part in it.
    """
    classes: dict[str, list[ValueSample]] = defaultdict(list)
    for sample in samples:
        classes[sample.label or ""].append(sample)
    queues = []
    for label in sorted(classes):
        members = sorted(classes[label], key=lambda sample: sample.key)
        order = generator(seed, "evaluate/balanced", label).permutation(len(members))
        queues.append([members[i] for i in order])
    rounds = max((len(queue) for queue in queues), default=0)
    chosen = [queue[i] for i in range(rounds) for queue in queues if i < len(queue)]
    return chosen[:count]


def why_unusable(samples: Sequence[ValueSample], *modalities: str) -> str | None:
    """Why classes of these modalities cannot be compared; None when they can."""
    named = " and ".join(modalities)
    present = having(samples, *modalities)
    if not present:
        return f"no test sample has {named}"
    classes = {sample.label for sample in present if sample.label is not None}
    if not classes:
        return (
            f"the test samples with {named} carry no label: give their set one in the recipe "
            "(for example label: meta.digit), or pass --label"
        )
    if len(classes) < 2:
        return f"the test samples with {named} are all of one class, '{next(iter(classes))}'"
    return None


def why_not_predicted(plan: Plan, target: str) -> str | None:
    """Why there are no figures of edges to a modality; None when there can be."""
    if target in plan.vocabulary.inputs:
        return f"{target} is continuous: it is given to the model, and never predicted or generated"
    return None


def impossible(metrics: Sequence[str], reason: str) -> dict[str, str | None]:
    """Figures that cannot be measured: None, each beside its reason."""
    return dict.fromkeys(metrics) | {f"{metric}_reason": reason for metric in metrics}
