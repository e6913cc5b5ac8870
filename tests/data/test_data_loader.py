from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from loretta_framework.api.errors import ShardError, TrainingError
from loretta_framework.data.loader import Loader
from loretta_framework.sequence.rows import TokenizedSample

Write = Callable[..., tuple[str, ...]]
Flat = list[tuple[int, str, str, int, tuple[tuple[str, tuple[int, ...]], ...]]]


def flat(steps: Any, first: int = 0) -> Flat:
    """Everything the loader gave, comparable: step, task, key, position, tokens."""
    return [
        (step, task, s.key, s.position, tuple((name, tuple(ids.tolist())) for name, ids in s.parts))
        for step, samples in enumerate(steps, first)
        for task, given in samples.items()
        for s in given
    ]


def samples(count: int, bad: tuple[int, ...] = (), content: bytes = b"bad") -> dict[str, Any]:
    return {
        f"{n:03d}": {
            "image.bin": content if n in bad else f"i{n}".encode(),
            "text.txt": f"t{n}".encode(),
        }
        for n in range(count)
    }


@pytest.fixture
def plan(write: Write, toy: SimpleNamespace) -> Any:
    captions = toy.set("captions", write("captions", samples(23)), share=0.75)
    readings = toy.set(
        "readings",
        write("readings", {f"r{n}": {"text.txt": b"t", "speech.bin": b"s"} for n in range(9)}),
        ("text", "speech"),
        share=0.25,
    )
    tasks = [
        toy.task("causal", samples_per_step=3, extra_samples=((6, 2),)),
        toy.task("transitive", start_step=6, every=4, samples_per_step=2),
    ]
    return toy.plan([captions, readings], tasks, steps=17)


@pytest.fixture
def modalities(toy: SimpleNamespace) -> dict[str, Any]:
    return {"image": toy.Noisy(), "text": toy.Bytes(), "speech": toy.Noisy()}


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("cut", [1, 7, 16])
def test_a_restart_with_any_workers_gives_the_same_samples(
    workers: int, cut: int, plan: Any, modalities: dict[str, Any]
) -> None:
    whole = flat(Loader(plan, modalities, None, workers=0).steps(0, 17))
    assert len({task for _, task, *_ in whole}) == 2
    first = flat(Loader(plan, modalities, None, workers=workers).steps(0, cut))
    rest = flat(Loader(plan, modalities, None, workers=2 - workers).steps(cut, 17), cut)
    assert first + rest == whole


def test_the_samples_are_augmented_by_position(plan: Any, modalities: dict[str, Any]) -> None:
    given = flat(Loader(plan, modalities, None, 0).steps(0, 17))
    variants: dict[str, set[Any]] = {}
    for _, _, key, _, parts in given:
        if key == "captions/004":
            variants.setdefault("image", set()).add(dict(parts)["image"])
            variants.setdefault("text", set()).add(dict(parts)["text"])
    assert len(variants["text"]) == 1
    assert len(variants["image"]) > 1
    assert all(tokens[:2] == tuple(b"i4") for tokens in variants["image"])


def test_ranks_split_what_one_process_gets(plan: Any, modalities: dict[str, Any]) -> None:
    whole = flat(Loader(plan, modalities, None, 0).steps(0, 17))
    parts = [flat(Loader(plan, modalities, None, 0, r, 3).steps(0, 17)) for r in range(3)]
    joined = [item for part in parts for item in part]
    assert sorted(joined) == sorted(whole)
    assert all(parts)


def test_a_task_without_a_hand_out_is_not_there(plan: Any, modalities: dict[str, Any]) -> None:
    steps = list(Loader(plan, modalities, None, 0, rank=1, world=9).steps(6, 8))
    assert set(steps[0]) == {"causal", "transitive"}
    assert set(steps[1]) == {"causal"}


def test_other_seeds_and_tasks_see_other_samples(
    plan: Any, modalities: dict[str, Any], toy: SimpleNamespace
) -> None:
    other = toy.plan(plan.sets, plan.tasks, steps=17, seed=1)
    one, two = (flat(Loader(p, modalities, None, 0).steps(0, 17)) for p in (plan, other))
    assert [item[2] for item in one] != [item[2] for item in two]


def test_loading_leaves_torchs_generator_alone(plan: Any, modalities: dict[str, Any]) -> None:
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    list(Loader(plan, modalities, None, 0).steps(0, 3))
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("content", [b"bad", b"", b"longer than twelve"])
def test_bad_rows_are_replaced_counted_and_written_once(
    content: bytes, write: Write, toy: SimpleNamespace, tmp_path: Path
) -> None:
    shards = write("set", samples(40, bad=(3, 17), content=content))
    plan = toy.plan([toy.set("set", shards)])
    modalities = {name: toy.Bytes() for name in ("image", "text", "speech")}
    streams = []
    for number, workers in enumerate((0, 1, 2)):
        run = tmp_path / f"run{number}"
        run.mkdir()
        loader = Loader(plan, modalities, run, workers)
        streams.append(flat(loader.steps(0, 20)))
        lines = [json.loads(line) for line in (run / "quarantine.jsonl").read_text().splitlines()]
        assert {line["key"] for line in lines} == {"003", "017"}
        assert len(lines) == 2
        assert {line["modality"] for line in lines} == {"image"}
        assert lines[0]["shard"] in shards
        assert "ValueError" in lines[0]["cause"]
        assert len(streams[-1]) == 80
        resumed = Loader(plan, modalities, run, workers)
        assert len(resumed.quarantine) == 2
        assert flat(resumed.steps(11, 20), 11) == [s for s in streams[-1] if s[0] >= 11]
        assert len((run / "quarantine.jsonl").read_text().splitlines()) == 2
    assert streams[0] == streams[1] == streams[2]
    assert not {"set/003", "set/017"} & {key for _, _, key, *_ in streams[0]}


