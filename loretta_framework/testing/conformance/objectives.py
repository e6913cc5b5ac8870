"""Checks that concern objectives: the rows they make."""

from __future__ import annotations

import random as python_random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

from loretta_framework.api.rows import TokenRow
from loretta_framework.api.settings import TaskSchedule
from loretta_framework.graph import Edge
from loretta_framework.sequence.groups import id_groups
from loretta_framework.sequence.rows import place_table
from loretta_framework.sequence.vocabulary import INFILL_END_ID, Vocabulary
from loretta_framework.testing.conformance.checks import check, require
from loretta_framework.testing.conformance.objective_world import (
    TASK,
    World,
    capabilities,
    differing,
    disturb,
    samples,
)
from loretta_framework.testing.conformance.subject import Subject

COLUMNS = ("ids_T", "places_T", "targets_T", "weights_T", "groups_T", "edges_T")


@check("objective")
def rows_are_valid(subject: Subject) -> None:
    """Its rows name their sample and task, and every target is one that can occur at its position.

    Make rows with `context.row(segments, sample)`, which sees to all of this. A row made by hand
    needs: arrays of one length; ids, places and groups in range; weights that are finite and not
    negative; an edge where, and only where, the weight is above 0, and its target modality is that
    of the target id; class ids, padding and sentinels never as targets. No samples give no rows.
    """
    world, given = World(subject), samples()
    require(world.rows([]) == [], "no samples must give no rows")
    keys = {sample.key for sample in given}
    rows = world.rows(given)
    require(bool(rows), "samples of every kind gave no rows at all")
    for number, row in enumerate(rows):
        where = f"row {number}"
        require(isinstance(row, TokenRow), f"{where} must be a TokenRow, but is {type(row)}")
        require(row.sample in keys, f"{where} names the sample '{row.sample}', which was not given")
        require(row.objective == TASK, f"{where} names the task '{row.objective}', not '{TASK}'")
        _require_columns(row, world.context.vocabulary, where)
        _require_targets(row, world.context.vocabulary, where)


@check("objective")
def draws_depend_on_keys_alone(subject: Subject) -> None:
    """The same samples give the same rows in a fresh instance, whatever was drawn before.

    Take every random number from `context.random(purpose, sample)`, never from numpy, `random` or
    torch. Then a restart, another number of ranks and another order of tasks change nothing.
    """
    with _generators_kept():
        disturb(1)
        first = World(subject).rows(samples())
        disturb(2)
        second = World(subject).rows(samples())
    text = differing(first, second)
    require(not text, f"two instances made other rows of the same samples: {text}")


@check("objective")
def rows_depend_on_their_sample_alone(subject: Subject) -> None:
    """A sample gives the same rows whichever samples it is handed over with.

    Ranks are handed slices of a step, and a slice changes with their number. Do not draw partners
    among the samples given, and let nothing depend on how many there are. Rows come in the order of
    their samples.
    """
    given = samples()
    whole = World(subject).rows(given)
    half = len(given) // 2
    parts = World(subject).rows(given[:half]) + World(subject).rows(given[half:])
    text = differing(whole, parts)
    require(not text, f"handed over in two halves, samples gave other rows: {text}")


@check("objective")
def leaves_samples_alone(subject: Subject) -> None:
    """Samples are not changed: several tasks and epochs are handed the same arrays.

    Copy before you write: `tokens_T = tokens_T.copy()`.
    """
    given, before = samples(), samples()
    World(subject).rows(given)
    for one, other in zip(given, before, strict=True):
        same = len(one.parts) == len(other.parts) and all(
            name == wanted and np.array_equal(ids, right)
            for (name, ids), (wanted, right) in zip(one.parts, other.parts, strict=True)
        )
        require(same, f"the tokens of sample '{one.key}' were changed in place")


@check("objective")
def learns_something(subject: Subject) -> None:
    """Some target has a weight above 0, also without a missing pair unless `needs_bridges` is set.

    `Segment(..., weight=...)` is the factor on the loss of its tokens. An objective whose rows carry
    no loss takes its share of every step for nothing. Set
    `ObjectiveCapabilities(needs_bridges=True)` where it has work only in graphs with missing pairs.
    """
    ways = [True] if capabilities(subject).needs_bridges else [True, False]
    for bridges in ways:
        rows = World(subject, bridges).rows(samples())
        weight = sum(float(row.weights_T.sum()) for row in rows)
        where = "in a graph with a missing pair" if bridges else "in a graph without missing pairs"
        require(weight > 0, f"no target has a weight above 0 {where}")


@check("objective")
def rollouts_are_declared(subject: Subject) -> None:
    """`context.rollout` is used if, and only if, `ObjectiveCapabilities(rollouts=True)` is declared.

    Rows that hold generated segments are kept in checkpoints and their steps are planned otherwise,
    so the framework must know. Whoever never calls `context.rollout` declares nothing.
    """
    world, declared = World(subject), capabilities(subject).rollouts
    world.rows(samples())
    if declared:
        require(world.rollouts > 0, "it declares rollouts, but generated nothing")
    else:
        text = f"it generated {world.rollouts} segments, but does not declare rollouts"
        require(world.rollouts == 0, text)


