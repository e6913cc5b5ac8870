"""The names of checkpoint directories, and which of them are there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from loretta_framework.api.errors import CheckpointError
from loretta_framework.checkpoint.manifest import read_manifest

ASIDE = ".tmp-"
"""Prefix of directories that are being written or removed."""

_STEP = re.compile(r"step-(\d{8,})(\.replaced)?")


def step_directory(root: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return root / f"step-{step:08d}"


def replaced_directory(final: Path) -> Path:
    """Where a complete checkpoint waits while a new one of the same step takes its name."""
    return final.with_name(f"{final.name}.replaced")


def candidates(root: Path) -> list[Path]:
    """Checkpoint directories, newest step first; by number, for clocks jump."""
    found = [path for path in root.glob("step-*") if _STEP.fullmatch(path.name)]
    return sorted(found, key=lambda path: (-step_of(path), path.name))


def step_of(path: Path) -> int:
    """The step in a checkpoint directory's name.

    Raises:
        CheckpointError: the name is not that of a checkpoint.
    """
    match = _STEP.fullmatch(path.name)
    if match is None:
        raise CheckpointError(
            "a checkpoint must be called step-<8 digits>",
            where=str(path),
            fix="name a directory under the run's checkpoints/",
        )
    return int(match[1])


def is_complete(path: Path) -> bool:
    """Whether all files are there with their size; digests are not compared."""
    try:
        read_manifest(path)
    except CheckpointError:
        return False
    return True


def sweep(root: Path) -> None:
    """Remove what killed runs left half done.

    The run's lock makes sure that no live process is writing here.

    Raises:
        OSError: something cannot be removed.
    """
    for path in root.glob(f"{ASIDE}*"):
        shutil.rmtree(path)