def test_damaged_bytes_are_a_bad_row(write: Write, toy: SimpleNamespace, tmp_path: Path) -> None:
    shards = write("set", samples(40))
    plan = toy.plan([toy.set("set", shards)])
    modalities = {name: toy.Bytes() for name in ("image", "text")}
    loader = Loader(plan, modalities, tmp_path, 0)
    content = Path(shards[0]).read_bytes()
    Path(shards[0]).write_bytes(content.replace(b"i2", b"i3"))
    keys = {item[2] for item in flat(loader.steps(0, 20))}
    assert "set/002" not in keys
    assert len(keys) == 39
    assert "checksum" in (tmp_path / "quarantine.jsonl").read_text()


@pytest.mark.parametrize("workers", [0, 2])
def test_three_bad_rows_stop_a_small_run(
    workers: int, write: Write, toy: SimpleNamespace, tmp_path: Path
) -> None:
    plan = toy.plan([toy.set("set", write("set", samples(40, bad=(3, 17, 30))))])
    modalities = {name: toy.Bytes() for name in ("image", "text")}
    with pytest.raises(ShardError, match="3 of 40 rows cannot be used") as caught:
        list(Loader(plan, modalities, tmp_path, workers).steps(0, 20))
    assert "not a toy file" in str(caught.value)
    assert "quarantine.jsonl" in str(caught.value)
    list(Loader(plan, modalities, None, workers, max_bad_fraction=0.08).steps(0, 20))


@pytest.mark.parametrize("workers", [0, 1])
def test_nothing_but_bad_rows_stops_the_run(
    workers: int, write: Write, toy: SimpleNamespace
) -> None:
    plan = toy.plan([toy.set("set", write("set", samples(4, bad=(0, 1, 2, 3))))])
    modalities = {name: toy.Bytes() for name in ("image", "text")}
    loader = Loader(plan, modalities, None, workers, max_bad_fraction=1.0)
    with pytest.raises(ShardError, match="100 rows in a row cannot be used") as caught:
        list(loader.steps(0, 20))
    assert "data set 'set'" in str(caught.value)
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_plugin_is_never_a_bad_row(
    workers: int, write: Write, toy: SimpleNamespace
) -> None:
    plan = toy.plan([toy.set("set", write("set", samples(4, bad=(2,), content=b"bug")))])
    modalities = {name: toy.Bytes() for name in ("image", "text")}
    with pytest.raises(AttributeError, match="the plugin is broken"):
        list(Loader(plan, modalities, None, workers, max_bad_fraction=1.0).steps(0, 20))


def test_a_crashed_worker_is_named(write: Write, toy: SimpleNamespace) -> None:
    plan = toy.plan([toy.set("set", write("set", samples(4, bad=(2,), content=b"die")))])
    modalities = {name: toy.Bytes() for name in ("image", "text")}
    with pytest.raises(TrainingError, match="a loader process died"):
        list(Loader(plan, modalities, None, 1).steps(0, 20))


def test_a_shard_that_vanishes_stops_the_run(write: Write, toy: SimpleNamespace) -> None:
    shards = write("set", samples(4))
    loader = Loader(toy.plan([toy.set("set", shards)]), {}, None, 1)
    Path(shards[0]).unlink()
    with pytest.raises(ShardError, match="the shard cannot be read") as caught:
        list(loader.steps(0, 2))
    assert shards[0] in str(caught.value)


def test_a_missing_shard_is_refused_before_the_first_step(
    tmp_path: Path, toy: SimpleNamespace
) -> None:
    plan = toy.plan([toy.set("set", [str(tmp_path / "gone.tar")])])
    with pytest.raises(ShardError, match=r"gone\.tar"):
        Loader(plan, {}, None, 0)


def test_ordered_and_labels_reach_training(write: Write, toy: SimpleNamespace) -> None:
    member = {
        "image.bin": b"I",
        "text.txt": b"T",
        "sequence.json": b'["text.0", "image.0"]',
        "meta.json": b'{"digit": 3}',
    }
    plan = toy.plan([toy.set("set", write("set", {"a": member}), label="meta.digit")], steps=1)
    modalities = {name: toy.Bytes() for name in ("image", "text")}
    (step,) = Loader(plan, modalities, None, 0).steps(0, 1)
    sample: TokenizedSample = step["causal"][0]
    assert (sample.key, sample.ordered, sample.label) == ("set/a", True, "3")
    assert [name for name, _ in sample.parts] == ["text", "image"]


def test_workers_outlive_a_stop_request_to_the_group(plan: Any, modalities: dict[str, Any]) -> None:
    whole = flat(Loader(plan, modalities, None, 0).steps(0, 17))
    steps = Loader(plan, modalities, None, 2).steps(0, 17)
    given = [next(steps), next(steps)]  # one from each: both have started
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGTERM)
        os.kill(worker.pid, signal.SIGINT)
    given += steps
    assert flat(given) == whole
    assert not multiprocessing.active_children()


def test_workers_end_when_the_loop_is_left(plan: Any, modalities: dict[str, Any]) -> None:
    steps = Loader(plan, modalities, None, 2).steps(0, 17)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()
