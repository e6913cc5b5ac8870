"""One process writes into a run; the next is told who it is."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from loretta_framework.api.errors import RunDirectoryError
from loretta_framework.checkpoint.lock import RunLock

HOLDER = """
    import sys, time
    from pathlib import Path
    from loretta_framework.checkpoint.lock import RunLock
    with RunLock(Path(sys.argv[1])).acquire():
        {inside}
        print("held", flush=True)
        time.sleep(600)
"""


@pytest.fixture
def hold(tmp_path):
    """Starts another process that holds the lock; returns it."""
    processes = []

    def start(inside="pass"):
        code = textwrap.dedent(HOLDER).format(inside=inside)
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "run.lock")],
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_second_process_is_refused_with_the_owners_pid(tmp_path, hold):
    owner = hold()
    lock = RunLock(tmp_path / "run.lock")
    for _ in range(2):
        with pytest.raises(RunDirectoryError, match=f"in use by process {owner.pid} on") as error:
            lock.acquire()
    assert "--run-dir" in str(error.value)
    with pytest.raises(RunDirectoryError, match=r"no longer holds run\.lock"):
        lock.require_held()
    lock.release()  # never held: must not take it from the owner
    assert json.loads((tmp_path / "run.lock").read_text())["pid"] == owner.pid


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path, hold):
    owner = hold()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert json.loads((tmp_path / "run.lock").read_text())["pid"] == owner.pid
    with RunLock(tmp_path / "run.lock").acquire() as lock:
        lock.require_held()
        written = json.loads((tmp_path / "run.lock").read_text())
    assert written["pid"] == os.getpid()
    assert written.keys() == {"pid", "host", "boot_id", "run_id"}


def test_a_forked_worker_that_outlives_its_killed_parent_holds_nothing(tmp_path, hold):
    worker_file = tmp_path / "worker"
    inside = (
        "import os; worker = os.fork(); "
        f"Path({str(worker_file)!r}).write_text(str(worker)) if worker else time.sleep(600)"
    )
    owner = hold(inside)
    worker = int(worker_file.read_text())
    try:
        with pytest.raises(RunDirectoryError, match="in use"):
            RunLock(tmp_path / "run.lock").acquire()
        owner.kill()
        owner.wait()
        os.kill(worker, 0)  # it lives
        until = time.monotonic() + 30  # it may not have run its own first line yet
        while True:
            try:
                RunLock(tmp_path / "run.lock").acquire().release()
                break
            except RunDirectoryError:
                assert time.monotonic() < until
                time.sleep(0.01)
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_released_lock_is_free(tmp_path):
    with RunLock(tmp_path / "run.lock").acquire() as first:
        with pytest.raises(RunDirectoryError, match=f"in use by process {os.getpid()} on"):
            RunLock(tmp_path / "run.lock").acquire()
        first.require_held()
    with RunLock(tmp_path / "run.lock").acquire() as second:
        assert second.run_id != first.run_id


def test_a_lock_whose_file_was_removed_is_lost(tmp_path):
    path = tmp_path / "run.lock"
    with RunLock(path).acquire() as lock:
        path.unlink()
        with pytest.raises(RunDirectoryError, match=r"no longer holds run\.lock"):
            lock.require_held()
        with RunLock(path).acquire() as other:
            with pytest.raises(RunDirectoryError, match="it writes nothing more"):
                lock.require_held()
            other.require_held()


def test_an_owner_that_has_not_signed_yet_is_still_an_owner(tmp_path):
    path = tmp_path / "run.lock"
    with RunLock(path).acquire():
        for text in ("", "{", "[1]", "\0"):
            path.write_text(text)
            with pytest.raises(RunDirectoryError, match=r"in use by process \(starting\)"):
                RunLock(path).acquire()


def test_a_lock_file_that_is_a_link_or_has_no_directory_is_refused(tmp_path):
    (tmp_path / "target").write_text("precious")
    (tmp_path / "run.lock").symlink_to(tmp_path / "target")
    with pytest.raises(RunDirectoryError, match="cannot be locked"):
        RunLock(tmp_path / "run.lock").acquire()
    assert (tmp_path / "target").read_text() == "precious"
    with pytest.raises(RunDirectoryError, match="cannot be locked: No such file"):
        RunLock(tmp_path / "missing" / "run.lock").acquire()
