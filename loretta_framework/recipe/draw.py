"""The modality graph as text, as Mermaid and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from loretta_framework.recipe.draw_svg import svg
from loretta_framework.recipe.inputs import INPUT_ONLY, arrow, why_unbridged
from loretta_framework.recipe.plan import Plan
from loretta_framework.recipe.show import aligned, edge_sets

_LINES = {"--": "---", "->": "-->", "<-": "<--", "": "..."}


def text(plan: Plan) -> str:
    """One line per pair: observed ones with their samples and sets, missing ones with bridges.

    An arrow leads from what is input only; a pair of two such is dotted.
    """
    rows = [
        [a, _LINES[arrow(plan.graph, (a, b))], b, f"{count} samples in {sets}"]
        for (a, b), count in plan.graph.observed
        for sets in [", ".join(edge_sets(plan, a, b))]
    ]
    for bridge in plan.bridges:
        a, b = bridge.pair
        paths = "; ".join(" - ".join(path) for path in bridge.paths)
        rows.append([a, "- -", b, f"missing; bridged by {paths}"])
    for a, b in plan.graph.unbridged():
        rows.append([a, "- -", b, f"missing; {why_unbridged(plan.graph, (a, b))}"])
    joined = {name for pair, _ in plan.graph.observed for name in pair}
    rows += [[name, "", "", "alone"] for name in plan.graph.nodes if name not in joined]
    return "\n".join(aligned(rows)) + "\n"


def mermaid(plan: Plan) -> str:
    """A Mermaid flowchart; node ids are numbered, since a modality may be called `end`."""
    ids = {name: f"m{number}" for number, name in enumerate(plan.graph.nodes)}
    lines = ["graph LR"]
    for name in plan.graph.nodes:
        shape = f'>"{name} ({INPUT_ONLY})"]' if name in plan.graph.inputs else f'(["{name}"])'
        lines.append(f"  {ids[name]}{shape}")
    for (a, b), count in plan.graph.observed:
        kind = arrow(plan.graph, (a, b))
        first, last = (b, a) if kind == "<-" else (a, b)
        line = {"--": "---", "": "-.-"}.get(kind, "-->")
        lines.append(f'  {ids[first]} {line}|"{count}"| {ids[last]}')
    lines += [f'  {ids[a]} -.-|"missing"| {ids[b]}' for a, b in plan.missing_pairs]
    lines += [f'  {ids[a]} -.-|"not bridged"| {ids[b]}' for a, b in plan.graph.unbridged()]
    return "\n".join(lines) + "\n"


FORMATS: Mapping[str, Callable[[Plan], str]] = {"text": text, "mermaid": mermaid, "svg": svg}
"""Format name -> drawing."""
