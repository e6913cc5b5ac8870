"""Runs one contestant under the python that this is started with, speaking lines of JSON.

    python -m benchmarks.contestants.serve NAME '{"spec": ...}'

Standard input holds the pieces of work of each round, a number a line; its end ends the contestant.
Standard output holds `Rounds`' answers alone: what libraries print goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

from benchmarks.rounds import Rounds


def main(name: str, text: str) -> None:
    """Serve until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(event: dict[str, Any]) -> None:
        answers.write(json.dumps(event) + "\n")
        answers.flush()

    contestant = importlib.import_module(f"benchmarks.contestants.{name}")
    contestant.work(json.loads(text), Rounds(map(int, sys.stdin), answer))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
