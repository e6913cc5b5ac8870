"""Puts hostile strings into a recipe and a run, and listens for what they set in motion.

strings_worker.py RECIPE RUN SHARE: prints one line for each attempt that did not end as a user's
mistake where it must, and one for everything that was imported or started because of a string.
SHARE 1 tries every string at every place; N tries an Nth of the strings where a component is named,
and one string at an Nth of the other places.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import cycle
from pathlib import Path
from typing import Any

import yaml

from loretta_framework.api.errors import LorettaError
from loretta_framework.api.specs import LazyReference
from loretta_framework.inference import load
from loretta_framework.recipe.engine import make_plan
from loretta_framework.recipe.load import load_recipe
from loretta_framework.recipe.nodes import needed_plugins
from loretta_framework.registry import Registry

HOSTILE = (
    "os.system",
    "builtins.eval",
    "trap:run",
    "trap.run",
    "loretta_framework.cli.main:main",
    "__import__('trap')",
    "__class__.__init__.__globals__",
    "trap",
    "../site/trap.py",
    "file:///trap.py",
    "!!python/object/apply:trap.run []",
    "${trap.run}",
)
EVENTS = {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "os.fork", "socket.connect"}

heard: list[str] = []


class Finder:
    """Hears of every import of something new."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        parts = name.split(".")
        if parts[0] in ("trap", "file") or name in HOSTILE or "_" * 2 in name.removeprefix("__"):
            heard.append(f"import of {name}")


def listen(event: str, arguments: tuple[Any, ...]) -> None:
    if event in EVENTS:
        heard.append(f"{event} {arguments!r:.200}")


def leaves(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all strings and of all nulls."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from leaves(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from leaves(value, (*path, index))
    elif isinstance(data, str) or data is None:
        yield path


def changed(data: Any, path: tuple[Any, ...], value: str) -> Any:
    copy = json.loads(json.dumps(data))
    node = copy
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    return copy


def attempts(data: Any, share: int) -> Iterator[tuple[tuple[Any, ...], str]]:
    turn = cycle(HOSTILE)
    for number, path in enumerate(leaves(data)):
        count = len(HOSTILE) // share
        if share > 1 and path[-1] != "kind" and path[:1] != ("evaluate",):
            count = int(number % share == 0)
        for _ in range(count):
            yield path, next(turn)


def outcome(what: str, path: tuple[Any, ...], value: str, action: Any) -> None:
    where = f"{what} {'.'.join(map(str, path))} = {value!r}"
    try:
        action()
    except LorettaError:
        pass
    except Exception as error:
        print(f"{where}: {type(error).__name__}: {error}")
    else:
        if path[-1] == "kind":
            print(f"{where}: was accepted")
    for event in heard:
        print(f"{where}: {event}")
    heard.clear()


def plan(recipe: Path) -> None:
    loaded = load_recipe(recipe)
    make_plan(loaded, Registry.discover(needed_plugins(loaded.resolved)))


def attack_recipe(recipe: Path, share: int) -> int:
    data = load_recipe(recipe).resolved_for(recipe.parent)
    beside, count = recipe.with_name("hostile.yaml"), 0
    for path, value in attempts(data, share):
        beside.write_text(yaml.safe_dump(changed(data, path, value), sort_keys=False))
        outcome("recipe", path, value, lambda: plan(beside))
        count += 1
    return count


def attack_json(run: Path, file: Path, share: int) -> int:
    text, count = file.read_text(), 0
    manifest = file.with_name("manifest.json")
    kept = manifest.read_text() if manifest.exists() else ""
    for path, value in attempts(json.loads(text), share):
        file.write_text(json.dumps(changed(json.loads(text), path, value)))
        if kept:  # a stranger would write a manifest that fits
            listed = json.loads(kept)
            data = file.read_bytes()
            listed["files"][file.name] = {"bytes": len(data), "sha256": sha256(data).hexdigest()}
            manifest.write_text(json.dumps(listed))
        outcome(file.name, path, value, lambda: load(run, warn=lambda _: None))
        count += 1
    file.write_text(text)
    if kept:
        manifest.write_text(kept)
    return count


def main(arguments: Sequence[str]) -> None:
    recipe, run, share = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    load(run)  # what is sound, imported before anything listens
    plan(recipe)
    sys.meta_path.insert(0, Finder())  # type: ignore[arg-type]
    sys.addaudithook(listen)
    LazyReference.parse("trap:run").resolve()()
    assert [event.split()[0] for event in heard] == ["import", "os.system"], heard
    heard.clear()
    del sys.modules["trap"]
    count = attack_recipe(recipe, share)
    copy = shutil.copytree(run, run.with_name("copy"))
    (state,) = copy.glob("checkpoints/*/state.json")
    count += attack_json(copy, copy / "plan.json", share)
    count += attack_json(copy, state, share)
    print(f"{count} attempts")


if __name__ == "__main__":
    main(sys.argv[1:])
