"""The key sequence of a run is one and the same for any ranks, workers and restarts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from loretta_framework.data.loader import Loader
from loretta_framework.data.order import Order, SetShare
from loretta_framework.data.schedule import requests, share_of_rank

Write = Callable[..., tuple[str, ...]]
Keys = list[tuple[int, str, list[tuple[str, int]]]]
STEPS = 19
LAYOUTS = [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (3, 0), (4, 2)]


def keys_of(
    plan: Any, modalities: dict[str, Any], world: int, workers: int, first: int, stop: int
) -> Keys:
    """(step, task, keys with positions) of a run on `world` ranks, parts joined in rank order."""
    ranks = [
        list(Loader(plan, modalities, None, workers, rank, world).steps(first, stop))
        for rank in range(world)
    ]
    joined: Keys = []
    for step, parts in enumerate(zip(*ranks, strict=True), first):
        assert len({tuple(part) for part in parts}) == 1, "every rank sees the same tasks"
        for task in parts[0]:
            keys = [(s.key, s.position) for part in parts for s in part[task]]
            joined.append((step, task, keys))
    return joined


def write_set(write: Write, name: str, count: int, other: str, per_shard: int) -> tuple[str, ...]:
    samples = {
        f"{name}{n:03d}": {"text.txt": f"{n}".encode(), f"{other}.bin": b"x"} for n in range(count)
    }
    return write(name, samples, per_shard)


@pytest.fixture
def modalities(toy: SimpleNamespace) -> dict[str, Any]:
    return {name: toy.Bytes() for name in ("image", "text", "speech")}


@pytest.fixture
def plan(write: Write, toy: SimpleNamespace) -> Any:
    """Epoch edges inside the run, windows smaller than the sets, a limit that is reached."""
    captions = toy.set(
        "captions", write_set(write, "captions", 43, "image", 5), share=0.6, samples=43
    )
    readings = toy.set(
        "readings",
        write_set(write, "readings", 11, "speech", 4),
        ("text", "speech"),
        share=0.4,
        samples=11,
        max_epochs=3,
    )
    tasks = [
        toy.task("causal", samples_per_step=9, extra_samples=((6, 2),)),
        toy.task("transitive", start_step=6, every=4, samples_per_step=2),
    ]
    return replace(toy.plan([captions, readings], tasks, steps=STEPS), shuffle_rows=12)


@pytest.mark.parametrize(("world", "workers"), LAYOUTS[1:])
def test_any_layout_sees_the_same_keys_at_each_step(
    world: int, workers: int, plan: Any, modalities: dict[str, Any]
) -> None:
    whole = keys_of(plan, modalities, 1, 0, 0, STEPS)
    assert keys_of(plan, modalities, world, workers, 0, STEPS) == whole


def test_the_sequence_is_that_of_the_order(plan: Any, modalities: dict[str, Any]) -> None:
    """The other tests compare runs with each other; this one with the contract."""
    whole = keys_of(plan, modalities, 1, 0, 0, STEPS)
    seen: Counter[str] = Counter()
    epochs = set()
    sets = [
        SetShare("captions", 43, 0.6, tuple(range(0, 43, 5))),
        SetShare("readings", 11, 0.4, (0, 4, 8), 3),
    ]
    orders = {task.name: Order(sets, plan.seed, task.name, 12) for task in plan.tasks}
    for _, task, keys in whole:
        for key, position in keys:
            chosen, row, epoch = orders[task].at(position)
            name = sets[chosen].name
            assert key == f"{name}/{name}{row:03d}"
            if task == "causal":
                epochs.add((name, epoch))
                seen[key] += 1
    assert {("captions", 0), ("captions", 1), ("readings", 2)} <= epochs
    assert max(count for key, count in seen.items() if key.startswith("readings")) <= 3


@pytest.mark.parametrize(
    ("cuts", "layouts"),
    [
        ((5,), ((1, 0), (2, 1))),
        ((1, 7, 11), ((2, 0), (1, 1), (3, 0), (1, 0))),
        ((4, 8, 18), ((4, 2), (1, 2), (1, 0), (2, 0))),
    ],
)
def test_restarts_on_other_ranks_and_workers_go_on_with_the_same_keys(
    cuts: tuple[int, ...],
    layouts: tuple[tuple[int, int], ...],
    plan: Any,
    modalities: dict[str, Any],
) -> None:
    whole = keys_of(plan, modalities, 1, 0, 0, STEPS)
    pieces: Keys = []
    edges = (0, *cuts, STEPS)
    for (world, workers), first, stop in zip(layouts, edges, edges[1:], strict=False):
        pieces += keys_of(plan, modalities, world, workers, first, stop)
    assert pieces == whole


def test_a_restart_at_any_step_across_epoch_edges(plan: Any, modalities: dict[str, Any]) -> None:
    whole = keys_of(plan, modalities, 1, 0, 0, STEPS)
    for step in range(STEPS):
        rest = keys_of(plan, modalities, 1 + step % 3, 0, step, STEPS)
        assert rest == [item for item in whole if item[0] >= step]


def test_one_shard_is_split_by_sample_over_eight_ranks(
    write: Write, toy: SimpleNamespace, modalities: dict[str, Any]
) -> None:
    shards = write_set(write, "captions", 40, "image", 100)
    assert len(shards) == 1
    task = toy.task("causal", samples_per_step=20)
    plan = toy.plan([toy.set("captions", shards, samples=40)], [task], steps=4)
    whole = keys_of(plan, modalities, 1, 0, 0, 4)
    for workers in (0, 1):
        assert keys_of(plan, modalities, 8, workers, 0, 4) == whole
    two_epochs = Counter(key for _, _, keys in whole for key, _ in keys)
    assert set(two_epochs.values()) == {2}
    assert len(two_epochs) == 40
    for rank in range(8):
        loader = Loader(plan, modalities, None, 0, rank, 8)
        assert all(2 <= len(step["causal"]) <= 3 for step in loader.steps(0, 4))


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # it holds functions only
)
@given(
    rows=st.lists(st.integers(1, 60), min_size=1, max_size=3),
    window=st.integers(1, 40),
    world=st.sampled_from([1, 2, 3, 4, 8]),
    restart=st.integers(0, 12),
    after=st.sampled_from([1, 2, 3, 4, 8]),
)
def test_slices_of_ranks_join_to_the_global_sequence(
    toy: SimpleNamespace, rows: list[int], window: int, world: int, restart: int, after: int
) -> None:
    sets = [SetShare(f"set{i}", n, 1.0 + i, tuple(range(0, n, 7))) for i, n in enumerate(rows)]
    tasks = [
        toy.task("causal", samples_per_step=5, extra_samples=((3, 2),)),
        toy.task("transitive", start_step=3, every=4, samples_per_step=3),
    ]
    plan = toy.plan([], tasks, steps=12)
    seen: dict[str, list[tuple[int, int]]] = {"causal": [], "transitive": []}
    for step in range(12):
        ranks = world if step < restart else after
        for request in requests(plan, step):
            for rank in range(ranks):
                part = share_of_rank(request, rank, ranks)
                # As a process that has just started: it knows the step and nothing else.
                order = Order(sets, plan.seed, request.task_name, window)
                which, found = order.rows(part.start, part.stop)
                seen[request.task_name] += zip(which.tolist(), found.tolist(), strict=True)
    for task, given_rows in seen.items():
        order = Order(sets, plan.seed, task, window)
        assert given_rows == [order.at(position)[:2] for position in range(len(given_rows))]
