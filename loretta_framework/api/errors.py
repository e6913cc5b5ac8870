"""Errors a person reads: what was wrong, where, and how to mend it, each with an exit code.

`UserError` and its children mean "your input", exit 2. Every other `LorettaError` is an
operational failure, exit 1. The command line prints them without a traceback; anything that is
not a `LorettaError` is a bug and keeps its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USER = 2
EXIT_STOPPED = 75


class LorettaError(Exception):
    """Base of every error this project raises on purpose.

    Args:
        what: one sentence that states the fault.
        where: file and line, recipe key, shard and sample: whatever finds the place.
        fix: what to do about it.

    Attributes:
        code: names the kind of error in messages, and its page in the documentation.
    """

    exit_code = EXIT_FAILURE
    code: ClassVar[str] = "loretta"

    def __init_subclass__(cls) -> None:
        """Give every kind of error its code: `RunDirectoryError` is `run-directory`."""
        words = re.findall("[A-Z][a-z]+", cls.__name__.removesuffix("Error"))
        cls.code = "-".join(words).lower()

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__(what, where, fix)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  -> {self.fix}" if self.fix else text

    def __reduce__(self) -> tuple[Any, ...]:
        # By default the class would be called with `args`, which are not its parameters: an error
        # of a worker process could then not be read, and the pool would wait for it for ever.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[LorettaError], args: tuple[str, ...], state: dict[str, Any]) -> Any:
    """An error as another process pickled it."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UserError(LorettaError):
    """The user's mistake: exit code 2."""

    exit_code = EXIT_USER


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault among several that are reported together."""

    what: str
    where: str = ""
    fix: str = ""

    def __str__(self) -> str:
        return str(LorettaError(self.what, where=self.where, fix=self.fix))


class RecipeError(UserError):
    """One or more faults in a recipe or an override; all are reported at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class GraphError(UserError):
    """The declared pairs do not make a graph that can be trained."""


class PluginError(UserError):
    """A plugin or component is unknown, broken, incompatible or claimed twice."""


class ShardError(UserError):
    """A shard is missing, empty, damaged or does not hold what the recipe says."""


class DamagedSampleError(ShardError):
    """One sample cannot be used, the rest of its shard may be: loaders count it and go on.

    Args:
        member: local name of the member at fault.
    """

    def __init__(self, what: str, *, member: str, where: str, fix: str) -> None:
        super().__init__(what, where=where, fix=fix)
        self.member = member


class StorageError(LorettaError):
    """Remote storage or its local cache failed: connection lost, server faulty, disk full."""


class RunDirectoryError(UserError):
    """A run directory is in use, missing, incomplete or of another recipe."""


class InputError(UserError):
    """A value given to a command or to the Python API cannot be used."""


class CheckpointError(LorettaError):
    """A checkpoint cannot be written, or what is on disk does not match its manifest."""


class TrainingError(LorettaError):
    """Training cannot go on, for example because the loss is not finite."""


class MissingDependencyError(UserError):
    """An optional package is absent; the message names the install command."""


class StoppedOnRequest(LorettaError):
    """A signal asked the run to stop and its state is saved: exit code 75."""

    exit_code = EXIT_STOPPED


def nearest(name: str, known: Sequence[str]) -> str:
    """The phrase " (did you mean 'x'?)" for the nearest known name, or "" when none is near."""
    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""
