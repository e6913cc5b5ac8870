"""How many CPU threads and loader processes a recipe gets. Torch-free: the count must stand in the
environment before torch is loaded, since its OpenMP reads it once.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

from loretta_framework.recipe.schema import Recipe

OMP = "OMP_NUM_THREADS"
_VARIABLES = (OMP, "MKL_NUM_THREADS")


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def loader_processes(recipe: Recipe) -> tuple[int, str]:
    """Loader processes, and the reason; "" where the recipe says it."""
    if recipe.data.workers != "auto":
        return recipe.data.workers, ""
    return int(cores() > 1), f"{cores()} cores: one loads while the others compute"


def compute_threads(recipe: Recipe) -> tuple[int, str]:
    """CPU threads of torch, and the reason; "" where the recipe says it.

    Threads that spin at a barrier beside a busy loader make a step 10 to 20 times slower, so the
    loaders' cores are left to them. A count in the user's environment goes before this rule.
    """
    if recipe.train.threads != "auto":
        return recipe.train.threads, ""
    workers, _ = loader_processes(recipe)
    count = max(1, cores() - workers)
    given = os.environ.get(OMP, "")
    if given.isdecimal() and int(given) not in (0, count):
        return int(given), f"{OMP} is set in the environment"
    return count, f"{cores()} cores less {workers} loader processes"


def set_thread_count(recipe: Recipe, environment: MutableMapping[str, str] = os.environ) -> None:
    """Tell OpenMP and MKL the count before torch is loaded, unless the user has told them."""
    if OMP in environment:
        return
    count, _ = compute_threads(recipe)
    for name in _VARIABLES:
        environment.setdefault(name, str(count))
