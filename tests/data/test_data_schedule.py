from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given, strategies as st

from loretta_framework.data.schedule import (
    Request,
    requests,
    samples_at,
    share_of_rank,
    start_position,
)


def slow(task: object, step: int, steps: int) -> int:
    """Samples handed out at a step, counted step by step as the contract says it."""
    start, every = task.start_step, task.every  # type: ignore[attr-defined]
    if not start <= step < steps or (step - start) % every:
        return 0
    covered = range(step, min(step + every, steps))
    extra = sum(n for until, n in task.extra_samples for s in covered if s < until)  # type: ignore[attr-defined]
    return len(covered) * task.samples_per_step + extra  # type: ignore[attr-defined,no-any-return]


@given(
    every=st.integers(1, 9),
    start=st.integers(0, 30),
    per_step=st.integers(0, 5),
    extra=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=2),
    steps=st.integers(1, 50),
)
def test_the_closed_form_agrees_with_counting(
    every: int, start: int, per_step: int, extra: list[tuple[int, int]], steps: int
) -> None:
    from loretta_framework.recipe.plan import ComponentPlan, TaskPlan

    component = ComponentPlan("toy", 1, "toy 1", {})
    task = TaskPlan("t", component, 1.0, 1.0, start, every, per_step, tuple(extra), 1.0)
    total = 0
    for step in range(steps):
        assert start_position(task, step, steps) == total
        assert samples_at(task, step, steps) == slow(task, step, steps)
        total += slow(task, step, steps)


def test_a_task_of_several_steps_and_its_fallback(toy: SimpleNamespace) -> None:
    causal = toy.task("causal", samples_per_step=3, extra_samples=((4, 2),))
    transitive = toy.task("transitive", start_step=4, every=4, samples_per_step=2)
    plan = toy.plan([], [causal, transitive], steps=10)
    assert requests(plan, 0) == [Request("causal", 0, 5)]
    assert requests(plan, 3) == [Request("causal", 15, 5)]
    assert requests(plan, 4) == [Request("causal", 20, 3), Request("transitive", 0, 8)]
    assert requests(plan, 5) == [Request("causal", 23, 3)]
    assert requests(plan, 8) == [Request("causal", 32, 3), Request("transitive", 8, 4)]


def test_a_longer_run_begins_with_the_same_samples(toy: SimpleNamespace) -> None:
    task = toy.task(start_step=2, every=4)
    assert [start_position(task, s, 30) for s in range(10)] == [
        start_position(task, s) for s in range(10)
    ]


@given(st.integers(0, 100), st.integers(0, 40), st.integers(1, 7))
def test_ranks_share_a_request_without_gap_or_overlap(first: int, count: int, world: int) -> None:
    parts = [share_of_rank(Request("t", first, count), rank, world) for rank in range(world)]
    assert [p for part in parts for p in part] == list(range(first, first + count))
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1
