"""Plans and recipes as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from loretta_framework.recipe.inputs import INPUT_ONLY, why_unbridged
from loretta_framework.recipe.origins import label
from loretta_framework.recipe.plan import ComponentPlan, Plan, SetPlan, TaskPlan
from loretta_framework.recipe.yaml_reader import KeyPath, walk
from loretta_framework.recipe.yaml_writer import scalar, write_yaml


def plan_text(plan: Plan) -> str:
    """Everything a Plan decided, in sections, without line wrapping."""
    sections = {
        f"Plan of '{plan.name}'": [f"hash {plan.hash}"],
        f"Modalities: {plan.vocabulary.size} ids": _modalities(plan),
        "Graph": _graph(plan),
        "Data": _data(plan),
        f"Tasks: {plan.steps} steps sized for {plan.batch_tokens} tokens, seed {plan.seed}": _tasks(
            plan
        ),
        "Backbone": [_component(plan.backbone)],
        "Why": [f"{item.key}: {item.choice}; {item.why}" for item in plan.reasons],
        "Hashes": [f"recipe {plan.recipe_hash}", f"data   {plan.data_hash}"],
        "Versions": [", ".join(f"{name} {version}" for name, version in plan.versions.items())],
    }
    blocks = []
    for title, lines in sections.items():
        blocks.append("\n".join([title, *(f"  {line}".rstrip() for line in lines)]))
    return "\n\n".join(blocks) + "\n"


def recipe_text(resolved: Mapping[str, Any]) -> str:
    """A resolved recipe as YAML that loads again to the same recipe."""
    return write_yaml(dict(resolved))


def recipe_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """One line per value that differs: `train.steps: 200 -> 100`, `- key: value`, `+ key: value`."""
    before, after = _leaves(old), _leaves(new)
    lines = []
    for key in [*before, *(key for key in after if key not in before)]:
        if key not in after:
            lines.append(f"- {key}: {before[key]}")
        elif key not in before:
            lines.append(f"+ {key}: {after[key]}")
        elif before[key] != after[key]:
            lines.append(f"  {key}: {before[key]} -> {after[key]}")
    return lines


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines with their columns aligned, two blanks apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def edge_sets(plan: Plan, a: str, b: str) -> tuple[str, ...]:
    """Names of the training sets that hold samples with both modalities."""
    return tuple(
        item.name
        for item in plan.split("train")
        if any({a, b} <= set(combo) for combo, _ in item.combinations)
    )


def _modalities(plan: Plan) -> list[str]:
    rows = []
    for item in plan.modalities:
        block = plan.vocabulary[item.name]
        length = f"{block.min_tokens}..{block.max_tokens}" if block.variable else block.max_tokens
        form = f"tokens a segment{', then an end id' if block.variable else ''}"
        form = f"vectors a segment, {INPUT_ONLY}" if block.continuous else form
        rows.append(
            [
                item.name,
                f"ids {block.start}..{block.stop - 1}",
                f"{length} {form}",
                "fitted to the data" if item.fitted else "",
            ]
        )
    return _with_components(rows, [item.component for item in plan.modalities])


def _graph(plan: Plan) -> Iterator[str]:
    observed = [
        [f"{a} - {b}", f"{count} samples", f"in {', '.join(edge_sets(plan, a, b))}"]
        for (a, b), count in plan.graph.observed
    ]
    yield "observed pairs" if observed else "observed pairs: none"
    yield from (f"  {line}" for line in aligned(observed))
    unbridged = plan.graph.unbridged()
    yield "missing pairs" if plan.bridges or unbridged else "missing pairs: none"
    missing = [
        [f"{a} - {b}", "bridged by " + "; ".join(" - ".join(path) for path in bridge.paths)]
        for bridge in plan.bridges
        for a, b in [bridge.pair]
    ]
    missing += [
        [f"{a} - {b}", f"not bridged: {why_unbridged(plan.graph, (a, b))}"] for a, b in unbridged
    ]
    yield from (f"  {line}" for line in aligned(missing))
    yield f"components: {'; '.join(', '.join(part) for part in plan.components)}"


def _data(plan: Plan) -> list[str]:
    rows = [line for item in plan.sets for line in _set(item, plan.shuffle_rows)]
    return aligned(rows)


def _set(item: SetPlan, shuffle_rows: int) -> Iterator[list[str]]:
    for number, (combo, count) in enumerate(item.combinations):
        first = number == 0
        shards = f"{len(item.shards)} shard{'s' if len(item.shards) > 1 else ''}"
        facts = f"share {item.share:.4g}, {item.samples} samples, {shards}, missing: {item.missing}"
        if item.max_epochs is not None:
            facts += f", at most {item.max_epochs} epochs a task"
        if item.split == "train" and item.samples > shuffle_rows:
            facts += f", shuffled by shards and in windows of {shuffle_rows}"
        name = f"{item.split} {item.name}" if first else ""
        yield [name, facts if first else "", f"{count} x {' + '.join(combo)}"]


def _tasks(plan: Plan) -> list[str]:
    rows = [_task(item) for item in plan.tasks]
    return _with_components(rows, [item.component for item in plan.tasks])


def _task(task: TaskPlan) -> list[str]:
    extra = "".join(f", {count} more before step {until}" for until, count in task.extra_samples)
    every = f", {task.every} steps at once" if task.every > 1 else ""
    every += ", made a step ahead" if task.overlap else ""
    return [
        task.name,
        f"share {task.share:.4g}",
        f"weight {task.weight:g}",
        f"from step {task.start_step}{every}",
        f"{task.samples_per_step} samples a step of {task.sequence_tokens:.4g} tokens{extra}",
    ]


def _component(component: ComponentPlan) -> str:
    settings = ", ".join(f"{key} {_brief(value)}" for key, value in component.settings.items())
    who = f"{component.kind} v{component.version} of {component.distribution}"
    return f"{who}: {settings}" if settings else who


def _with_components(rows: list[list[str]], components: list[ComponentPlan]) -> list[str]:
    """Aligned rows, each with its component on a line below."""
    pairs = zip(aligned(rows), components, strict=True)
    return [text for row, component in pairs for text in (row, f"  {_component(component)}")]


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} {_brief(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_brief, value)) + "]"
    return scalar(value)


def _leaves(data: Mapping[str, Any]) -> dict[str, str]:
    """Values by key; a list without mappings inside is one value."""
    found: dict[str, str] = {}
    whole: KeyPath = ("",)
    for path, value in walk(dict(data)):
        nested = bool(value) and _holds_mappings(value)
        if path[: len(whole)] != whole and not nested:
            found[label(data, path)] = _brief(value)
            whole = path
    return found


def _holds_mappings(value: Any) -> bool:
    items = value if isinstance(value, list) else [value]
    return any(isinstance(item, dict | list) for item in items)
