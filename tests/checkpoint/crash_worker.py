"""Kills a save at every numbered file operation, then at random moments, and judges what is left.

Run as a script by `test_checkpoint_crash.py`: torch is imported once, each save is a forked child.
Prints a JSON object by scenario: points, states (points x power-loss variants) and faults.
"""

import builtins
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import torch

from loretta_framework.checkpoint.store import (
    find_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)

OLD, NEW = 1.0, 2.0


class Disk:
    """Counts file operations, kills before the n-th, and knows what has not reached the disk."""

    def __init__(self, root, kill_at, log):
        self.root, self.kill_at, self.log = root, kill_at, log
        self.count = 0
        self.synced = {}  # file -> bytes that are durable
        self.names = []  # name operations whose directory is not synchronised
        self.real = {n: getattr(os, n) for n in ("rename", "replace", "mkdir", "unlink", "rmdir")}
        self.real_fsync, self.real_open = os.fsync, builtins.open

    def install(self):
        os.rename, os.replace = self._rename("rename"), self._rename("replace")
        os.mkdir, os.unlink, os.rmdir = self._mkdir, self._tick("unlink"), self._tick("rmdir")
        os.fsync, builtins.open = self._fsync, self._open

    def tick(self):
        self.count += 1
        if self.count == self.kill_at:
            with self.real_open(self.log, "w") as file:
                json.dump({"synced": self.synced, "names": self.names}, file)
            os.kill(os.getpid(), signal.SIGKILL)

    def _local(self, path):
        return os.path.relpath(path, self.root)

    def _tick(self, name):
        def wrapped(*args, **kwargs):
            self.tick()
            return self.real[name](*args, **kwargs)

        return wrapped

    def _rename(self, name):
        def wrapped(source, target):
            self.tick()
            self.real[name](source, target)
            source, target = self._local(source), self._local(target)

            def moved(path):
                inside = path.startswith(f"{source}/") or path == source
                return target + path[len(source) :] if inside else path

            self.synced = {moved(path): size for path, size in self.synced.items()}
            # What was made inside stays unsynchronised under the new name.
            self.names = [
                (kind, *map(moved, paths)) if paths[-1] != source else (kind, *paths)
                for kind, *paths in self.names
            ]
            self.names.append(("rename", source, target))

        return wrapped

    def _mkdir(self, path, *args, **kwargs):
        self.tick()
        self.real["mkdir"](path, *args, **kwargs)
        self.names.append(("create", self._local(path)))

    def _fsync(self, descriptor):
        self.tick()
        self.real_fsync(descriptor)
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if os.path.isdir(path):
            at = self._local(path)
            self.names = [n for n in self.names if (os.path.dirname(n[-1]) or ".") != at]
        else:
            self.synced[self._local(path)] = os.path.getsize(path)

    def _open(self, path, mode="r", *args, **kwargs):
        if not set(mode) & set("wxa"):
            return self.real_open(path, mode, *args, **kwargs)
        self.tick()
        file = self.real_open(path, mode, *args, buffering=0, **kwargs)
        local = self._local(path)
        self.synced.setdefault(local, 0)
        self.names.append(("create", local))
        return TickingFile(file, self)


class TickingFile:
    """Each write is three points: before it, half way, and before what follows."""

    def __init__(self, file, disk):
        self.file, self.disk = file, disk

    def write(self, data):
        view = memoryview(data).cast("B")
        half = len(view) // 2
        self.disk.tick()
        self.file.write(view[:half])
        self.disk.tick()
        self.file.write(view[half:])

    def flush(self):
        self.file.flush()

    def fileno(self):
        return self.file.fileno()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.file.close()


def content(value, step):
    tensors = {
        "model": {"w": torch.full((64,), value), "b": torch.full((3,), value)},
        "optimizer": {"m": torch.full((64,), value, dtype=torch.bfloat16)},
    }
    return tensors, {"value": value, "step": step}


def save(root, step, value):
    save_checkpoint(root, step, *content(value, step))


def naive_save(root, step, value):
    """Control: what the judge must find fault with. Writes under the final name, no fsync."""
    save(root.parent / "elsewhere", step, value)
    source, target = root.parent / "elsewhere" / f"step-{step:08d}", root / f"step-{step:08d}"
    target.mkdir(exist_ok=True)
    for item in sorted(source.iterdir()):
        with builtins.open(target / item.name, "wb") as file:
            file.write(item.read_bytes())


def prepare_next(root):
    save(root, 1, OLD)
    save(root, 2, OLD)


def prepare_same(root):
    save(root, 3, OLD)


def prepare_leftover(root):
    save(root, 2, OLD)
    save(root, 3, OLD)
    (root / "step-00000003" / "manifest.json").unlink()
    (root / ".tmp-3-dead").mkdir()


def act(root):
    save(root, 3, NEW)
    prune_checkpoints(root, 2)


