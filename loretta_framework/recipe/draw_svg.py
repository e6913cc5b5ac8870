"""The modality graph as a self-contained SVG: nodes on a circle, light background, no scripts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from xml.sax.saxutils import escape

from loretta_framework.recipe.inputs import INPUT_ONLY
from loretta_framework.recipe.plan import Plan

Point = tuple[float, float]

_LETTER = 8.4
_HEIGHT = 34.0
_MARGIN = 30.0
_STYLE = """<style>
  text { font: 14px ui-sans-serif, system-ui, Helvetica, Arial, sans-serif; fill: #1f2933; }
  .title { font-size: 16px; font-weight: 600; }
  .small { font-size: 12px; fill: #52606d; }
  .node { fill: #ffffff; stroke: #2f5d8a; stroke-width: 1.8; }
  .input { stroke-dasharray: 2 3; }
  .observed { stroke: #2f5d8a; stroke-width: 2; }
  .missing { stroke: #b4602a; stroke-width: 1.8; stroke-dasharray: 6 5; }
  .plate { fill: #f8fafb; }
  .label { font-size: 12px; text-anchor: middle; dominant-baseline: central; }
  .name { text-anchor: middle; dominant-baseline: central; font-weight: 600; }
</style>"""


def svg(plan: Plan) -> str:
    """Observed pairs solid with sample counts, missing pairs dashed; a legend below.

    What is input only has a dotted frame, and edges lead away from it.
    """
    nodes = plan.graph.nodes
    box = max(_width(name) for name in nodes)
    radius = _radius(len(nodes), box)
    width = max(2 * radius + box + 2 * _MARGIN, 420.0, _width(plan.name) + 2 * _MARGIN)
    top = 2 * _MARGIN + _HEIGHT
    places = _circle(nodes, width / 2, top, radius)
    height = max(y for _, y in places.values()) + _HEIGHT + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">',
        f"<title>Modality graph of {escape(plan.name)}</title>",
        _STYLE,
        f'<rect class="plate" width="{width:.0f}" height="{height:.0f}"/>',
        f'<text class="title" x="{_MARGIN}" y="{_MARGIN + 4}">{escape(plan.name)}</text>',
    ]
    unbridged = plan.graph.unbridged()
    for a, b in [*plan.missing_pairs, *unbridged]:
        parts.append(_line("missing", places[a], places[b]))
    parts += [_line("observed", places[a], places[b]) for (a, b), _ in plan.graph.observed]
    parts += _counts(plan, places, box)
    parts += [_node(name, places[name], name in plan.graph.inputs) for name in nodes]
    parts += _legend(
        height, "missing" if unbridged else "missing, bridged", bool(plan.graph.inputs)
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _radius(count: int, box: float) -> float:
    """Large enough that neighbours on the circle leave room for a count between them."""
    if count < 2:
        return 0.0
    return max(90.0, (box + 70.0) / (2 * math.sin(math.pi / count)))


def _circle(nodes: tuple[str, ...], middle: float, top: float, radius: float) -> dict[str, Point]:
    """Clockwise from the top, whose height is given; two nodes lie side by side."""
    start = math.pi if len(nodes) == 2 else -math.pi / 2
    angles = [start + 2 * math.pi * number / len(nodes) for number in range(len(nodes))]
    highest = min(math.sin(angle) for angle in angles)
    return {
        name: (middle + radius * math.cos(angle), top + radius * (math.sin(angle) - highest))
        for name, angle in zip(nodes, angles, strict=True)
    }


def _counts(plan: Plan, places: Mapping[str, Point], box: float) -> list[str]:
    """Labels at the middle of each edge, moved along it until they are clear of each other."""
    taken: list[tuple[float, float, float]] = []
    parts = []
    for (a, b), count in plan.graph.observed:
        wide = len(str(count)) * 7.2 + 12
        options = [_between(places[a], places[b], part) for part in (0.5, 0.4, 0.6, 0.33, 0.67)]
        blocked = [(x, y, box) for x, y in places.values()]
        point = next((p for p in options if _is_clear(p, wide, taken + blocked)), options[0])
        taken.append((*point, wide))
        x, y = point
        parts.append(
            f'<rect class="plate" x="{x - wide / 2:.1f}" y="{y - 9:.1f}" width="{wide:.1f}" '
            f'height="18" rx="4"/><text class="label" x="{x:.1f}" y="{y:.1f}">{count}</text>'
        )
    return parts


def _between(a: Point, b: Point, part: float) -> Point:
    return a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part


def _is_clear(point: Point, wide: float, taken: list[tuple[float, float, float]]) -> bool:
    x, y = point
    return all(
        abs(x - other_x) > (wide + other_wide) / 2 or abs(y - other_y) > 28
        for other_x, other_y, other_wide in taken
    )


def _line(kind: str, a: Point, b: Point) -> str:
    return f'<line class="{kind}" x1="{a[0]:.1f}" y1="{a[1]:.1f}" x2="{b[0]:.1f}" y2="{b[1]:.1f}"/>'


def _node(name: str, place: Point, given: bool) -> str:
    x, y = place
    wide, kind = _width(name), "node input" if given else "node"
    return (
        f'<rect class="{kind}" x="{x - wide / 2:.1f}" y="{y - _HEIGHT / 2:.1f}" width="{wide:.1f}" '
        f'height="{_HEIGHT:.0f}" rx="17"/><text class="name" x="{x:.1f}" y="{y:.1f}">'
        f"{escape(name)}</text>"
    )


def _legend(height: float, missing: str, inputs: bool) -> list[str]:
    y, x = height - _MARGIN, _MARGIN
    lines = [
        _line("observed", (x, y), (x + 34, y)),
        f'<text class="small" x="{x + 42}" y="{y + 4}">observed, with samples</text>',
        _line("missing", (x + 200, y), (x + 234, y)),
        f'<text class="small" x="{x + 242}" y="{y + 4}">{missing}</text>',
    ]
    if inputs:
        text = f"dotted frame: {INPUT_ONLY}, edges lead away from it"
        lines.append(f'<text class="small" x="{x}" y="{y + 22}">{text}</text>')
    return lines


def _width(name: str) -> float:
    return len(name) * _LETTER + 30
