"""The evaluation file: what evaluators found, assembled, checked and read back."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from loretta_framework.api.atomic import plain_json
from loretta_framework.api.errors import InputError, PluginError
from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.graph import Edge
from loretta_framework.recipe.plan import Plan

RESERVED = (
    "name",
    "edges",
    "gap_closed",
    "samples",
    "seed",
    "recipe_hash",
    "data_hash",
    "versions",
    "notes",
)
"""Keys of the file that are not an evaluator's to give, "edges" apart."""


class Collected:
    """What all evaluators found, merged: metrics by edge, and sections."""

    def __init__(self) -> None:
        self.edges: dict[str, dict[str, Any]] = {}
        self.sections: dict[str, Any] = {}

    def add(self, kind: str, findings: Mapping[str, Any]) -> None:
        """Merge an evaluator's findings.

        Raises:
            PluginError: they are not what `evaluate.context.Findings` asks for.
        """
        fix = "report it to the authors of the evaluator"
        try:
            plain_json(findings)
            for name, metrics in findings.get("edges", {}).items():
                Edge.parse(name)
                self.edges.setdefault(name, {}).update(metrics)
        except (ValueError, TypeError, AttributeError) as error:
            raise PluginError(
                f"the evaluator '{kind}' returned no usable figures: {error}", fix=fix
            ) from error
        taken = [key for key in findings if key in RESERVED and key != "edges"]
        if taken:
            raise PluginError(f"the evaluator '{kind}' must not return '{taken[0]}'", fix=fix)
        self.sections |= {key: value for key, value in findings.items() if key != "edges"}


def edge_entries(plan: Plan, edges: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Entries of the file, ordered by the plan's modalities: first y alone, then x -> y."""
    order = {node.name: place for place, node in enumerate(plan.modalities)}

    def place(name: str) -> tuple[int, list[int], int]:
        edge = Edge.parse(name)
        known = sorted(order.get(source, len(order)) for source in edge.sources)
        return len(edge.sources), known, order.get(edge.target, len(order))

    return [
        {
            "source": "+".join(sorted(Edge.parse(name).sources)),
            "target": Edge.parse(name).target,
            "observed": observed(plan, Edge.parse(name)),
            **edges[name],
        }
        for name in sorted(edges, key=place)
    ]


def observed(plan: Plan, edge: Edge) -> bool:
    """Whether some training sample holds all modalities of the edge."""
    together = edge.sources | {edge.target}
    return any(
        together <= set(combo) and count > 0
        for item in plan.split("train")
        for combo, count in item.combinations
    )


def versions(plan: Plan) -> dict[str, str]:
    """What computed the figures: package -> version."""
    components = [*(node.component for node in plan.modalities), plan.backbone]
    brought = (component.distribution.rpartition(" ") for component in components)
    found = {name: version for name, _, version in brought if name}
    installed = {name: metadata.version(name) for name in ("loretta-framework", "torch", "numpy")}
    return {**found, **installed, "python": platform.python_version()}


def read_evaluation(run_dir: Path) -> dict[str, Any]:
    """The evaluation file of a run.

    Raises:
        RunDirectoryError: it is no run.
        InputError: the run has not been evaluated, or the file is damaged.
    """
    path = RunDirectory.open(run_dir).evaluation_file
    fix = f"run: loretta evaluate {run_dir}"
    if not path.is_file():
        raise InputError("the run has not been evaluated", where=str(path), fix=fix)
    try:
        data = json.loads(path.read_bytes())
        if not isinstance(data["edges"], list) or not isinstance(data["data_hash"], str):
            raise TypeError("`edges` must be a list and `data_hash` a string")
    except (ValueError, KeyError, TypeError, OSError) as error:
        what = f"the evaluation cannot be read: {type(error).__name__}: {error}"
        raise InputError(what, where=str(path), fix=fix) from error
    return dict(data)


def find_edge(entries: Iterable[Mapping[str, Any]], source: str, target: str) -> Mapping[str, Any]:
    """The entry of that edge; empty when there is none."""
    for entry in entries:
        if (entry.get("source"), entry.get("target")) == (source, target):
            return entry
    return {}
