"""What was handed out, counted by walking, is what the closed form reports."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from loretta_framework.data.order import Order, SetShare
from loretta_framework.data.rates import EdgeTokens, measure_rates
from loretta_framework.data.schedule import requests


def plan_of(toy: SimpleNamespace, **limits: int) -> Any:
    sets = [
        toy.set(name, ["x.tar"], share=share, samples=rows, max_epochs=limits.get(name))
        for name, rows, share in (("captions", 23, 0.75), ("readings", 90, 0.25))
    ]
    tasks = [
        toy.task("causal", samples_per_step=7, extra_samples=((6, 2),)),
        toy.task("transitive", start_step=6, every=4, samples_per_step=3),
    ]
    return toy.plan(sets, tasks, steps=60)


@pytest.mark.parametrize("limits", [{}, {"captions": 2}])
@pytest.mark.parametrize("step", [1, 7, 60])
def test_samples_by_set_are_those_that_were_handed_out(
    toy: SimpleNamespace, step: int, limits: dict[str, int]
) -> None:
    plan = plan_of(toy, **limits)
    sets = [
        SetShare(s.name, s.samples, s.share, max_epochs=s.max_epochs) for s in plan.split("train")
    ]
    seen: Counter[tuple[str, str]] = Counter()
    for number in range(step):
        for request in requests(plan, number):
            order = Order(sets, plan.seed, request.task_name)
            for position in range(request.position, request.position + request.count):
                seen[plan.sets[order.at(position)[0]].name, request.task_name] += 1
    rates = measure_rates(plan, step, EdgeTokens())
    for item in rates.sets:
        by_task = {task.name: seen[item.name, task.name] for task in plan.tasks}
        assert item.tasks == by_task
        assert item.samples == sum(by_task.values())
        assert item.achieved_share == pytest.approx(item.samples / sum(seen.values()))
        assert item.epochs == pytest.approx(item.samples / item.rows)
    assert [item.planned_share for item in rates.sets] == [0.75, 0.25]
    if limits and step == 60:
        assert rates.sets[0].tasks["causal"] == 46
        assert rates.sets[0].achieved_share < 0.2


def test_before_the_first_step_nothing_was_achieved(toy: SimpleNamespace) -> None:
    rates = measure_rates(plan_of(toy), 0, EdgeTokens())
    assert [(item.samples, item.achieved_share) for item in rates.sets] == [(0, 0.0), (0, 0.0)]
    assert rates.edges == ()
    assert len(rates.lines()) == 3


def test_tokens_by_edge_add_up_and_survive_a_checkpoint(toy: SimpleNamespace) -> None:
    tokens = EdgeTokens()
    tokens.add({("causal", "image->text"): 6.0, ("causal", "->image"): 1.5})
    copy = EdgeTokens()
    copy.restore(json.loads(json.dumps(tokens.state())))
    for counted in (tokens, copy):
        counted.add({("causal", "->image"): 0.5, ("transitive", "speech->image"): 2.0})
    assert tokens.state() == copy.state()
    rates = measure_rates(plan_of(toy), 7, copy)
    assert [(item.task, item.edge, item.weighted_tokens, item.share) for item in rates.edges] == [
        ("causal", "->image", 2.0, 0.2),
        ("causal", "image->text", 6.0, 0.6),
        ("transitive", "speech->image", 2.0, 0.2),
    ]
    table = "\n".join(rates.lines())
    assert "captions  " in table
    assert "75.0%" in table
    assert "transitive  speech->image  2                20.0%" in table
    assert json.loads(json.dumps(rates.to_json()))["sets"][1]["name"] == "readings"
