"""Shared fixtures: one thread per process, and where figures of long tests are kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from loretta_framework.testing import results

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = ""  # bit-for-bit and golden figures are those of a CPU


@pytest.fixture
def keep_result() -> Callable[..., Any]:
    """`keep_result("loader-kills", figures)`, see `loretta_framework.testing.results`."""
    return results.keep_result
