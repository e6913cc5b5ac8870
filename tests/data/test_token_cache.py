"""Cached tokens give what the files give, bit for bit."""

from __future__ import annotations

import io
import json
import os
import pickle
import signal
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from loretta_framework.api.errors import InputError, LorettaError, ShardError
from loretta_framework.data.decode import BadRow, Decoder
from loretta_framework.data.loader import Loader
from loretta_framework.data.loading.draws import RawDraws
from loretta_framework.data.sample import open_sets
from loretta_framework.data.tokens.cached import open_cached
from loretta_framework.data.tokens.tokenize import Tokenized, tokenize

Write = Callable[..., tuple[str, ...]]

INTERLEAVED = {
    "image.bin": b"first",
    "image.2.bin": b"second",
    "text.txt": b"between",
    "sequence.json": b'["image.2", "text.0", "image.0", "speech.0"]',
    "speech.bin": b"s",
    "other.bin": b"never asked for",
}


def captions(bad: tuple[int, ...] = (7,)) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for n in range(23):
        members = {"image.bin": b"bad" if n in bad else b"i%d" % n, "text.txt": b"t%d" % n}
        members["meta.json"] = json.dumps({"digit": n % 3}).encode()
        if n % 5 == 1:
            del members["image.bin"]
        if n % 5 == 2:
            del members["text.txt"]
        found[f"{n:03d}"] = members
    return found


@pytest.fixture
def modalities(toy: SimpleNamespace) -> dict[str, Any]:
    return {"image": toy.Bytes(), "text": toy.Bytes(), "speech": toy.Bytes()}


@pytest.fixture
def plan(write: Write, toy: SimpleNamespace) -> Any:
    return toy.plan(
        [
            toy.set("captions", write("captions", captions()), share=0.7),
            toy.set("labelled", write("l", captions(())), ("text", "image"), label="meta.digit"),
            toy.set("mixed", write("m", {"a": INTERLEAVED, "b": captions()["000"]}),
                    ("image", "text", "speech")),
        ],
        [toy.task("causal", samples_per_step=9)],
    )  # fmt: skip


def content(sample: Any) -> Any:
    """Everything of a sample, comparable."""
    if isinstance(sample, BadRow):
        return sample
    parts = [(name, ids.dtype.str, ids.tolist()) for name, ids in sample.parts]
    return sample.key, parts, sample.position, sample.ordered, sample.label


def taken(draws: Any, rows: int) -> list[Any]:
    order = np.tile(np.arange(rows)[::-1], 7)  # more than are read together
    assert draws.take(order[:0], order[:0]) == []
    return [content(sample) for sample in draws.take(order, order + 100)]


def both(plan: Any, modalities: Any, folder: Path) -> Iterator[tuple[list[Any], list[Any]]]:
    readers = open_sets(plan.split("train"))
    decoder = Decoder(modalities, plan.vocabulary, augment_seed=plan.seed)
    for reader, cached in zip(readers, open_cached(plan, readers, decoder, folder), strict=True):
        yield taken(RawDraws(reader, decoder), len(reader)), taken(cached, len(reader))


