"""The local cache of remote shards: bounded, shared by processes, safe against kill -9.

One folder a URL, named by its hash, so that nothing but what this module wrote is ever removed:

    <root>/lock                                     held while room is made
    <root>/<hash of URL>/lock                       held by the one process that fetches the shard
    <root>/<hash of URL>/<hash of revision>.tar     complete
    <root>/<hash of URL>/<hash of revision>.tar.index.safetensors
    <root>/<hash of URL>/<hash of revision>.<random>.part      being fetched, of full length

The length of a part is what it will need, so the parts of all processes count against the bound.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from loretta_framework.api.errors import InputError, StorageError
from loretta_framework.shards.patterns import INDEX_SUFFIX
from loretta_framework.shards.remote.transport import Revision

FOLDER_VARIABLE = "LORETTA_CACHE"
LIMIT_VARIABLE = "LORETTA_CACHE_GB"
DEFAULT_LIMIT_GB = 50.0

_GB = 10**9
_FOLDER = re.compile(r"[0-9a-f]{32}")
_PART = ".part"
_WAIT_S = 0.2


@dataclass(frozen=True, slots=True)
class Cache:
    """Where remote shards are kept, and how many bytes they may take."""

    root: Path
    limit: int

    def entry(self, url: str, revision: Revision) -> Entry:
        """The place of a revision of a URL; its folder is made."""
        folder = self.root / sha256(url.encode()).hexdigest()[:32]
        name = sha256(f"{revision.size} {revision.tag}".encode()).hexdigest()[:32]
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise _unusable(self.root, error) from error
        return Entry(folder / f"{name}.tar", revision.size)


@dataclass(frozen=True, slots=True)
class Entry:
    """One revision of one shard in the cache.

    Attributes:
        shard: where the complete copy lies, if it is there.
        size: bytes it must have.
    """

    shard: Path
    size: int

    @property
    def index(self) -> Path:
        """Where its index lies; it stays when the shard makes room for others."""
        return self.shard.with_name(self.shard.name + INDEX_SUFFIX)

    def use(self) -> bool:
        """Whether the complete copy is here; marks it as used now."""
        try:
            status = self.shard.stat()
            if status.st_size != self.size:
                return False
            # The time of change stays as it is: an index counts as fresh by it.
            os.utime(self.shard, ns=(time.time_ns(), status.st_mtime_ns))
        except OSError:
            return False
        return True


def open_cache() -> Cache:
    """The cache that the environment asks for.

    Raises:
        InputError: LORETTA_CACHE or LORETTA_CACHE_GB cannot be used.
    """
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    try:
        limit = float(text) if text else DEFAULT_LIMIT_GB
    except ValueError:
        limit = -1.0
    if not 0 < limit < 1e9:
        raise InputError(
            f"{LIMIT_VARIABLE} must be a positive number of gigabytes, but is '{text}'",
            fix=f"unset it for {DEFAULT_LIMIT_GB:g}, or set it to a number such as 200",
        )
    folder = os.environ.get(FOLDER_VARIABLE, "").strip()
    root = Path(folder).expanduser() if folder else Path.home() / ".cache" / "loretta" / "shards"
    if not root.is_absolute() or (root.exists() and not root.is_dir()):
        raise InputError(
            f"{FOLDER_VARIABLE} must be the absolute path of a folder, but is '{folder or root}'",
            fix="set it to a folder on a local disk; it is made when missing",
        )
    return Cache(root, int(limit * _GB))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder's lock; waits for other threads and processes."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # a forked child may hold the descriptor too
        os.close(descriptor)


def reserve(cache: Cache, entry: Entry) -> tuple[int, Path]:
    """Make room and open a part of the shard's full length: (descriptor, its path).

    Waits while the shards that others are fetching leave no room. The caller holds the lock of the
    entry's folder.

    Raises:
        InputError: the shard is larger than the whole cache.
        StorageError: the disk is full.
    """
    if entry.size > cache.limit:
        raise InputError(
            f"a shard of {_shown(entry.size)} does not fit into a cache of {_shown(cache.limit)}",
            fix=f"set {LIMIT_VARIABLE} to a larger number, or write smaller shards",
        )
    while True:
        with locked(cache.root):
            if _make_room(cache, entry):
                return _open_part(cache, entry)
        time.sleep(_WAIT_S)


def clear_old(entry: Entry) -> None:
    """Remove what a dead process left and other revisions; the caller holds the folder's lock."""
    _clear(entry, {entry.index.name, *([entry.shard.name] if entry.use() else [])})


