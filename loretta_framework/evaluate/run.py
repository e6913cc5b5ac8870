"""Evaluate a run: load it, read its test data, ask every evaluator, write the evaluation file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loretta_framework.api.atomic import write_json_atomically
from loretta_framework.api.errors import InputError
from loretta_framework.checkpoint.handshake import (
    plugins_of,
    require_present,
    require_versions,
    source_components,
)
from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.evaluate.context import EvaluationContext
from loretta_framework.evaluate.gap import gap_closed, require_same_data
from loretta_framework.evaluate.report import Collected, edge_entries, read_evaluation, versions
from loretta_framework.evaluate.samples import EvaluationData, SampleReader
from loretta_framework.inference import LoadedModel, load
from loretta_framework.recipe.load import load_recipe
from loretta_framework.recipe.plan import Plan
from loretta_framework.recipe.schema import Node
from loretta_framework.registry import Builder, Registry

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """What to evaluate, and on what.

    Attributes:
        run_dir: the run.
        data: shard patterns to judge on; empty: the recipe's test sets.
        label: where classes stand in every set; None: as the recipe says.
        baseline: run directory of the baseline arm, evaluated before.
        oracle: run directory of the oracle arm, evaluated before.
        seed: key of every draw of the evaluation; the same for all arms.
        device: where the model computes.
    """

    run_dir: Path
    data: tuple[str, ...] = ()
    label: str | None = None
    baseline: Path | None = None
    oracle: Path | None = None
    seed: int = 0
    device: str = "cpu"


def evaluate(request: EvaluationRequest, say: Say) -> dict[str, Any]:
    """Evaluate a run and write RUN/evaluation.json.

    Args:
        request: see `EvaluationRequest`.
        say: told what is going on.

    Returns:
        The file's content.

    Raises:
        InputError: an arm is missing, not evaluated, or was evaluated on other data.
        RunDirectoryError, CheckpointError, ShardError, PluginError: see where they come from.
    """
    arms = _arms(request)
    run = RunDirectory.open(request.run_dir)
    model = load(run.path, request.device, warn=say)
    notes: list[dict[str, str]] = []

    def note(key: str, choice: str, reason: str) -> None:
        notes.append({"key": key, "choice": choice, "why": reason})
        say(f"{key} = {choice} ({reason})")

    registry = _registry(model.plan, run, say)
    builder = Builder(registry, note)
    reader = SampleReader(model, _sources(model.plan, builder), request.label, note)
    data = reader.test(request.data)
    require_same_data(data.data_hash, arms)
    context = EvaluationContext(
        model, model.plan, data.samples, run.path, request.seed, note, reader.training
    )
    found = _collect(load_recipe(run.recipe_file).recipe.evaluate, builder, context, say)
    content = _content(request, model, data, found, notes)
    if arms:
        baseline, oracle = arms.values()
        content["gap_closed"] = gap_closed(content, baseline, oracle, request.seed)
        content["gap_closed"] |= {"baseline": str(request.baseline), "oracle": str(request.oracle)}
    write_json_atomically(run.evaluation_file, content)
    return content


def _arms(request: EvaluationRequest) -> dict[str, dict[str, Any]]:
    """The evaluations of baseline and oracle, read first: a missing one should not cost minutes."""
    if request.baseline is None and request.oracle is None:
        return {}
    if request.baseline is None or request.oracle is None:
        raise InputError(
            "a gap lies between two arms, but only one is named",
            fix="give both --baseline RUN and --oracle RUN",
        )
    if request.baseline.resolve() == request.oracle.resolve():
        raise InputError("baseline and oracle must be two runs", where=str(request.oracle))
    return {str(arm): read_evaluation(arm) for arm in (request.baseline, request.oracle)}


def _collect(
    nodes: Sequence[str | Node], builder: Builder, context: EvaluationContext, say: Say
) -> Collected:
    wanted = [Node(kind=node) if isinstance(node, str) else node for node in nodes]
    # All are built first: a wrong setting of the last should not cost the work of the others.
    evaluators = [
        (node.kind, builder.build_spec("evaluator", node.kind, node.settings)) for node in wanted
    ]
    found = Collected()
    for kind, evaluator in evaluators:
        say(f"{kind} on {len(context.samples)} test samples")
        found.add(kind, evaluator.evaluate(context))
    return found


def _content(
    request: EvaluationRequest,
    model: LoadedModel,
    data: EvaluationData,
    found: Collected,
    notes: list[dict[str, str]],
) -> dict[str, Any]:
    return {
        "name": model.plan.name,
        "edges": edge_entries(model.plan, found.edges),
        "gap_closed": None,
        **found.sections,
        "samples": len(data.samples),
        "seed": request.seed,
        "recipe_hash": model.plan.recipe_hash,
        "data_hash": data.data_hash,
        "versions": versions(model.plan),
        "notes": notes,
    }


def _registry(plan: Plan, run: RunDirectory, say: Say) -> Registry:
    """Where evaluators and sources come from; the sources are those that the run was made with."""
    sources = source_components(plan)
    registry = Registry.discover(plugins_of(sources))
    require_present(sources, registry, str(run.path))
    for sentence in require_versions(sources, registry, str(run.path)):
        say(sentence)
    return registry


def _sources(plan: Plan, builder: Builder) -> dict[str, Any]:
    """Sources that map members to modalities, by "<split>/<set>"."""
    return {
        f"{item.split}/{item.name}": builder.build_spec(
            "source", item.source.kind, item.source.settings
        )
        for item in plan.sets
        if item.source is not None
    }
