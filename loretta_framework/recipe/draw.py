"""The modality graph as text, as Mermaid and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from loretta_framework.recipe.draw_svg import svg
from loretta_framework.recipe.plan import Plan
from loretta_framework.recipe.show import aligned, edge_sets


def text(plan: Plan) -> str:
    """One line per pair: observed ones with their samples and sets, missing ones with bridges."""
    rows = [
        [a, "---", b, f"{count} samples in {', '.join(edge_sets(plan, a, b))}"]
        for (a, b), count in plan.graph.observed
    ]
    for bridge in plan.bridges:
        a, b = bridge.pair
        paths = "; ".join(" - ".join(path) for path in bridge.paths)
        rows.append([a, "- -", b, f"missing; bridged by {paths}"])
    joined = {name for pair, _ in plan.graph.observed for name in pair}
    rows += [[name, "", "", "alone"] for name in plan.graph.nodes if name not in joined]
    return "\n".join(aligned(rows)) + "\n"


def mermaid(plan: Plan) -> str:
    """A Mermaid flowchart; node ids are numbered, since a modality may be called `end`."""
    ids = {name: f"m{number}" for number, name in enumerate(plan.graph.nodes)}
    lines = ["graph LR", *(f'  {ids[name]}(["{name}"])' for name in plan.graph.nodes)]
    lines += [f'  {ids[a]} ---|"{count}"| {ids[b]}' for (a, b), count in plan.graph.observed]
    lines += [f'  {ids[a]} -.-|"missing"| {ids[b]}' for a, b in plan.missing_pairs]
    return "\n".join(lines) + "\n"


FORMATS: Mapping[str, Callable[[Plan], str]] = {"text": text, "mermaid": mermaid, "svg": svg}
"""Format name -> drawing."""
