"""Checkpoints: `root/step-00000500/` with tensors, state and manifest, whole or not there at all.

A save writes everything into `root/.tmp-<step>-<random>/`, the manifest last, brings it to disk and
renames the directory. Whatever moment a kill chooses, some complete checkpoint lies under its name.
Only one process may save into a root at a time: see `lock`.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from loretta_framework.api.atomic import durable_file, plain_json, sync_directory
from loretta_framework.api.errors import CheckpointError
from loretta_framework.checkpoint.directories import (
    ASIDE,
    candidates,
    is_complete,
    replaced_directory,
    step_directory,
    step_of,
    sweep,
)
from loretta_framework.checkpoint.manifest import (
    FORMAT,
    MANIFEST,
    STATE,
    FileRecord,
    Manifest,
    read_manifest,
    verify,
)
from loretta_framework.checkpoint.tensor_file import read_tensors, tensor_file_bytes, write_tensors

_GROUP = re.compile(r"[a-z][a-z0-9_]*")
_MIN_COMPLETE = 2


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    """What `save_checkpoint` was given, bit for bit.

    Attributes:
        step: finished optimiser steps.
        tensors: group -> name -> tensor, on the CPU.
        state: plain data.
    """

    step: int
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


def save_checkpoint(
    root: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> Path:
    """Write a checkpoint; one of the same step is replaced once this one is complete.

    Args:
        root: directory of the run's checkpoints, made when missing.
        step: finished optimiser steps, 0 or more.
        tensors: group ("model", "optimizer", ...) -> name -> whole tensor, any shape and device.
        state: plain data with string keys and finite numbers.

    Returns:
        The checkpoint's directory.

    Raises:
        CheckpointError: it cannot be written. Nothing partial is left, older ones are untouched.
    """
    if step < 0 or not all(_GROUP.fullmatch(group) for group in tensors):
        raise ValueError(f"a step must be 0 or more, a group a-z0-9_, but are {step}, {[*tensors]}")
    state_json = _encode(state)
    needed = len(state_json) + sum(tensor_file_bytes(group) for group in tensors.values())
    final, aside = step_directory(root, step), root / f"{ASIDE}{step}-{secrets.token_hex(6)}"
    try:
        if not root.is_dir():
            root.mkdir(parents=True)
            sync_directory(root.parent)
        sweep(root)
        if shutil.disk_usage(root).free < needed:
            raise OSError(errno.ENOSPC, "not enough free space")
        aside.mkdir()
        _write(aside, step, tensors, state_json)
        _take_name(aside, final)
        sync_directory(root)
        shutil.rmtree(replaced_directory(final), ignore_errors=True)
    except OSError as error:
        raise _no_space(root, step, needed, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return final


def load_checkpoint(path: Path, groups: Collection[str] | None = None) -> LoadedCheckpoint:
    """Verify a checkpoint, then read it.

    Args:
        path: its directory.
        groups: tensor groups to verify and read; all by default.

    Raises:
        CheckpointError: a file is missing or differs from the manifest, or a group is not there.
    """
    present = {name.removesuffix(".safetensors") for name in read_manifest(path).files}
    wanted = present - {STATE} if groups is None else set(groups)
    if not wanted <= present:
        raise CheckpointError(
            f"the checkpoint has no {sorted(wanted - present)}, only {sorted(present - {STATE})}",
            where=str(path),
            fix="use a checkpoint of a run that saves them",
        )
    files = {f"{group}.safetensors": group for group in sorted(wanted)}
    manifest = _verified(path, {*files, STATE})
    tensors = {group: read_tensors(path / name) for name, group in files.items()}
    return LoadedCheckpoint(manifest.step, tensors, _read_state(path / STATE))


def find_checkpoint(root: Path, warn: Callable[[str], None]) -> Path | None:
    """The newest complete and verified checkpoint by step; None when there are no checkpoints.

    Args:
        root: directory of the run's checkpoints; it may be missing.
        warn: handed one sentence for each newer checkpoint that had to be passed over.

    Raises:
        CheckpointError: there are checkpoints, and all are incomplete or damaged.
    """
    found = candidates(root)
    for path in found:
        try:
            _verified(path, None)
        except CheckpointError as error:
            warn(f"{path} is passed over for an older checkpoint: {error.what}")
        else:
            return path
    if found:
        raise CheckpointError(
            f"none of the {len(found)} checkpoints is complete and undamaged",
            where=str(root),
            fix="restore one from a copy, or start a new run in another directory",
        )
    return None


def prune_checkpoints(root: Path, keep_last: int) -> list[Path]:
    """Remove all but the newest complete checkpoints; fewer than two are never left.

    Complete means that all files have their size; digests are compared when one is loaded, for
    hashing every kept checkpoint would double the time of each save.

    Returns:
        The directories removed.

    Raises:
        CheckpointError: a directory cannot be removed; the ones to keep are untouched.
    """
    complete = {step_of(path) for path in candidates(root) if is_complete(path)}
    kept = sorted(complete, reverse=True)[: max(keep_last, _MIN_COMPLETE)]
    if len(kept) < _MIN_COMPLETE:
        return []
    removed = [path for path in candidates(root) if step_of(path) < kept[-1]]
    for path in removed:
        aside = root / f"{ASIDE}pruned-{secrets.token_hex(6)}"
        try:
            # Renamed first: a kill in the middle must not leave half a checkpoint under its name.
            os.rename(path, aside)
            shutil.rmtree(aside)
        except OSError as error:
            raise CheckpointError(
                f"an old checkpoint cannot be removed: {error.strerror}",
                where=str(path),
                fix="make the directory writable, or remove it by hand",
            ) from error
    return removed


def _encode(state: Mapping[str, Any]) -> bytes:
    try:
        return plain_json(dict(state))
    except ValueError as error:
        raise CheckpointError(
            f"the state cannot be saved: {error}",
            where=STATE,
            fix="keep arrays in `tensors` and only plain, finite data in `state`",
        ) from error


def _write(
    aside: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state_json: bytes
) -> None:
    files = {
        f"{group}.safetensors": write_tensors(aside / f"{group}.safetensors", named)
        for group, named in tensors.items()
    }
    with durable_file(aside / STATE) as file:
        file.write(state_json)
    files[STATE] = FileRecord(bytes=len(state_json), sha256=sha256(state_json).hexdigest())
    manifest = Manifest(format=FORMAT, step=step, files=files)
    with durable_file(aside / MANIFEST) as file:
        file.write(manifest.model_dump_json(indent=1).encode())
    sync_directory(aside)


def _take_name(aside: Path, final: Path) -> None:
    """Rename aside to final. A complete checkpoint of that step stays readable all the time."""
    if final.exists():
        if is_complete(final):
            shutil.rmtree(replaced_directory(final), ignore_errors=True)
            os.rename(final, replaced_directory(final))
        else:
            shutil.rmtree(final)
    os.rename(aside, final)


def _no_space(root: Path, step: int, needed: int, error: OSError) -> CheckpointError:
    try:
        free = f"{shutil.disk_usage(root).free:,} bytes are free"
    except OSError:
        free = "the free space is not known"
    return CheckpointError(
        f"the checkpoint of step {step} cannot be written: {error.strerror}; "
        f"it needs {needed:,} bytes, {free}",
        where=str(root),
        fix="free space there or make it writable, then go on with --resume; "
        "older checkpoints are untouched",
    )


def _verified(path: Path, only: Collection[str] | None) -> Manifest:
    manifest = verify(path, only)
    if manifest.step != step_of(path):
        raise CheckpointError(
            f"{MANIFEST} is damaged or moved: it says step {manifest.step}",
            where=str(path),
            fix="use another checkpoint, or give the directory its name back",
        )
    return manifest


def _read_state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path.name} is no JSON", where=str(path.parent), fix="use another checkpoint"
        ) from error
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{path.name} must be a mapping, but is a {type(state).__name__}",
            where=str(path.parent),
            fix="use another checkpoint",
        )
    return state
