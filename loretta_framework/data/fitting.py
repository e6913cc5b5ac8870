"""Fits the tokenizers that learn, on real training values only, and keeps what they learned.

<directory>/<modality>/...           the tokenizer's own files
<directory>/<modality>/fitted.json   figures, and the sha256 of each file
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

from loretta_framework.api.errors import CheckpointError, Problem, RecipeError, ShardError
from loretta_framework.api.protocols import FittedTokenizer, Modality, Source
from loretta_framework.api.random import generator
from loretta_framework.data.decode import BadRow, DecodeFailure, Decoder, byte_limits
from loretta_framework.data.loading.supervision import ROW_SECONDS
from loretta_framework.data.quarantine import Quarantine
from loretta_framework.data.readable import crashing_rows
from loretta_framework.data.sample import SetReader, open_sets
from loretta_framework.recipe.plan import Plan

RECORD = "fitted.json"

MAX_VALUES = 20_000
"""Values a fit sees at most; drawn at random when there are more."""


class TrainingValues:
    """Every training value of one modality, once per iteration, decoded as it goes.

    A tokenizer may iterate more than once. Values that cannot be decoded are left out; there is a
    `ShardError` when they are too many, or when none is left. Before the first time all are decoded
    in other processes, to leave out those that crash or hang.
    """

    def __init__(
        self,
        readers: Sequence[SetReader],
        decoder: Decoder,
        modality: str,
        seed: int,
        max_bad_fraction: float,
        start_method: str = "auto",
        row_seconds: float = ROW_SECONDS,
    ) -> None:
        self.decoder, self.modality = decoder, modality
        self._start_method, self._row_seconds = start_method, row_seconds
        self._crashing: dict[int, BadRow] | None = None
        self.max_bad_fraction = max_bad_fraction
        rows = [
            (reader, row)
            for reader in readers
            if modality in reader.plan.modalities
            for row in range(len(reader))
            if modality in reader.modalities(row)
        ]
        order = generator(seed, "fit/order", modality).permutation(len(rows))[:MAX_VALUES]
        self._rows = [rows[int(index)] for index in order]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        bad = Quarantine(None, len(self), self.max_bad_fraction)
        given = 0
        crashing = self._tried()
        bad.add(crashing.values())
        for number, (reader, row) in enumerate(self._rows):
            if number in crashing:
                continue
            try:
                raw = self.decoder.raw(reader, row, only=self.modality)
                values = [value for _, value in self.decoder.values(reader, row, raw)]
            except DecodeFailure as failure:
                bad.add([failure.row])
                continue
            given += len(values)
            yield from values
        if not given:
            raise ShardError(
                f"there is no training value of '{self.modality}' to fit its tokenizer on",
                where="data.train",
                fix="add a training set that has it, or take the modality out of the recipe",
            )

    def _tried(self) -> dict[int, BadRow]:
        """Index in `_rows` -> why it must not be decoded in this process."""
        if self._crashing is None:
            found = Quarantine(None, len(self), self.max_bad_fraction)
            self._crashing = crashing_rows(
                self._rows,
                self.decoder,
                self.modality,
                self._start_method,
                self._row_seconds,
                lambda row: found.add([row]),
            )
        return self._crashing


def fit_tokenizers(
    plan: Plan,
    modalities: Mapping[str, object],
    directory: Path,
    seed: int,
    max_bad_fraction: float = 0.001,
    sources: Mapping[str, Source] | None = None,
    start_method: str = "auto",
    row_seconds: float = ROW_SECONDS,
) -> dict[str, dict[str, float]]:
    """Fit and save every modality that the plan says is fitted; the objects are fitted in place.

    Args:
        plan: names the sets.
        modalities: name -> tokenizer.
        directory: a folder for each is made in it.
        seed: of the order in which values are given, and for the fits.
        max_bad_fraction: part of the values that may be undecodable.
        sources: built sources by "<split>/<set>".
        start_method: how the processes start that try the values; "auto" is the platform's own.
        row_seconds: time to wait for the decoding of one row.

    Returns:
        modality -> the figures its fit gave.

    Raises:
        ShardError: there is nothing to fit on, or too much of it cannot be decoded.
        RecipeError: a tokenizer cannot be fitted with its settings, or its state not be written.
    """
    names = [modality.name for modality in plan.modalities if modality.fitted]
    readers = open_sets(plan.split("train"), sources) if names else []
    decoder = Decoder(cast("Mapping[str, Modality]", modalities), max_bytes=byte_limits(plan))
    figures = {}
    for name in names:
        tokenizer = _fitted(modalities, name)
        values = TrainingValues(
            readers, decoder, name, seed, max_bad_fraction, start_method, row_seconds
        )
        try:
            figures[name] = {key: float(v) for key, v in tokenizer.fit(values, seed).items()}
            _save(tokenizer, figures[name], directory / name)
        except (ValueError, OSError) as error:
            raise RecipeError(
                [Problem(f"the tokenizer cannot be fitted: {error}", f"modalities.{name}")]
            ) from error
    return figures


def tokenizer_digests(plan: Plan, directory: Path) -> dict[str, str]:
    """Modality -> sha256 over the files of its fitted state; what ids mean depends on them."""
    return {
        modality.name: sha256(json.dumps(_hashes(directory / modality.name)).encode()).hexdigest()
        for modality in plan.modalities
        if modality.fitted
    }


def require_tokenizers(saved: Mapping[str, str], found: Mapping[str, str], where: Path) -> None:
    """Refuse tokenizers other than those that the weights were trained with.

    Raises:
        CheckpointError: a digest differs; ids would mean something else.
    """
    for name in sorted({*saved, *found}):
        if saved.get(name) != found.get(name):
            raise CheckpointError(
                f"the tokenizer of '{name}' is not the one that the weights were trained with",
                where=str(where / name),
                fix="restore the run's tokenizers from a copy, or train again",
            )


def load_tokenizers(plan: Plan, modalities: Mapping[str, object], directory: Path) -> None:
    """Load what `fit_tokenizers` saved into the objects, after checking every file.

    Raises:
        CheckpointError: a file is missing, was added or was changed, or a tokenizer refuses it.
    """
    for modality in plan.modalities:
        if not modality.fitted:
            continue
        folder = directory / modality.name
        _verify(folder)
        try:
            _fitted(modalities, modality.name).load(folder)
        except ValueError as error:
            raise CheckpointError(
                f"the tokenizer of '{modality.name}' refuses what was saved: {error}",
                where=str(folder),
                fix="fit it again: loretta fit <recipe>",
            ) from error


def _fitted(modalities: Mapping[str, object], name: str) -> FittedTokenizer:
    tokenizer = modalities[name]
    if not isinstance(tokenizer, FittedTokenizer):
        raise TypeError(f"modality '{name}' says that it is fitted, but has no fit, save and load")
    return tokenizer


def _save(tokenizer: FittedTokenizer, figures: Mapping[str, float], folder: Path) -> None:
    with replaced_folder(folder) as aside:
        tokenizer.save(aside)
        record = {"figures": dict(figures), "files": _hashes(aside)}
        (aside / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to write into, which takes the name of `folder` when the block ends well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield aside
        aside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _verify(folder: Path) -> None:
    try:
        expected = json.loads((folder / RECORD).read_bytes())["files"]
        found = _hashes(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"the record of the fitted tokenizer cannot be read: {error}",
            where=str(folder / RECORD),
            fix="fit it again: loretta fit <recipe>",
        ) from error
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            fault = "was changed" if name in expected and name in found else "is missing"
            fault = "was added" if name not in expected else fault
            raise CheckpointError(
                f"the file {fault} after the tokenizer was fitted",
                where=str(folder / name),
                fix="restore it, or fit again: loretta fit <recipe>",
            )


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / RECORD
    }
