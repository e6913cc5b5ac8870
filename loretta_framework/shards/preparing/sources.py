"""Where a preparation finds what it is made from: the folder that the user named, or a download."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from loretta_framework.api.errors import InputError
from loretta_framework.shards.preparing.download import Original, download_original
from loretta_framework.shards.preparing.finish import Say


def require_folder(source: Path | None, data_set: str) -> Path:
    """The folder that the user named.

    Raises:
        InputError: none was named, or it is no folder.
    """
    if source is None:
        raise InputError(
            "a folder to make the data set from is needed", where=data_set, fix="add --source DIR"
        )
    if not source.is_dir():
        raise InputError(
            f"the folder does not exist: {source}", where=data_set, fix="correct --source"
        )
    return source


def find_file(source: Path, places: Sequence[str], names: Sequence[str]) -> Path | None:
    """The first of several names that lies in the folder or in one of its sub-folders.

    Args:
        source: the folder.
        places: sub-folders to look into, after the folder itself.
        names: file or folder names, the preferred one first.
    """
    for name in names:
        for place in ("", *places):
            path = source / place / name
            if path.exists():
                return path
    return None


def obtain(
    source: Path | None,
    place: str,
    names: Sequence[str],
    original: Original | None,
    say: Say,
) -> Path:
    """A source file: from the folder that the user named, else from its official home.

    Args:
        source: the folder, None when none was named.
        place: the sub-folder that may hold it too; downloads lie in a folder of that name.
        names: file or folder names to look for, the preferred one first.
        original: what to download when none is there; None: there is nothing to download.
        say: told about a download.

    Raises:
        InputError: it is not there, and there is nothing to download.
        StorageError: the download failed.
    """
    if source is not None:
        found = find_file(require_folder(source, place), (place,), names)
        if found is not None:
            return found
    if original is None:
        looked = f"in {source} and {source / place}" if source else "without --source"
        raise InputError(
            f"{' or '.join(names)} is missing; looked for {looked}",
            where=place,
            fix="get it by hand, put it into a folder, and name that with --source",
        )
    folder = downloads() / place
    if not (folder / original.name).is_file():
        say(f"downloading {original.name} from {original.url} to {folder}")
    return download_original(original, folder)


def downloads() -> Path:
    """Where downloads lie: `sources` in `$LORETTA_CACHE`, else in `loretta` of the user's cache."""
    folder = os.environ.get("LORETTA_CACHE")
    if folder:
        return Path(folder).expanduser() / "sources"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "loretta" / "sources"
