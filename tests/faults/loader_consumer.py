"""A loop that takes steps from the loader and writes down what it got, to be killed at any moment.

The folder holds plan.json; state.json says how many steps are done and how long their log is. One
process plays all ranks, so that the parts of a step can be put together again.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from loretta_framework.data.loader import Loader, StepSamples
from loretta_framework.recipe.plan import Plan


class Text:
    """Bytes as tokens; one content takes the process down, another cannot be decoded."""

    def read(self, data: bytes, extension: str) -> bytes:
        if data == b"crash":
            faulthandler.disable()  # pytest's would print where
            ctypes.string_at(0)
        if data == b"bad":
            raise ValueError("not a toy file")
        return data

    def augment(self, value: bytes, random: np.random.Generator) -> bytes:
        return value + bytes([int(random.integers(256))])

    def encode(self, value: bytes) -> Any:
        return np.frombuffer(value, dtype=np.uint8).astype(np.int64)


def line(step: int, ranks: tuple[StepSamples, ...]) -> bytes:
    """All that the step gave, whatever the number of ranks."""
    given = {
        task: [
            [s.key, s.position, [[name, ids.tolist()] for name, ids in s.parts]]
            for samples in ranks
            for s in samples.get(task, [])
        ]
        for task in sorted(ranks[0])
    }
    return json.dumps([step, given]).encode() + b"\n"


def consume(folder: Path, world: int, workers: int, method: str, pace: float) -> None:
    """Go on where the state says; with a pace, in seconds a step, as one who will be killed."""
    sys.modules["__main__"] = sys.modules[
        __name__
    ]  # what spawned workers import: not all of pytest
    plan = Plan.from_json(json.loads((folder / "plan.json").read_text()))
    file, aside = folder / "state.json", folder / "state.aside"
    state = json.loads(file.read_text()) if file.exists() else {"step": 0, "bytes": 0}
    loaders = [
        Loader(
            plan,
            {"text": Text()},  # type: ignore[dict-item]
            folder,
            workers,
            rank,
            world,
            max_bad_fraction=0.1,
            start_method=method,
        )
        for rank in range(world)
    ]
    streams = [loader.steps(state["step"], plan.steps) for loader in loaders]
    with (folder / "keys.log").open("ab") as log:
        log.truncate(state["bytes"])  # what was written after the last state is done again
        for step, ranks in enumerate(zip(*streams, strict=True), state["step"]):
            log.write(line(step, ranks))
            log.flush()
            if pace:
                os.fsync(log.fileno())
            aside.write_text(json.dumps({"step": step + 1, "bytes": log.tell()}))
            os.replace(aside, file)
            time.sleep(pace)
