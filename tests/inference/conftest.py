"""One small run for all tests of this folder; they only read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from loretta_framework.inference import LoadedModel, load
from loretta_framework.testing.small_runs import write_small_run


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def loaded(small_run: Path) -> LoadedModel:
    return load(small_run)
