"""The kit's child process, run as a script: answers questions until its pipe is closed.

Run as `python -P child.py HANDLE PLUGIN`. With a plugin's name, torch cannot be imported, the plugin
is discovered before anything else, and the first thing sent is what that imported.

It imports nothing of the kit by itself: what the questions need comes with them.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from multiprocessing.connection import Connection
from types import ModuleType
from typing import Any

from loretta_framework.api.errors import MissingDependencyError

_KNOWN = ("loretta_framework.api", "loretta_framework.registry", "loretta_framework.builtin")


class NoTorch:
    """A finder and loader: torch seems to be installed, but whoever imports it is told off.

    Attributes:
        importers: file and line of those who tried.
    """

    def __init__(self) -> None:
        self.importers: list[str] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Answer for torch alone."""
        return ModuleSpec(name, self) if name == "torch" else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """The default kind of module."""

    def exec_module(self, module: ModuleType) -> None:
        """Refuse, and remember who asked."""
        frames = [f for f in traceback.extract_stack()[:-1] if not f.filename.startswith("<frozen")]
        self.importers.append(f"{frames[-1].filename}:{frames[-1].lineno}")
        raise ImportError("torch is not there in this process of the conformance kit")

    def taken(self) -> list[str]:
        """The importers so far, which are then forgotten."""
        found, self.importers = self.importers, []
        return found


def discover(plugin: str) -> tuple[list[str], str]:
    """Load a plugin; what this brought in and changed.

    Returns:
        Names of the packages that were imported, but for its own and the API; the record's note.
    """
    from loretta_framework.registry import Registry
    from loretta_framework.registry.records import installed

    for name in ("packaging.requirements", "packaging.utils"):  # the registry's own
        importlib.import_module(name)
    before = set(sys.modules)
    record = Registry.discover({plugin}).require(plugin)
    points = [item.entry_point for item in installed() if item.record.name == plugin]
    own = {point.module.partition(".")[0] for point in points if point} or {"loretta_framework"}
    return _foreign(set(sys.modules) - before, own), record.note


def _foreign(modules: set[str], own: set[str]) -> list[str]:
    found = set()
    for name in modules:
        package = name.partition(".")[0]
        if package in own or package in sys.stdlib_module_names or name.startswith(_KNOWN):
            continue
        found.add(name if package == "loretta_framework" else package)
    return sorted(found)


def answer(function: Any, arguments: Sequence[Any], blocked: NoTorch | None) -> Any:
    """(an `Answer.outcome`, the answer or the error's text, who imported torch)."""
    try:
        outcome, value = "answered", function(*arguments)
    except MissingDependencyError as error:
        outcome, value = "absent", str(error)
    except (Exception, SystemExit) as error:
        outcome, value = ("idle", str(error)) if _is_reason(error) else ("failed", told(error))
    return outcome, value, blocked.taken() if blocked else []


def _is_reason(error: BaseException) -> bool:
    """Whether it is the kit's own `NotApplicable`, whose module is there when one was raised."""
    checks = sys.modules.get("loretta_framework.testing.conformance.checks")
    return checks is not None and isinstance(error, checks.NotApplicable)


def told(error: BaseException) -> str:
    """An error in a line, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def main(handle: int, plugin: str) -> None:
    """Answer until the other side closes."""
    blocked = NoTorch() if plugin else None
    pipe: Connection[Any, Any] = Connection(handle)
    if blocked:
        sys.meta_path.insert(0, blocked)
        pipe.send(answer(discover, (plugin,), blocked))
    while True:
        try:
            question = pipe.recv()
        except EOFError:
            return
        except Exception as error:  # what a component's own state raises when it is read
            pipe.send(("failed", f"it cannot be unpickled: {told(error)}", []))
            continue
        function, arguments = question
        reply = answer(function, arguments, blocked)
        try:
            pipe.send(reply)
        except Exception as error:
            pipe.send(("failed", f"its answer cannot be pickled: {told(error)}", []))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