def forget(entry: Entry) -> None:
    """Remove the copies and indexes of all revisions of a URL; who reads one keeps it open."""
    with locked(entry.shard.parent):
        _clear(entry, set())


def full_disk(entry: Entry, error: OSError) -> StorageError:
    """The error for a shard that cannot be written."""
    free = shutil.disk_usage(entry.shard.parent).free
    return StorageError(
        f"the shard cannot be kept: {error.strerror or error}; it needs {_shown(entry.size)} and "
        f"{_shown(free)} are free",
        where=str(entry.shard.parent.parent),
        fix=f"free some space, or set {FOLDER_VARIABLE} to a folder on a larger disk",
    )


def _clear(entry: Entry, keep: set[str]) -> None:
    for path in entry.shard.parent.iterdir():
        if path.name not in keep and path.name.endswith((".tar", INDEX_SUFFIX, _PART)):
            path.unlink(missing_ok=True)


def _open_part(cache: Cache, entry: Entry) -> tuple[int, Path]:
    try:
        descriptor, name = tempfile.mkstemp(
            dir=entry.shard.parent, prefix=f"{entry.shard.stem}.", suffix=_PART
        )
    except OSError as error:
        raise _unusable(cache.root, error) from error
    try:
        os.truncate(descriptor, entry.size)
    except OSError as error:
        os.close(descriptor)
        os.unlink(name)
        raise full_disk(entry, error) from error
    return descriptor, Path(name)


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the cache that may be removed, and how readily: the lower, the sooner."""

    path: Path
    size: int
    readiness: tuple[int, int]


def _make_room(cache: Cache, entry: Entry) -> bool:
    """Remove the least recently used shards until this one fits, if it can be made to fit."""
    total, candidates = _survey(cache, entry)
    over = total + entry.size - cache.limit
    lacking = entry.size - shutil.disk_usage(cache.root).free
    removable = sum(file.size for file in candidates)
    if lacking > removable:
        raise full_disk(entry, OSError("the disk is full"))
    for file in sorted(candidates, key=lambda file: file.readiness):
        if over <= 0 and lacking <= 0:
            break
        with suppress(FileNotFoundError):
            file.path.unlink()
        over, lacking = over - file.size, lacking - file.size
    return over <= 0


def _survey(cache: Cache, entry: Entry) -> tuple[int, list[_File]]:
    """(bytes in the cache, what may be removed of them)."""
    total, candidates = 0, list[_File]()
    for folder in os.scandir(cache.root):
        if not _FOLDER.fullmatch(folder.name) or not folder.is_dir(follow_symlinks=False):
            continue
        if folder.path != str(entry.shard.parent):
            _drop_dead_parts(Path(folder.path))
        for item in os.scandir(folder.path):
            try:
                status = item.stat(follow_symlinks=False)
            except FileNotFoundError:  # its fetcher renamed or dropped it just now
                continue
            total += status.st_size
            if item.name.endswith(".tar"):
                kind = 1 if _in_use(item.path) else 0
            elif item.name.endswith(INDEX_SUFFIX) or item.name.startswith("."):
                kind = 2  # small, and without its index a whole shard is fetched to open a set
            else:
                continue
            candidates.append(_File(Path(item.path), status.st_size, (kind, status.st_atime_ns)))
    return total, candidates


def _drop_dead_parts(folder: Path) -> None:
    """Parts of a folder that nobody has locked belong to nobody."""
    parts = list(folder.glob(f"*{_PART}"))
    if not parts:
        return
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for part in folder.glob(f"*{_PART}"):
            part.unlink(missing_ok=True)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BlockingIOError:
        pass
    finally:
        os.close(descriptor)


def _in_use(path: str) -> bool:
    """Whether a reader has the shard open: readers hold a shared lock on it."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _unusable(folder: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the cache of remote shards cannot be used: {error.strerror or error}",
        where=str(folder),
        fix=f"set {FOLDER_VARIABLE} to a folder on a local disk that you may write",
    )


def _shown(size: int) -> str:
    return f"{size / _GB:.2f} GB" if size >= _GB // 10 else f"{size} bytes"
