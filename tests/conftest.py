"""Shared fixtures: one thread per process, and a small model over three modalities."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # bit-for-bit and golden figures are those of a CPU


@pytest.fixture
def keep_result() -> Callable[[str, Mapping[str, Any]], None]:
    """`keep_result("loader-kills", figures)` writes a long test's figures into the folder that
    LORETTA_RESULTS names; without it they are dropped."""

    def keep(name: str, figures: Mapping[str, Any]) -> None:
        folder = os.environ.get("LORETTA_RESULTS")
        if not folder:
            return
        about = {
            "machine": f"{os.cpu_count()} cores, {platform.machine()}",
            "python": platform.python_version(),
            "loretta-framework": metadata.version("loretta-framework"),
        }
        file = Path(folder) / f"{datetime.now(UTC):%Y-%m-%d}-{name}.json"
        aside = file.with_suffix(".tmp")
        aside.write_text(json.dumps({**about, **figures}, indent=1) + "\n")
        os.replace(aside, file)

    return keep
