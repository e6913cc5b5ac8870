"""Bad rows stop a run when they are too many: over all its ranks, or one after another."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loretta_framework.api.errors import ShardError
from loretta_framework.data.decode import BadRow
from loretta_framework.data.loader import Loader
from loretta_framework.data.quarantine import Quarantine

Write = Callable[..., tuple[str, ...]]


@pytest.fixture
def make(write: Write, toy: SimpleNamespace) -> Callable[..., Any]:
    """A plan over a set of which some rows are bad."""

    def plan(rows: int, bad: Callable[[int], bool], per_step: int, per_shard: int = 5) -> Any:
        samples = {f"{n:04d}": {"text.txt": b"bad" if bad(n) else b"%d" % n} for n in range(rows)}
        shards = write("set", samples, per_shard=per_shard)
        task = toy.task(samples_per_step=per_step)
        made = toy.plan([toy.set("set", shards, ("text",))], [task], steps=200)
        return replace(made, shuffle_rows=per_shard)

    return plan


def stop_of(plan: Any, toy: Any, run: Path, world: int, fraction: float, steps: int = 200) -> int:
    """The step at which the first rank stops, all going on in step; -1 when none does."""
    run.mkdir(exist_ok=True)
    loaders = [
        Loader(plan, {"text": toy.Bytes()}, run, 0, rank, world, fraction).steps(0, steps)
        for rank in range(world)
    ]
    for step in range(steps):
        for loader in loaders:
            try:
                next(loader)
            except ShardError:
                return step
    return -1


@pytest.mark.parametrize(("bad", "fraction", "stops"), [
    (0, 0.0, False), (1, 0.0, True), (1, 1e-9, False), (2, 1e-9, False), (3, 1e-9, True),
])  # fmt: skip
def test_nothing_is_tolerated_with_a_fraction_of_0_and_two_rows_otherwise(
    bad: int, fraction: float, stops: bool, make: Any, toy: SimpleNamespace, tmp_path: Path
) -> None:
    plan = make(40, lambda n: n < bad, 8)
    assert (stop_of(plan, toy, tmp_path / "run", 1, fraction, steps=10) >= 0) == stops


@pytest.mark.parametrize("bad", [1, 4])
def test_a_run_that_was_stopped_is_not_let_on_when_it_meets_the_rows_again(
    bad: int, make: Any, toy: SimpleNamespace, tmp_path: Path
) -> None:
    plan = make(40, lambda n: n < bad, 8)
    fraction = 0.0 if bad == 1 else 0.01
    first = stop_of(plan, toy, tmp_path / "run", 1, fraction)
    assert first >= 0
    assert 0 <= stop_of(plan, toy, tmp_path / "run", 1, fraction) <= first


@pytest.mark.parametrize("world", [2, 4])
def test_the_bad_rows_of_all_ranks_count_together(
    world: int, make: Any, toy: SimpleNamespace, tmp_path: Path
) -> None:
    plan = make(60, lambda n: n % 9 == 4, 7)  # seven; three are allowed
    alone = stop_of(plan, toy, tmp_path / "one", 1, 0.05)
    assert alone > 0
    assert stop_of(plan, toy, tmp_path / "more", world, 0.05) in (alone, alone + 1)
    lines = (tmp_path / "more/quarantine.jsonl").read_text().splitlines()
    assert len({json.loads(line)["key"] for line in lines}) == len(lines) >= 4
    assert stop_of(plan, toy, tmp_path / "allowed", world, 0.2) == -1


def test_lines_that_several_processes_write_do_not_mix(tmp_path: Path) -> None:
    children = []
    own = Quarantine(tmp_path, 1, 1000.0)
    for rank in range(4):
        children.append(os.fork())
        if not children[-1]:
            for n in range(100):
                own.add([BadRow(f"shard{rank}", str(n), "text", "x" * 3000)])
            os._exit(0)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    lines = (tmp_path / "quarantine.jsonl").read_text().splitlines()
    assert len({(json.loads(line)["shard"], json.loads(line)["key"]) for line in lines}) == 400
    assert len(Quarantine(tmp_path, 1, 1000.0)) == 400


@pytest.mark.parametrize("world", [1, 3, 4])
def test_a_hundred_bad_rows_one_after_another_in_the_stream_stop_the_run(
    world: int, make: Any, toy: SimpleNamespace, tmp_path: Path
) -> None:
    plan = make(1500, lambda n: 300 <= n < 450, 30, per_shard=150)
    # Substitutes come from the whole set: hardly ever is more than one of them bad.
    stop = stop_of(plan, toy, tmp_path / "run", world, 0.5)
    order = Loader(plan, {}, None, 0)._draws.orders["causal"]
    flags = [300 <= row < 450 for row in order.rows(0, 1500)[1].tolist()]
    hundredth = next(n for n in range(100, 1500) if all(flags[n - 100 : n])) - 1
    assert stop in (hundredth // 30, hundredth // 30 + 1)


@pytest.mark.parametrize("world", [1, 3])
def test_fewer_than_a_hundred_in_a_row_do_not(
    world: int, make: Any, toy: SimpleNamespace, tmp_path: Path
) -> None:
    plan = make(1500, lambda n: 300 <= n < 390, 30, per_shard=90)
    assert stop_of(plan, toy, tmp_path / "run", world, 0.5, steps=50) == -1


@pytest.mark.parametrize("workers", [0, 1])
def test_the_error_names_set_and_row(workers: int, make: Any, toy: SimpleNamespace) -> None:
    plan = make(1500, lambda n: 300 <= n < 450, 30, per_shard=150)
    loader = Loader(plan, {"text": toy.Bytes()}, None, workers, max_bad_fraction=0.5)
    with pytest.raises(ShardError, match="100 rows in a row cannot be used; the last: ") as error:
        list(loader.steps(0, 50))
    assert error.value.where == "data set 'set'"
    assert "ValueError: not a toy file" in str(error.value)
