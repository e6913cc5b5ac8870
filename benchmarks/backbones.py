"""The digits recipe on every backbone: accuracy on the pair never seen, and what it costs.

    python -m benchmarks.backbones [--out FILE] [--runs FOLDER] [--jobs N]

For each backbone three arms are trained and judged: LoReTTa, its commutative baseline and the oracle
that saw the third pair. An arm differs from its recipe in the backbone (and in what the backbone's
recipe sets beside it) alone. What is finished is not done again, so the command may be stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.machine import commit, describe_machine, today, versions
from benchmarks.results import RESULTS
from loretta_framework.api.atomic import write_bytes_atomically
from loretta_framework.recipe.yaml_reader import read_yaml

RECIPES = Path(__file__).parents[1] / "recipes"
BACKBONES = {
    "transformer": "svl-digits.yaml",
    "mamba.mamba2": "svl-digits-mamba.yaml",
    "hyena.hyena": "svl-digits-hyena.yaml",
}
ARMS = {"loretta": None, "commutative": "svl-digits-commutative", "oracle": "svl-digits-oracle"}
UNSEEN = (("speech", "image"), ("image", "speech"))
ONE_THREAD = ("train.threads=1", "data.workers=0", "callbacks=[]")


def main() -> None:
    """Train, judge and summarise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / f"{today()}-backbones.json")
    parser.add_argument("--runs", type=Path, default=Path("runs/backbones"))
    parser.add_argument("--jobs", type=int, default=1, help="Arms trained at a time, a core each.")
    parser.add_argument("--set", action="append", default=[], help="Handed to every arm.")
    chosen = parser.parse_args()
    arms = [(backbone, arm) for backbone in BACKBONES for arm in ARMS]
    with ThreadPoolExecutor(chosen.jobs) as pool:
        list(pool.map(lambda names: _arm(chosen.runs, names[0], names[1], chosen.set), arms))
    rows = [_row(chosen.runs, backbone) for backbone in BACKBONES]
    result = {
        "name": "backbones",
        "date": today(),
        "command": "python -m benchmarks.backbones",
        "commit": commit(),
        "machine": describe_machine(),
        "versions": versions(),
        "extra_settings": chosen.set,
        "backbones": rows,
    }
    write_bytes_atomically(chosen.out, (json.dumps(result, indent=1) + "\n").encode())


def _folder(runs: Path, backbone: str, arm: str) -> Path:
    return runs / f"{backbone}-{arm}"


def _arm(runs: Path, backbone: str, arm: str, extra: list[str]) -> None:
    folder = _folder(runs, backbone, arm)
    if (folder / "evaluation.json").is_file():
        return
    recipe = RECIPES / BACKBONES[backbone]
    overrides = [*ONE_THREAD, *extra]
    if (base := ARMS[arm]) is not None:
        overrides += _differences(read_yaml(recipe).data)
        recipe = RECIPES / f"{base}.yaml"
    sets = [part for override in overrides for part in ("--set", override)]
    resume = ["--resume"] if (folder / "plan.json").is_file() else []
    _loretta("train", str(recipe), "--run-dir", str(folder), *sets, *resume)
    _loretta("evaluate", str(folder))


def _differences(data: dict[str, Any]) -> Iterator[str]:
    """What a backbone's recipe sets beside its base's, as overrides."""
    for section in ("backbone", "optimizer", "model", "train"):
        for key, value in data.get(section, {}).items() if data.get("base") else ():
            yield f"{section}.{key}={json.dumps(value)}"


def _loretta(*arguments: str) -> None:
    print("loretta", *arguments, file=sys.stderr, flush=True)
    command = [str(Path(sys.executable).with_name("loretta")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")


def _row(runs: Path, backbone: str) -> dict[str, Any]:
    folder, baseline, oracle = (_folder(runs, backbone, arm) for arm in ARMS)
    _loretta("evaluate", str(folder), "--baseline", str(baseline), "--oracle", str(oracle))
    evaluation = json.loads((folder / "evaluation.json").read_text())
    closed = evaluation["gap_closed"]
    # Where the runs lie on this machine is nobody's business.
    closed |= {arm: Path(closed[arm]).name for arm in ("baseline", "oracle")}
    plan = json.loads((folder / "plan.json").read_text())
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        "backbone": backbone,
        "settings": plan["backbone"]["settings"],
        "weights": _weights(folder),
        "steps": metrics[-1]["step"],
        "final_loss": metrics[-1]["loss"],
        "seconds": sum(line["tokens"] / line["tokens_per_second"] for line in metrics),
        "tokens": sum(line["tokens"] for line in metrics),
        "edges": [
            edge for edge in evaluation["edges"] if (edge["source"], edge["target"]) in UNSEEN
        ],
        "gap_closed": closed,
        "recipe_hash": evaluation["recipe_hash"],
        "data_hash": evaluation["data_hash"],
        "versions": evaluation["versions"],
    }


def _weights(folder: Path) -> int:
    """Numbers in the backbone of a run's model."""
    from loretta_framework.inference import load

    return sum(p.numel() for p in load(folder).model.backbone.parameters())


def table(result: dict[str, Any]) -> Iterator[str]:
    """Markdown lines for docs/benchmarks.md."""
    machine = result["machine"]
    yield (
        f"{result['date']}, {machine['processor']}, one core an arm; commit {result['commit']}. "
        f"`{result['command']}`"
    )
    yield ""
    edges = [f"{source} → {target}" for source, target in UNSEEN]
    yield (
        "| backbone | backbone weights | tokens/s | "
        + " | ".join(f"{edge}: commutative, LoReTTa, oracle | gap closed" for edge in edges)
        + " |"
    )
    yield "|---|---|---|" + "---|---|" * len(edges)
    for row in result["backbones"]:
        closed = {(edge["source"], edge["target"]): edge for edge in row["gap_closed"]["edges"]}
        cells = []
        for name in UNSEEN:
            found = closed[name]["class_accuracy"]
            low, high = found["interval"]
            arms = ", ".join(f"{found[arm]:.2f}" for arm in ("baseline", "run", "oracle"))
            cells += [arms, f"{found['value']:.2f} ({low:.2f} to {high:.2f})"]
        speed = row["tokens"] / row["seconds"]
        yield f"| {row['backbone']} | {row['weights']:,} | {speed:,.0f} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
