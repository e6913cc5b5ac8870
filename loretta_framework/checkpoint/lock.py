"""One process per run directory: an advisory file lock that names its owner.

The kernel drops the lock with its process, so a dead run blocks nobody and no age has to be
guessed; what the file says only tells people who holds it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any

from loretta_framework.api.errors import RunDirectoryError

_MAX_BYTES = 4096


class RunLock:
    """Exclusive right to write into a run directory, until `release` or the process's end.

    Args:
        path: the lock file; it stays when the lock is released, for removing it would let two
            processes lock two files of one name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.run_id = secrets.token_hex(8)
        self._descriptor: int | None = None

    def acquire(self) -> RunLock:
        """Take the lock at once or not at all; the lock of a dead process is taken over.

        Raises:
            RunDirectoryError: another process holds it, named in the message, or the file system
                has no locks, or the file cannot be written.
        """
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
            _HELD.add(self)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._sign({"pid": os.getpid(), "host": socket.gethostname(), "boot_id": _boot_id()})
        except OSError as error:
            owner = _read(self.path)
            self._close()
            raise _refusal(self.path, owner, error) from error
        return self

    def require_held(self) -> None:
        """Raise `RunDirectoryError` when the lock was lost; call it before each write.

        It is lost when someone removed the lock file and another run has made its own, or when the
        directory was moved.
        """
        if self._descriptor is None or _read(self.path).get("run_id") != self.run_id:
            raise RunDirectoryError(
                f"this process no longer holds {self.path.name}; it writes nothing more",
                where=str(self.path.parent),
                fix="leave the lock file alone while a run works; go on with --resume",
            )

    def release(self) -> None:
        """Give the lock back; without effect when it is not held."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
        self._close()

    def __enter__(self) -> RunLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _sign(self, owner: dict[str, Any]) -> None:
        assert self._descriptor is not None
        text = json.dumps({**owner, "run_id": self.run_id}) + "\n"
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        _HELD.discard(self)
        if descriptor is not None:
            os.close(descriptor)


_HELD: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    # A forked loader worker inherits the lock and would keep it after its killed parent.
    for lock in list(_HELD):
        lock._close()


os.register_at_fork(after_in_child=_forget_in_child)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _read(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            data = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _refusal(path: Path, owner: dict[str, Any], error: OSError) -> RunDirectoryError:
    where = str(path.parent)
    if isinstance(error, BlockingIOError):
        who = f"process {owner.get('pid', '(starting)')} on {owner.get('host', 'this host')}"
        return RunDirectoryError(
            f"the run directory is in use by {who}",
            where=where,
            fix="wait for it to end or stop it, or give another --run-dir",
        )
    return RunDirectoryError(
        f"the run directory cannot be locked: {error.strerror}",
        where=where,
        fix="give a --run-dir that is writable, on a file system with locks",
    )
