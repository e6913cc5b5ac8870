"""Train one causal model from any modality to any other, out of partially paired data.

    import loretta_framework as loretta

    recipe = loretta.load_recipe("recipes/svl-digits.yaml", overrides=["train.steps=200"])
    print(loretta.plan(recipe))
    loretta.train(recipe, run_dir="runs/svl")
    model = loretta.load("runs/svl")
    images = model.generate({"text": "a seven"}, to="image", num_samples=4)

Importing this package brings neither torch nor numpy nor pydantic; each name is imported on first
use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loretta_framework.inference import load as load
    from loretta_framework.recipe.engine import make_plan as plan
    from loretta_framework.recipe.load import load_recipe as load_recipe
    from loretta_framework.train.run import train as train

_PLACES = {
    "load": "inference:load",
    "load_recipe": "recipe.load:load_recipe",
    "plan": "recipe.engine:make_plan",
    "train": "train",  # the room itself, which can be called: a function would hide its modules
}

__all__ = ["__version__", "load", "load_recipe", "plan", "train"]


def __getattr__(name: str) -> Any:
    """Import the public name from its room on first use."""
    if name == "__version__":
        from importlib.metadata import version

        return version("loretta-framework")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    found = importlib.import_module(f"{__name__}.{module}")
    return getattr(found, attribute) if attribute else found


def __dir__() -> list[str]:
    """The public names, also those not imported yet."""
    return sorted({*globals(), *__all__})