SCENARIOS = {  # name -> (prepare, act, may there be nothing to find, complete ones at least)
    "first": (lambda root: None, act, True, 0),
    "next": (prepare_next, act, False, 2),
    "same": (prepare_same, act, False, 1),
    "leftover": (prepare_leftover, act, False, 1),
    "control": (prepare_same, lambda root: naive_save(root, 3, NEW), False, 1),
}


def judge(root, nothing_allowed, at_least):
    """The fault of what a crash left, or None."""
    try:
        path = find_checkpoint(root, lambda sentence: None)
        if path is None:
            return None if nothing_allowed else "nothing found"
        loaded = load_checkpoint(path)
        values = {t.float().unique().item() for g in loaded.tensors.values() for t in g.values()}
        if values != {loaded.state["value"]} or loaded.state["step"] != loaded.step:
            return f"a mix: {values} with {loaded.state}"
        complete = 0
        for item in root.glob("step-*"):
            try:
                load_checkpoint(item)
                complete += 1
            except Exception:
                continue
        return None if complete >= at_least else f"only {complete} complete"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def power_losses(root, log, scratch):
    """Directories as a power cut could leave them: unsynchronised bytes and names lost."""
    state = json.loads(log.read_text())
    for undone in range(len(state["names"]) + 1):
        for part in (0.0, 0.5):
            shutil.rmtree(scratch, ignore_errors=True)
            shutil.copytree(root, scratch)
            for name, size in state["synced"].items():
                file = scratch / name
                if file.is_file() and file.stat().st_size > size:
                    os.truncate(file, size + int((file.stat().st_size - size) * part))
            for kind, *paths in reversed(state["names"][len(state["names"]) - undone :]):
                last = scratch / paths[-1]
                if kind == "rename" and last.exists() and not (scratch / paths[0]).exists():
                    last.rename(scratch / paths[0])
                elif kind == "create":
                    shutil.rmtree(last) if last.is_dir() else last.unlink(missing_ok=True)
            yield scratch


def crash(root, kill_at, log, action):
    """Run the action in a child that dies at an operation; whether it died."""
    child = os.fork()
    if child == 0:
        Disk(root, kill_at, log).install()
        try:
            action(root)
        except BaseException as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise SystemExit("the save failed without a kill")
    return os.WIFSIGNALED(status)


def every_point(work, name):
    prepare, action, nothing_allowed, at_least = SCENARIOS[name]
    points = states = 0
    faults = []
    start, log = work / "start", work / "log.json"
    start.mkdir(parents=True)
    prepare(start)
    while True:
        root = work / "root"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(start, root)
        if not crash(root, points + 1, log, action):
            break
        points += 1
        for state in [root, *power_losses(root, log, work / "scratch")]:
            states += 1
            fault = judge(state, nothing_allowed, at_least)
            faults += [f"{name} point {points}: {fault}"] if fault else []
        if name != "control":
            faults += carry_on(root, name, points)
    return points, states, faults


def carry_on(root, name, point):
    """The next run must get through, and clean up."""
    act(root)
    newest = load_checkpoint(find_checkpoint(root, print))
    left = [p.name for p in root.iterdir() if not p.name.startswith("step-0000000")]
    left += [p.name for p in root.iterdir() if p.name.endswith("replaced")]
    if newest.state["value"] != NEW or left:
        return [f"{name} point {point}: carried on with {newest.state}, left {left}"]
    return []


def random_kills(work, kills):
    """A chain of kills on one run; each falls at a random moment of a save that is under way."""
    root, faults = work / "root", []
    draw = random.Random(0)
    save_checkpoint(root, 1, big(1), {"step": 1})
    for number in range(kills):
        before = load_checkpoint(find_checkpoint(root, faults.append)).step
        done, write = os.pipe()
        child = os.fork()
        if child == 0:
            save_for_ever(root, before, write)
        began = time.monotonic()
        os.close(write)  # so that a child that fails ends the read below
        os.read(done, 1)
        time.sleep(draw.uniform(0, 1.5 * (time.monotonic() - began)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(done)
        try:
            loaded = load_checkpoint(find_checkpoint(root, faults.append))
            if loaded.tensors["model"]["w"].unique().item() != loaded.step:
                faults.append(f"kill {number}: a mix")
            if loaded.step <= before:
                faults.append(f"kill {number}: step {before + 1} was finished and is lost")
        except Exception as error:
            faults.append(f"kill {number}: {error}")
    return kills, kills, faults


def save_for_ever(root, step, done):
    try:
        while True:
            step += 1
            save_checkpoint(root, step, big(step), {"step": step})
            prune_checkpoints(root, 2)
            os.write(done, b".")
    finally:
        os._exit(1)


def big(step):
    return {"model": {"w": torch.full((1 << 19,), float(step))}}


def main():
    torch.set_num_threads(1)
    results = {}
    for name in sys.argv[2:]:
        work = Path(sys.argv[1]) / name
        run = random_kills(work, 40) if name == "random" else every_point(work, name)
        results[name] = dict(zip(("points", "states", "faults"), run, strict=True))
    print(json.dumps(results))


if __name__ == "__main__":
    main()
