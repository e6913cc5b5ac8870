"""Choices that follow from the hardware: device, dtype, threads, layout; each with its reason.

They depend on flags and widths, never on a timing, so that a resumed run repeats them.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from loretta_framework.recipe.schema import Recipe
from loretta_framework.recipe.threads import compute_threads, loader_processes
from loretta_framework.sequence.batch import LayoutForm

Note = Callable[[str, str, str], None]

BF16_MIN_WIDTH = 256
"""Below it the casts cost more than the faster products save."""


@dataclass(frozen=True, slots=True)
class Numerics:
    """How the run computes.

    Attributes:
        device: where the model lives.
        bf16: autocast forward and rollouts to bfloat16; weights stay float32.
        threads: CPU threads of torch.
        workers: loader processes.
        form: layout of training batches.
        start_method: how loader processes start.
        compiled: the backbone's blocks are compiled for training.
    """

    device: torch.device
    bf16: bool
    threads: int
    workers: int
    form: LayoutForm
    start_method: str = "auto"
    compiled: bool = False

    def autocast(self) -> AbstractContextManager[object]:
        """The context to compute in."""
        if self.bf16:
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()


KEPT = ("train.precision", "train.threads", "train.layout", "train.compile")
"""Choices that a resumed run takes over: they decide how sums are rounded."""


def keep_choices(recipe: Recipe, chosen: Mapping[str, str], note: Note) -> Recipe:
    """The recipe with what a former start of the run chose for its "auto" fields."""
    kept: dict[str, str | int] = {}
    for key in KEPT:
        field = key.removeprefix("train.")
        if getattr(recipe.train, field) == "auto" and key in chosen:
            kept[field] = int(chosen[key]) if field == "threads" else chosen[key]
            note(key, chosen[key], "chosen when the run started")
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=kept)})


def choose_numerics(recipe: Recipe, width: int, note: Note) -> Numerics:
    """Settle what the recipe leaves to "auto" and note why."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    note(
        "device",
        str(device),
        "a CUDA device is present" if device.type == "cuda" else "no CUDA device",
    )
    workers = _workers(recipe, note)
    return Numerics(
        device,
        _bf16(recipe, device, width, note),
        _threads(recipe, note),
        workers,
        _form(recipe, note),
        _start_method(recipe, workers, note),
    )


def _bf16(recipe: Recipe, device: torch.device, width: int, note: Note) -> bool:
    if recipe.train.precision != "auto":
        return recipe.train.precision == "bf16"
    fast = multiplies_bf16(device)
    why = f"the {'device' if device.type == 'cuda' else 'CPU'} multiplies bfloat16"
    if not fast:
        note("train.precision", "fp32", "the hardware has no bfloat16 products")
    elif width < BF16_MIN_WIDTH:
        note("train.precision", "fp32", f"width {width} < {BF16_MIN_WIDTH}: casts would cost more")
    else:
        note("train.precision", "bf16", f"{why} and width {width} >= {BF16_MIN_WIDTH}")
    return fast and width >= BF16_MIN_WIDTH


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the hardware has bfloat16 products, by its flags."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def _workers(recipe: Recipe, note: Note) -> int:
    count, why = loader_processes(recipe)
    if why:
        note("data.workers", str(count), why)
    return count


def _start_method(recipe: Recipe, workers: int, note: Note) -> str:
    if recipe.data.start_method != "auto":
        return recipe.data.start_method
    # Not get_start_method(): asking for the default settles it for the whole process.
    method = multiprocessing.get_start_method(allow_none=True)
    method = method or multiprocessing.get_all_start_methods()[0]
    if workers:
        note("data.start_method", method, "the platform's own")
    return method


def _threads(recipe: Recipe, note: Note) -> int:
    count, why = compute_threads(recipe)
    if why:
        note("train.threads", str(count), why)
    return count


def _form(recipe: Recipe, note: Note) -> LayoutForm:
    if recipe.train.layout != "auto":
        return recipe.train.layout
    note("train.layout", "packed", "rows hold no padding; documents never see each other")
    return "packed"