def files(folder: Path) -> dict[str, bytes]:
    """All that tokenizing writes but the index files, which hold times of modification."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".index.safetensors")
    }


def once_free(plan: Any, modalities: Any, folder: Path) -> Tokenized:
    """Tokenize as soon as no process of a killed one holds the lock."""
    while True:  # the test's own time limit ends this
        try:
            return tokenize(plan, modalities, folder, max_bad_fraction=0.1)
        except InputError:
            time.sleep(0.05)


@pytest.mark.parametrize("augmented", ["", "image", "text"])
def test_every_row_is_the_same_from_tokens_and_from_files(
    plan: Any, modalities: Any, tmp_path: Path, toy: SimpleNamespace, augmented: str
) -> None:
    if augmented:
        modalities[augmented] = toy.Noisy()
    done = tokenize(plan, modalities, tmp_path / "tok", max_bad_fraction=0.1)
    forms = {name: "copied" if name == augmented else "tokens" for name in modalities}
    assert (done.forms, done.bad) == (forms, 1)
    for raw, cached in both(plan, modalities, tmp_path / "tok"):
        assert cached == raw
        assert any(not isinstance(one, BadRow) for one in raw)


def test_augmented_parts_are_drawn_anew_at_each_position(
    plan: Any, modalities: Any, tmp_path: Path, toy: SimpleNamespace
) -> None:
    modalities["image"] = toy.Noisy()
    tokenize(plan, modalities, tmp_path / "tok", max_bad_fraction=0.1)
    readers = open_sets(plan.split("train"))
    decoder = Decoder(modalities, plan.vocabulary, augment_seed=plan.seed)
    draws = open_cached(plan, readers, decoder, tmp_path / "tok")[0]
    drawn = {s.tokens("image")[-1] for s in draws.take(np.zeros(20, int), np.arange(20))}  # type: ignore[union-attr]
    assert len(drawn) > 5


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_gives_the_same_steps_with_the_same_substitutes(
    plan: Any, modalities: Any, tmp_path: Path, toy: SimpleNamespace, workers: int
) -> None:
    modalities["speech"] = toy.Noisy()
    tokenize(plan, modalities, tmp_path / "tok", max_bad_fraction=0.1)

    def steps(name: str, tokens: Path | None) -> tuple[Any, str]:
        (tmp_path / name).mkdir()
        loader = Loader(
            plan, modalities, tmp_path / name, workers, max_bad_fraction=0.1, tokens=tokens
        )
        found = [
            (task, content(s))
            for step in loader.steps(0, 12)
            for task, samples in step.items()
            for s in samples
        ]
        return found, (tmp_path / name / "quarantine.jsonl").read_text()

    assert steps("raw", None) == steps("cached", tmp_path / "tok")


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    samples=st.dictionaries(
        st.from_regex(r"[a-z]{1,4}", fullmatch=True),
        st.dictionaries(
            st.sampled_from(["image.bin", "image.1.bin", "text.txt", "text.3.txt", "x.bin"]),
            st.binary(min_size=0, max_size=14).filter(lambda d: not d.startswith((b"bug", b"die"))),
            min_size=1,
        ),
        min_size=1,
        max_size=12,
    ),
    missing=st.sampled_from(["keep", "skip"]),
)
def test_any_set_is_the_same_from_tokens(
    samples: Any,
    missing: str,
    write: Write,
    toy: SimpleNamespace,
    tmp_path_factory: pytest.TempPathFactory,
    modalities: Any,
) -> None:
    samples["whole"] = {"image.bin": b"i", "text.txt": b"t"}
    shards = write("any", samples, per_shard=4)
    plan = toy.plan([toy.set("any", shards, missing=missing)])
    folder = tmp_path_factory.mktemp("tok")
    tokenize(plan, modalities, folder, max_bad_fraction=1.0)
    ((raw, cached),) = both(plan, modalities, folder)
    assert cached == raw


def test_ids_use_the_smallest_integers_and_other_tools_read_them(
    plan: Any, modalities: Any, tmp_path: Path
) -> None:
    tokenize(plan, modalities, tmp_path / "tok", max_bad_fraction=0.1)
    with tarfile.open(tmp_path / "tok/mixed/m-000000.tar") as tar:
        names = tar.getnames()
        data = tar.extractfile("a.image.2.npy")
        assert data is not None
        ids = np.load(io.BytesIO(data.read()), allow_pickle=False)
        order = tar.extractfile("a.sequence.json")
        assert order is not None
        assert order.read() == INTERLEAVED["sequence.json"]
    assert ids.dtype == np.uint8
    assert bytes(ids) == b"second"
    assert "a.other.bin" not in names


def test_the_draws_survive_pickling(plan: Any, modalities: Any, tmp_path: Path) -> None:
    tokenize(plan, modalities, tmp_path / "tok", max_bad_fraction=0.1)
    readers = open_sets(plan.split("train"))
    draws = open_cached(plan, readers, Decoder(modalities, plan.vocabulary), tmp_path / "tok")
    for reader, one in zip(readers, draws, strict=True):
        before = taken(one, len(reader))
        assert taken(pickle.loads(pickle.dumps(one)), len(reader)) == before


@pytest.mark.parametrize("workers", [2, 3])
def test_any_number_of_workers_writes_the_same_bytes(
    plan: Any, modalities: Any, tmp_path: Path, workers: int
) -> None:
    tokenize(plan, modalities, tmp_path / "one", max_bad_fraction=0.1)
    tokenize(
        plan, modalities, tmp_path / "more", workers=workers, max_bad_fraction=0.1,
        start_method="fork",
    )  # fmt: skip
    assert files(tmp_path / "one") == files(tmp_path / "more")


def test_finished_shards_are_kept_and_others_made_again(
    plan: Any, modalities: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "tok"
    first = tokenize(plan, modalities, folder, max_bad_fraction=0.1)
    whole = files(folder)
    assert first.made == 11
    assert tokenize(plan, modalities, folder, max_bad_fraction=0.1).made == 0
    (folder / "captions/captions-000001.json").unlink()
    (folder / "captions/captions-000002.json").write_text('{"made_from": ')
    (folder / "labelled/l-000000.tar").write_bytes(b"half")
    (folder / "mixed/m-000000.tar").unlink()
    assert tokenize(plan, modalities, folder, max_bad_fraction=0.1).made == 4
    assert files(folder) == whole


def test_a_kill_leaves_nothing_that_is_taken_for_complete(
    plan: Any, modalities: Any, tmp_path: Path, toy: SimpleNamespace
) -> None:
    class Deadly(toy.Bytes):  # type: ignore[name-defined,misc]
        reads = limit = 0

        def read(self, data: bytes, extension: str) -> bytes:
            Deadly.reads += 1
            if Deadly.reads == Deadly.limit:
                os.kill(os.getppid(), signal.SIGKILL)  # the command, not only what works for it
                os._exit(9)
            return data if not data.startswith(b"bad") else super().read(data, extension)

    tokenize(plan, modalities, tmp_path / "whole", max_bad_fraction=0.1)
    folder = tmp_path / "tok"
    for limit in (3, 9, 17, 8):
        Deadly.limit = limit
        child = os.fork()
        if not child:
            once_free(plan, {**modalities, "text": Deadly()}, folder)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        with pytest.raises(ShardError, match="no finished tokens"):
            list(both(plan, modalities, folder))
    made = once_free(plan, modalities, folder).made
    assert 0 < made < 11
    assert files(folder) == files(tmp_path / "whole")


def test_a_worker_that_dies_is_told(
    write: Write, toy: SimpleNamespace, modalities: Any, tmp_path: Path
) -> None:
    samples = {f"{n}": {"text.txt": b"die" if n == 7 else b"t"} for n in range(12)}
    plan = toy.plan([toy.set("s", write("s", samples), ("text",))])
    with pytest.raises(LorettaError, match="a process that makes tokens died") as error:
        tokenize(plan, modalities, tmp_path / "tok", workers=2, start_method="fork")
    assert error.value.exit_code == 1
    assert not (tmp_path / "tok/tokens.json").exists()


def test_too_many_bad_rows_stop_it_and_are_listed(
    write: Write, toy: SimpleNamespace, modalities: Any, tmp_path: Path
) -> None:
    shards = write("s", captions(bad=(0, 3, 5, 9)))
    plan = toy.plan([toy.set("s", shards)])
    with pytest.raises(ShardError, match="3 of 23 rows cannot be used"):
        tokenize(plan, modalities, tmp_path / "tok", max_bad_fraction=0.1)
    lines = (tmp_path / "tok/quarantine.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["000", "003", "005"]
    assert json.loads(lines[1]) == {
        "shard": shards[0],
        "key": "003",
        "modality": "image",
        "cause": "ValueError: not a toy file",
    }
    assert not (tmp_path / "tok/tokens.json").exists()


def test_a_set_of_which_nothing_can_be_tokenized_has_only_bad_rows(
    write: Write, toy: SimpleNamespace, modalities: Any, tmp_path: Path
) -> None:
    plan = toy.plan([toy.set("s", write("s", {"a": {"text.txt": b"bad"}}), ("text",))])
    tokenize(plan, modalities, tmp_path / "tok")
    ((raw, cached),) = both(plan, modalities, tmp_path / "tok")
    assert cached == raw
    assert isinstance(raw[0], BadRow)


def test_shards_of_one_name_in_two_folders(
    write: Write, toy: SimpleNamespace, modalities: Any, tmp_path: Path
) -> None:
    one = write("s", {"a": {"text.txt": b"a"}})[0]
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / Path(one).name
    os.replace(one, other)
    two = write("s", {"b": {"text.txt": b"b"}})[0]
    plan = toy.plan([toy.set("s", [str(other), two], ("text",))])
    tokenize(plan, modalities, tmp_path / "tok")
    ((raw, cached),) = both(plan, modalities, tmp_path / "tok")
    assert cached == raw
    assert len(list((tmp_path / "tok/s").glob("*.tar"))) == 2


def test_workers_end_with_a_parent_that_is_killed(
    plan: Any, modalities: Any, tmp_path: Path, toy: SimpleNamespace
) -> None:
    started = tmp_path / "started"

    class Slow(toy.Bytes):  # type: ignore[name-defined,misc]
        def read(self, data: bytes, extension: str) -> bytes:
            started.touch()
            time.sleep(600)
            return data

    child = os.fork()
    if not child:
        tokenize(
            plan, {**modalities, "text": Slow()}, tmp_path / "tok", workers=2, start_method="fork"
        )
        os._exit(0)
    while not started.exists():
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    once_free(plan, modalities, tmp_path / "tok")
    assert all(cached == raw for raw, cached in both(plan, modalities, tmp_path / "tok"))


class Table:
    """A `RowSource` of two row groups; it is its own store."""

    shapes = (("t.txt",), ("t.txt", "i.bin"))
    shape_S = np.array([0, 1, 1, 0], np.uint32)
    starts = (0, 3)
    digest = "d" * 64
    rows = ((b"a",), (b"b", b"picture"), (b"bad", b"p"), (b"d",))

    def open(self, patterns: Any, base: Path) -> Table:
        return self

    def modality_of(self, member: str) -> str | None:
        return {"t.txt": "text", "i.bin": "image"}.get(member)

    def __len__(self) -> int:
        return len(self.rows)

    def key(self, sample: int) -> str:
        return f"row{sample}"

    def key_hashes(self) -> Any:
        return np.arange(len(self.rows), dtype=np.uint64)

    def place(self, sample: int) -> str:
        return "/somewhere/table.parquet"

    def size(self, sample: int, member: int) -> int:
        return len(self.rows[sample][member])

    def read(self, sample: int, member: int) -> bytes:
        return self.rows[sample][member]


def test_a_source_that_is_no_tar_is_cached_too(
    toy: SimpleNamespace, modalities: Any, tmp_path: Path
) -> None:
    plan = toy.plan([toy.set("s", ["table.parquet"], source=toy.component)])
    sources: Any = {"train/s": Table()}
    modalities["image"] = toy.Noisy()
    tokenize(plan, modalities, tmp_path / "tok", sources=sources)
    readers = open_sets(plan.split("train"), sources)
    decoder = Decoder(modalities, plan.vocabulary, augment_seed=0)
    (cached,) = open_cached(plan, readers, decoder, tmp_path / "tok")
    raw = taken(RawDraws(readers[0], decoder), 4)
    assert taken(cached, 4) == raw
    assert sum(isinstance(one, BadRow) for one in raw) == 7


def test_two_processes_do_not_write_to_one_folder(
    plan: Any, modalities: Any, tmp_path: Path
) -> None:
    def again(*_: Any) -> None:
        tokenize(plan, modalities, tmp_path / "tok", max_bad_fraction=0.1)

    with pytest.raises(InputError, match="another process is making tokens there"):
        tokenize(plan, modalities, tmp_path / "tok", max_bad_fraction=0.1, progress=again)
