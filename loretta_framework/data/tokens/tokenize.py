"""Training sets become token shards, once: resumable, and the same for any number of workers."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import cast

from loretta_framework.api.atomic import write_bytes_atomically
from loretta_framework.api.errors import InputError
from loretta_framework.api.protocols import Modality, Source
from loretta_framework.data.decode import BadRow, Decoder, byte_limits
from loretta_framework.data.fitting import tokenizer_digests
from loretta_framework.data.loading.supervision import ROW_SECONDS
from loretta_framework.data.quarantine import FILE, Quarantine
from loretta_framework.data.sample import SetReader, open_sets
from loretta_framework.data.tokens.making import make_shards
from loretta_framework.data.tokens.manifest import (
    MANIFEST,
    TOKENIZERS,
    Form,
    Manifest,
    TokenShard,
    describe_modality,
    describe_set,
    form_of,
)
from loretta_framework.data.tokens.shards import ASIDE, Job, ShardMaker, finished, plan_jobs
from loretta_framework.data.tokens.tokenizers import fit_or_keep
from loretta_framework.recipe.plan import Plan

Progress = Callable[[int, int, Path, bool], None]
"""Told (shards done, shards, token shard, was it made now) after each shard."""

_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Tokenized:
    """What `tokenize` did.

    Attributes:
        folder: where the tokens are.
        forms: modality -> "tokens", or "copied" where it is augmented in training or continuous.
        samples: set name -> samples.
        bad: samples that could not be tokenized; listed in `quarantine.jsonl`.
        made: token shards that were made now; the others were there.
        figures: of tokenizers that were fitted now, by modality.
    """

    folder: Path
    forms: Mapping[str, Form]
    samples: Mapping[str, int]
    bad: int
    made: int
    figures: Mapping[str, Mapping[str, float]]


def tokenize(
    plan: Plan,
    modalities: Mapping[str, object],
    folder: Path,
    *,
    workers: int = 1,
    max_bad_fraction: float = 0.001,
    sources: Mapping[str, Source] | None = None,
    start_method: str = "auto",
    row_seconds: float = ROW_SECONDS,
    progress: Progress = lambda done, of, shard, now: None,
) -> Tokenized:
    """Make the tokens of all training sets of a plan; finished shards of the same are kept.

    Args:
        plan: names the sets.
        modalities: name -> tokenizer; those that learn are fitted here, or loaded from an earlier
            start.
        folder: made when missing; one that holds anything else than tokens is refused.
        workers: processes that decode; a row that ends one, or never ends, is a bad row.
        max_bad_fraction: part of the rows that may be undecodable, as in training.
        sources: built sources by "<split>/<set>".
        start_method: how processes start, see `making.make_shards`.
        row_seconds: time to wait for the decoding of one row.
        progress: told of every shard.

    Raises:
        ShardError: a set cannot be opened, or too many rows cannot be decoded.
        RecipeError: a tokenizer cannot be fitted with its settings.
        InputError: the folder cannot be used, or another process writes there.
        LorettaError: a worker process died, and no row is to blame.
    """
    folder = folder.absolute()
    _require_ours(folder)
    with _locked(folder):
        for left in folder.glob(f"*/{ASIDE}*"):
            shutil.rmtree(left)
        figures = fit_or_keep(
            plan, modalities, folder, max_bad_fraction, sources, start_method, row_seconds
        )
        maker = _maker(plan, modalities, folder, sources)
        about = {
            item.name: describe_modality(
                plan, item, maker.forms[item.name], maker.tokenizers.get(item.name)
            )
            for item in plan.modalities
        }
        jobs = plan_jobs(maker.readers, about, folder)
        kept = {job: shard for job in jobs if (shard := finished(job)) is not None}
        todo = [job for job in jobs if job not in kept]
        if todo:
            (folder / MANIFEST).unlink(missing_ok=True)
        quarantine = _quarantine(folder, maker.readers, max_bad_fraction)
        making = make_shards(
            maker, todo, workers, start_method, row_seconds, lambda row: quarantine.add([row])
        )
        with closing(making) as made:
            found = (kept[job] if job in kept else next(made) for job in jobs)
            shards = _collected(maker.readers, jobs, found, quarantine, progress, set(todo))
        sets = {r.plan.name: describe_set(r.plan, r.store.digest) for r in maker.readers}
        _write(folder, Manifest(about, sets, shards, metadata.version("loretta-framework")))
    samples = {name: sum(shard.samples for shard in items) for name, items in shards.items()}
    return Tokenized(folder, maker.forms, samples, len(quarantine), len(todo), figures)


def _maker(
    plan: Plan,
    modalities: Mapping[str, object],
    folder: Path,
    sources: Mapping[str, Source] | None,
) -> ShardMaker:
    tokenizers = cast("Mapping[str, Modality]", modalities)
    return ShardMaker(
        open_sets(plan.split("train"), sources),
        Decoder(tokenizers, plan.vocabulary, max_bytes=byte_limits(plan)),
        {item.name: form_of(plan, item, modalities[item.name]) for item in plan.modalities},
        tokenizer_digests(plan, folder / TOKENIZERS),
    )


def _quarantine(folder: Path, readers: Sequence[SetReader], max_bad_fraction: float) -> Quarantine:
    """Written anew at each start: the bad rows of kept shards stand in their records."""
    (folder / FILE).unlink(missing_ok=True)
    return Quarantine(folder, sum(len(reader) for reader in readers), max_bad_fraction)


def _collected(
    readers: Sequence[SetReader],
    jobs: Sequence[Job],
    found: Iterator[TokenShard],
    quarantine: Quarantine,
    progress: Progress,
    made: Container[Job],
) -> dict[str, list[TokenShard]]:
    """Set name -> its token shards, in order."""
    shards: dict[str, list[TokenShard]] = {reader.plan.name: [] for reader in readers}
    for done, (job, shard) in enumerate(zip(jobs, found, strict=True), 1):
        reader = readers[job.chosen]
        quarantine.add(_bad_rows(reader, job, shard))
        shards[reader.plan.name].append(shard)
        progress(done, len(jobs), job.folder / f"{job.stem}.tar", job in made)
    return shards


def _bad_rows(reader: SetReader, job: Job, shard: TokenShard) -> list[BadRow]:
    place = reader.store.place(job.first)
    return [BadRow(place, bad.key, bad.modality, bad.cause) for bad in shard.bad]


def _write(folder: Path, manifest: Manifest) -> None:
    write_bytes_atomically(folder / MANIFEST, manifest.to_bytes())


def _require_ours(folder: Path) -> None:
    """Make the folder; refuse one that holds something else than tokens."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise InputError(
            f"tokens cannot be written there: {error.strerror or error}",
            where=str(folder),
            fix="give a folder that is new, empty or holds tokens",
        ) from error
    if names and not names & {MANIFEST, _LOCK}:
        raise InputError(
            "the folder holds something else than tokens",
            where=str(folder),
            fix="give a folder that is new, empty or holds tokens",
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                "another process is making tokens there",
                where=str(folder),
                fix="wait for it, or give another --out",
            ) from error
        yield
