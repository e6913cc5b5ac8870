"""How long commands take to start, beyond the bare interpreter, with 30 other plugins installed.

    python benchmarks/startup/run.py benchmarks/results/DATE-startup.json [--runs 21]

Commands run in turn, so that a busy machine disturbs all alike. Of each run the wall-clock time and
the processor time are measured. The budget is one of wall-clock time on a quiet machine; on one that
does other work the least processor time is nearer to it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from statistics import median

from loretta_framework.testing.broken_plugins import FAULTS, SOUND, write_plugin
from loretta_framework.testing.small_runs import write_small_run

ROOT = Path(__file__).parents[2]
DUMMIES = 30
BUDGET_MS = 150.0
"""Beyond the bare interpreter."""

ODD = {7: FAULTS["raises"], 14: "import time\ntime.sleep(1)\n" + SOUND, 21: FAULTS["crashes"]}


def commands(recipe: Path) -> dict[str, list[str]]:
    """What is measured: name -> arguments of the interpreter."""
    loretta = ["-m", "loretta_framework.cli.main"]
    found = {
        "bare": ["-c", "pass"],
        "import pydantic": ["-c", "import pydantic; pydantic.BaseModel"],  # what any check needs
        "import numpy": ["-c", "import numpy"],
        "--help": [*loretta, "--help"],
        "plugins list": [*loretta, "plugins", "list"],
        "recipe check --static, text_bytes": [*loretta, "recipe", "check", "--static", str(recipe)],
    }
    digits = ROOT / "recipes" / "svl-digits.yaml"
    if (ROOT / "data" / "svl-digits").is_dir():
        named = [*loretta, "recipe", "check", "--static", str(digits)]
        found["recipe check --static, svl-digits"] = named
    return found


def run(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Milliseconds on the clock and of the processor."""
    start = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"failed: {' '.join(arguments)}")
    return 1e3 * wall, 1e3 * (used.ru_utime + used.ru_stime)


def summary(taken: list[tuple[float, float]]) -> dict[str, float]:
    """Medians, and the least processor time: of the run that others disturbed least."""
    walls, cpus = zip(*taken, strict=True)
    return {"wall_ms": median(walls), "cpu_ms": median(cpus), "least_cpu_ms": min(cpus)}


def measure(folder: Path, runs: int) -> dict[str, dict[str, float]]:
    """Figures by command."""
    site = folder / "site"
    site.mkdir()
    for number in range(DUMMIES):
        write_plugin(site, f"dummy{number:02d}", ODD.get(number, SOUND))
    environment = {**os.environ, "PYTHONPATH": str(site), "LORETTA_CACHE": str(folder / "cache")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # users' installations are compiled
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    write_small_run(folder / "small")
    todo = commands(folder / "small" / "run.yaml")
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in todo}
    for number in range(runs + 1):
        for name, arguments in todo.items():
            result = run(arguments, environment)
            if number:  # the first writes the bytecode
                taken[name].append(result)
    figures = {name: summary(all_) for name, all_ in taken.items()}
    bare = dict(figures["bare"])
    for own in figures.values():
        own |= {f"beyond_bare_{key}": own[key] - bare[key] for key in bare}
    return {name: {k: round(v, 1) for k, v in own.items()} for name, own in figures.items()}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--runs", type=int, default=21)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), options.runs)
    budgeted = [name for name in figures if name.startswith(("--help", "plugins", "recipe"))]
    content = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "loretta-framework": metadata.version("loretta-framework"),
        "plugins": DUMMIES,
        "runs": options.runs,
        "budget_ms": BUDGET_MS,
        "within_budget": {
            name: figures[name]["beyond_bare_wall_ms"] <= BUDGET_MS for name in budgeted
        },
        "commands": figures,
    }
    aside = options.out.with_suffix(".tmp")
    aside.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(aside, options.out)
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