@check("objective")
def schedule_is_sound(subject: Subject) -> None:
    """`settings.schedule()` gives a `TaskSchedule` with start in 0..1 and a whole `every` >= 1.

    `start` is the part of the run before which the share goes to the recipe's causal objective,
    `every` the number of steps whose samples are handed over together. Bound the settings that they
    are made from with pydantic's `Field(ge=..., le=...)`.
    """
    schedule = subject.settings.schedule()
    require(
        isinstance(schedule, TaskSchedule),
        f"it must be a TaskSchedule, is {type(schedule).__name__}",
    )
    start, every = schedule.start, schedule.every
    require(0 <= start <= 1, f"start must lie in 0..1, but is {start}")
    require(type(every) is int and every >= 1, f"every must be an int >= 1, but is {every!r}")


@check("objective")
def state_comes_back(subject: Subject) -> None:
    """A fresh instance that `restore`s another's `state` goes on as that one would have.

    `state()` gives named integer arrays with all that rows depend on besides settings, keys and
    samples; `restore` takes them. Best is to need none: base your class on
    `loretta_framework.api.NextTokenLoss`.
    """
    given = samples()
    half = len(given) // 2
    one, other = World(subject), World(subject)
    one.rows(given[:half])
    state = one.objective.state()
    require(isinstance(state, Mapping), f"state() must be a mapping, but is {type(state)}")
    for name, array in state.items():
        whole = isinstance(array, np.ndarray) and np.issubdtype(array.dtype, np.integer)
        require(whole, f"state '{name}' must be an integer array, but is {type(array).__name__}")
    other.objective.restore({name: np.copy(array) for name, array in state.items()})
    text = differing(one.rows(given[half:]), other.rows(given[half:]))
    require(not text, f"after a restart the rows differ: {text}")
    again = other.objective.state()
    same = set(again) == set(one.objective.state()) and all(
        np.array_equal(array, again[name]) for name, array in one.objective.state().items()
    )
    require(same, "after a restart and the same samples the states differ")


def _require_columns(row: TokenRow, vocabulary: Vocabulary, where: str) -> None:
    """Arrays of one length with values in range."""
    lengths = {name: getattr(row, name).shape for name in COLUMNS}
    require(len(set(lengths.values())) == 1, f"{where} has arrays of unlike shapes: {lengths}")
    require(row.ids_T.ndim == 1 and len(row) > 0, f"{where} has the shape {row.ids_T.shape}")
    tops = {
        "ids_T": vocabulary.size,
        "places_T": place_table(vocabulary)[""],
        "targets_T": vocabulary.size,
        "groups_T": len(id_groups(vocabulary)),
    }
    for name, top in tops.items():
        column = getattr(row, name)
        require(np.issubdtype(column.dtype, np.integer), f"{where}: {name} is {column.dtype}")
        inside = bool(((column >= 0) & (column < top)).all())
        require(inside, f"{where}: {name} must lie in 0..{top - 1}: {column.tolist()}")
    weights_T = row.weights_T
    require(weights_T.dtype == np.float32, f"{where}: weights_T must be float32")
    sound = bool(np.isfinite(weights_T).all() and (weights_T >= 0).all())
    require(sound, f"{where}: weights must be finite and not negative: {weights_T.tolist()}")


def _require_targets(row: TokenRow, vocabulary: Vocabulary, where: str) -> None:
    """Where there is weight: an edge, and a target that its group and its edge can have."""
    groups, parsed = id_groups(vocabulary), []
    for name in row.edges:
        edge = Edge.parse(name)
        known = {*edge.sources, edge.target} <= set(vocabulary.modalities)
        require(known, f"{where} has the edge '{name}'; there are {vocabulary.modalities}")
        parsed.append(edge)
    for place in range(len(row)):
        here, number = f"{where}, position {place}", int(row.edges_T[place])
        if row.weights_T[place] == 0:
            require(number == -1, f"{here}: the weight is 0, so the edge must be -1, is {number}")
            continue
        inside = 0 <= number < len(parsed)
        require(inside, f"{here}: edge {number}, but the row has {len(parsed)} edges")
        target = int(row.targets_T[place])
        own = any(target in ids for ids in groups[int(row.groups_T[place])])
        require(own, f"{here}: the target {target} cannot occur in group {row.groups_T[place]}")
        allowed = target == INFILL_END_ID or target in vocabulary[parsed[number].target].targets
        require(allowed, f"{here}: the target {target} is none of the edge '{row.edges[number]}'")


@contextmanager
def _generators_kept() -> Iterator[None]:
    """The states of the global generators come back."""
    python, numbers = python_random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            python_random.setstate(python)
            np.random.set_state(numbers)
