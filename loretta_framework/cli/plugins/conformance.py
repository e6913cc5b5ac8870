"""Runs the conformance kit on a plugin in a child process.

Run as a module it is that child: one line of JSON for each check that ended, so that a check that
crashes the interpreter does not take the others' results with it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Conformed:
    """What the kit found of a plugin.

    Attributes:
        plugin: entry-point name.
        results: of the checks that ended: component, check, outcome ("passed", "failed", "not
            applicable"), detail, sentence, fix.
        broke: why the kit did not come to its end, "" when it did.
    """

    plugin: str
    results: tuple[Mapping[str, str], ...]
    broke: str = ""

    @property
    def failed(self) -> bool:
        """Whether the plugin must be mended."""
        return bool(self.broke) or self._count("failed") > 0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def __str__(self) -> str:
        """Failures with what must hold and how to mend them, then how many checks ended how."""
        counts = ", ".join(
            f"{self._count(name)} {name}" for name in ("passed", "failed", "not applicable")
        )
        lines = [_told(result) for result in self.results if result["outcome"] == "failed"]
        if self.broke:
            last = self.results[-1] if self.results else None
            after = f" after {last['component']}: {last['check']}" if last else ""
            lines.append(f"the kit did not come to its end{after}: {self.broke}")
        return "\n\n".join([*lines, f"conformance of {self.plugin}: {counts}"])

    def _count(self, outcome: str) -> int:
        return sum(result["outcome"] == outcome for result in self.results)


def _told(result: Mapping[str, str]) -> str:
    head = f"{result['component']}: {result['check']}: {result['detail']}"
    return f"{head}\n{result['sentence']}\n-> {result['fix']}"


def conform(plugin: str, timeout_s: float) -> Conformed:
    """Run every check on every component of an installed plugin.

    Args:
        plugin: entry-point name.
        timeout_s: seconds the whole kit may take.
    """
    from loretta_framework.registry.child import run_child

    ended = run_child("loretta_framework.cli.plugins.conformance", [plugin], timeout_s)
    lines = ended.answer.splitlines(keepends=True)
    # A line that a crash cut short has no end.
    told = [json.loads(line) for line in lines if line.endswith("\n")]
    finished = told[-1:] == [_END]
    broke = "" if finished else ended.cause or "it ended the interpreter with exit code 0"
    return Conformed(plugin, tuple(told[:-1] if finished else told), broke)


_END: dict[str, str] = {"end": "of the kit"}


def main(arguments: list[str]) -> Any:
    """The child's work: FILE PLUGIN."""
    from loretta_framework.testing.conformance import run

    file, plugin = arguments
    with Path(file).open("a", encoding="utf-8", buffering=1) as answers:
        for result in run(plugin):
            check = result.check
            line = {"component": result.component, "check": check.id, "outcome": result.outcome}
            line |= {"detail": result.detail, "sentence": check.sentence, "fix": check.fix}
            answers.write(json.dumps(line) + "\n")
        answers.write(json.dumps(_END) + "\n")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that the plugin started must not hold the exit


if __name__ == "__main__":
    main(sys.argv[1:])
