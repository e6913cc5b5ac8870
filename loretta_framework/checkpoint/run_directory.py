"""The directory of a run: what lies where, made once, opened again, written by one process."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from loretta_framework.api.atomic import write_bytes_atomically, write_json_atomically
from loretta_framework.api.errors import LorettaError, RunDirectoryError, nearest
from loretta_framework.checkpoint.lock import RunLock
from loretta_framework.recipe.plan import Plan

_RECIPE, _PLAN, _LOCK = "recipe.yaml", "plan.json", "run.lock"


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The paths of a run. Make one with `create` or `open`.

    Attributes:
        path: the directory, absolute.
    """

    path: Path

    @classmethod
    def create(cls, path: Path, recipe_yaml: str, plan: Plan) -> RunDirectory:
        """Start a run in an empty or missing directory.

        The plan is written last: a directory with a plan holds a run, one that a kill left without
        it is started again.

        Args:
            path: where; missing parents are made.
            recipe_yaml: the resolved recipe.
            plan: what the run will do.

        Raises:
            RunDirectoryError: the directory holds a run or other files already, is in use, or
                cannot be written.
        """
        run = cls(_absolute(path))
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            run._require_ours()
            with run.acquire():
                run._require_no_run()
                run._write(recipe_yaml, plan)
        except OSError as error:
            raise run._unwritable(error) from error
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Open a run to resume, to evaluate or to read.

        Raises:
            RunDirectoryError: it is no run; the message says what is missing.
        """
        run = cls(_absolute(path))
        if not run.path.is_dir():
            hint = nearest(run.path.name, _siblings(run.path))
            raise RunDirectoryError(
                f"there is no such run directory{hint}",
                where=str(path),
                fix="check the path; a run is made by `loretta train`",
            )
        missing = [item.name for item in (run.recipe_file, run.plan_file) if not item.is_file()]
        if missing:
            raise RunDirectoryError(
                f"this is no run: {' and '.join(missing)} missing",
                where=str(path),
                fix="name a directory that `loretta train` made; if its start was interrupted, "
                "start it again without --resume",
            )
        return run

    def update(self, recipe_yaml: str, plan: Plan) -> None:
        """Replace recipe and plan when a run goes on with changes that `compare` allows.

        Raises:
            RunDirectoryError: they cannot be written.
        """
        try:
            self._write(recipe_yaml, plan)
        except OSError as error:
            raise self._unwritable(error) from error

    def discard(self) -> None:
        """Undo `create` for a run that never took a step: the directory may be started again.

        The plan goes first: without it the directory holds no run.
        """
        self.plan_file.unlink(missing_ok=True)
        self.recipe_file.unlink(missing_ok=True)
        shutil.rmtree(self.tokenizers, ignore_errors=True)

    def acquire(self) -> RunLock:
        """Take the right to write; use as a context manager.

        Raises:
            RunDirectoryError: another process has it; the message names that process.
        """
        return RunLock(self.lock_file).acquire()

    def read_recipe(self) -> str:
        """The resolved recipe as YAML text.

        Raises:
            RunDirectoryError: the file is no text or cannot be read.
        """
        try:
            return self.recipe_file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise RunDirectoryError(
                f"{_RECIPE} cannot be read: {error}",
                where=str(self.path),
                fix="restore it from a copy",
            ) from error

    def read_plan(self) -> Plan:
        """The plan the run executes.

        Raises:
            RunDirectoryError: the file is damaged or of an incompatible version.
        """
        try:
            return Plan.from_json(json.loads(self.plan_file.read_bytes()))
        except (OSError, ValueError, RecursionError, LorettaError) as error:
            raise RunDirectoryError(
                f"{_PLAN} cannot be read: {error}",
                where=str(self.path),
                fix="restore it from a copy, or use the version of loretta-framework that wrote it",
            ) from error

    @property
    def recipe_file(self) -> Path:
        """The resolved recipe."""
        return self.path / _RECIPE

    @property
    def plan_file(self) -> Path:
        """The plan."""
        return self.path / _PLAN

    @property
    def lock_file(self) -> Path:
        """Held by the process that writes."""
        return self.path / _LOCK

    @property
    def tokenizers(self) -> Path:
        """Directory of what fitted tokenizers learned, one folder per modality."""
        return self.path / "tokenizers"

    @property
    def metrics_file(self) -> Path:
        """One JSON line per step."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """Root of the checkpoints; missing before the first save."""
        return self.path / "checkpoints"

    @property
    def evaluation_file(self) -> Path:
        """What `evaluate` measured."""
        return self.path / "evaluation.json"

    @property
    def report_file(self) -> Path:
        """The page that `report` makes."""
        return self.path / "report.html"

    def _write(self, recipe_yaml: str, plan: Plan) -> None:
        write_bytes_atomically(self.recipe_file, recipe_yaml.encode())
        write_json_atomically(self.plan_file, plan.to_json())

    def _require_ours(self) -> None:
        # The lock file is the first thing a run makes: without it, what is here is someone else's,
        # for example a folder of recipes with a recipe.yaml of its own.
        self._require_no_run()
        names = sorted(item.name for item in self.path.iterdir())
        if names and _LOCK not in names:
            raise RunDirectoryError(
                f"the directory is not empty and holds no run: {', '.join(names[:3])}",
                where=str(self.path),
                fix="give another --run-dir",
            )

    def _require_no_run(self) -> None:
        if self.plan_file.exists():
            raise RunDirectoryError(
                "the directory already holds a run",
                where=str(self.path),
                fix="add --resume to go on with it, or give another --run-dir",
            )

    def _unwritable(self, error: OSError) -> RunDirectoryError:
        return RunDirectoryError(
            f"the run directory cannot be written: {error.strerror}",
            where=str(self.path),
            fix="give a --run-dir that is writable and has free space",
        )


def _absolute(path: Path) -> Path:
    return Path(path).expanduser().resolve()


def _siblings(path: Path) -> list[str]:
    return [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
