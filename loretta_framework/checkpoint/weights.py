"""Weights alone: exported for others, or taken from a run to start another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from loretta_framework.api.atomic import sync_directory, write_json_atomically
from loretta_framework.api.errors import CheckpointError, RunDirectoryError
from loretta_framework.api.settings import Settings
from loretta_framework.checkpoint.directories import ASIDE
from loretta_framework.checkpoint.manifest import FORMAT, FileRecord, require_digest
from loretta_framework.checkpoint.store import find_checkpoint, load_checkpoint
from loretta_framework.checkpoint.tensor_file import read_tensors, write_tensors

WEIGHTS = "model.safetensors"
DESCRIPTION = "model.json"
_GROUP = "model"


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """Weights and what they belong to.

    Attributes:
        tensors: parameter name -> tensor, on the CPU.
        state: the plain data saved with them: an export's own, or a checkpoint's.
        source: the directory they were read from: an export, or a checkpoint of the run.
    """

    tensors: dict[str, Tensor]
    state: dict[str, Any]
    source: Path


class _Description(Settings):
    format: int
    weights: FileRecord
    state: dict[str, Any]


def export_weights(
    directory: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> Path:
    """Write `model.safetensors` and `model.json` into a directory, made when missing.

    Each file is replaced as a whole; when the export is stopped between the two, `load_weights`
    says that they do not belong together.

    Args:
        directory: where to; other files in it are left alone.
        tensors: parameter name -> whole tensor.
        state: plain data with string keys and finite numbers, for example the vocabulary.

    Returns:
        The directory.

    Raises:
        CheckpointError: it cannot be written; nothing partial is left.
    """
    aside = directory / f"{ASIDE}{WEIGHTS}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        aside.unlink(missing_ok=True)
        record = write_tensors(aside, tensors)
        aside.replace(directory / WEIGHTS)
        sync_directory(directory)
        description = {"format": FORMAT, "weights": record.model_dump(), "state": dict(state)}
        write_json_atomically(directory / DESCRIPTION, description)
    except (OSError, ValueError) as error:
        aside.unlink(missing_ok=True)
        raise CheckpointError(
            f"the weights cannot be exported: {getattr(error, 'strerror', None) or error}",
            where=str(directory),
            fix="free space or make the directory writable, and export again",
        ) from error
    return directory


def load_weights(path: Path, warn: Callable[[str], None]) -> LoadedWeights:
    """Weights of a run's newest complete checkpoint, or of an export; verified.

    Args:
        path: a run directory or an export.
        warn: handed a sentence for each damaged checkpoint that is passed over.

    Raises:
        RunDirectoryError: the path is neither, or the run has no checkpoint yet.
        CheckpointError: what is there is damaged.
    """
    if (path / DESCRIPTION).is_file():
        return _load_export(path)
    root = path / "checkpoints"
    if not root.is_dir() and not (path / "plan.json").is_file():
        raise RunDirectoryError(
            f"this is neither a run (plan.json, checkpoints/) nor an export ({DESCRIPTION})",
            where=str(path),
            fix="name the directory of a run, or what `loretta export` wrote",
        )
    newest = find_checkpoint(root, warn)
    if newest is None:
        raise RunDirectoryError(
            "the run has no checkpoint yet", where=str(path), fix="train it first"
        )
    loaded = load_checkpoint(newest, (_GROUP,))
    return LoadedWeights(loaded.tensors[_GROUP], loaded.state, newest)


def _load_export(path: Path) -> LoadedWeights:
    again = "export it again, or copy it again"
    try:
        description = _Description.model_validate_json((path / DESCRIPTION).read_bytes())
    except ValidationError as error:
        raise CheckpointError(f"{DESCRIPTION} is damaged", where=str(path), fix=again) from error
    if description.format != FORMAT:
        raise CheckpointError(
            f"the format must be {FORMAT}, but is {description.format}",
            where=str(path / DESCRIPTION),
            fix="use the version of loretta-framework that wrote it",
        )
    require_digest(path / WEIGHTS, description.weights)
    return LoadedWeights(read_tensors(path / WEIGHTS), description.state, path)
