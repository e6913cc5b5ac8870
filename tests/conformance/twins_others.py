"""Sources, callbacks and evaluators that break their contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sound_components as sound
from sound_plugin import broken

from loretta_framework.testing.conformance import Subject


class ThreeParts(sound.Folder):
    def modality_of(self, member: str) -> str | None:
        return member.split(".")[1] and super().modality_of(member)


class Once(sound.Folder):
    """Takes each name the first time only."""

    def __init__(self, settings: Any, context: Any) -> None:
        super().__init__(settings, context)
        self.seen: set[str] = set()

    def modality_of(self, member: str) -> str | None:
        found = None if member in self.seen else super().modality_of(member)
        self.seen.add(member)
        return found


class Held(sound.Folder):
    def __init__(self, settings: Any, context: Any) -> None:
        super().__init__(settings, context)
        self.file = open(__file__)  # noqa: SIM115


class WrongSizes(sound.Rows):
    class store(sound.Store):  # noqa: N801
        def size(self, sample: int, member: int) -> int:
            return len(self.rows[sample][1]) + 1


class OnlyInMemory(sound.Store):
    def __getstate__(self) -> dict[str, Any]:
        return {"rows": [], "shape_S": np.zeros(0, np.uint32)}


class Emptied(sound.Rows):
    store = OnlyInMemory


class Silent(sound.Rows):
    def open(self, patterns: Sequence[str], base: Path) -> Any:
        return super().open(patterns, base) if (base / patterns[0]).exists() else self.store([])


class Renames(sound.Quiet):
    def on_step(self, run: Any, metrics: Mapping[str, float]) -> None:
        metrics["smooth"] = metrics.pop("loss")  # type: ignore[attr-defined,index]


class NeedsSteps(sound.Quiet):
    def on_start(self, run: Any) -> None:
        self.last: list[float] = []

    def on_step(self, run: Any, metrics: Mapping[str, float]) -> None:
        self.last.append(metrics["loss"])

    def on_end(self, run: Any) -> None:
        self.last[-1] /= 2


class Forgets(sound.Quiet):
    """Clears in `on_start` what was restored."""

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.steps = state["steps"]

    def on_start(self, run: Any) -> None:
        self.steps = 0

    def on_step(self, run: Any, metrics: Mapping[str, float]) -> None:
        self.steps += 1

    def __init__(self, settings: Any, context: Any) -> None:
        super().__init__(settings, context)
        self.steps = 0


class Numpy(sound.Quiet):
    def evaluate(self, context: Any) -> dict[str, Any]:
        return {"edges": {}, "count": np.float32(len(context.samples))}


class BareFigures(sound.Quiet):
    def evaluate(self, context: Any) -> dict[str, Any]:
        return {"edges": {"english->figures": {"samples": 3.0}}}


class Trains(sound.Quiet):
    def evaluate(self, context: Any) -> dict[str, Any]:
        context.model.model.train()
        return super().evaluate(context)


TWINS: dict[str, Callable[[], Subject]] = {
    "source.answers_any_name": broken("folder", ThreeParts),
    "source.answers_the_same_again": broken("folder", Once),
    "source.survives_pickling": broken("folder", Held),
    "source.store_is_sound": broken("rows", WrongSizes),
    "source.store_opens_again": broken("rows", Emptied),
    "source.names_what_is_not_there": broken("rows", Silent),
    "callback.watches_a_run": broken("watch", Renames),
    "callback.takes_an_early_end": broken("watch", NeedsSteps),
    "callback.state_round_trip": broken("watch", Forgets),
    "evaluator.returns_plain_data": broken("judge", Numpy),
    "evaluator.judges_edges_that_exist": broken("judge", BareFigures),
    "evaluator.leaves_the_model_alone": broken("judge", Trains),
}
