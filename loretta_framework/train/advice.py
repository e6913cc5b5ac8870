"""What would make the steps of a run faster, told by where their time goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from loretta_framework.train.clock import Phase
from loretta_framework.train.loop import Trainer
from loretta_framework.train.numerics import BF16_MIN_WIDTH, multiplies_bf16

DATA, ROLLOUT, OPTIMIZER, PADDING = 0.10, 0.30, 0.20, 0.10
"""Shares above which a phase, or padding, is worth a change."""


def advice(
    trainer: Trainer, milliseconds: Mapping[Phase, float], padding: float
) -> tuple[str, ...]:
    """Sentences, what weighs most first; () where nothing stands out."""
    total = max(sum(milliseconds.values()), 1e-9)
    shares = {phase: spent / total for phase, spent in milliseconds.items()}
    found = [*_by_phase(trainer, shares), *_by_choice(trainer, shares, padding)]
    return tuple(text for _, text in sorted(found, key=lambda one: -one[0]))


def _by_phase(trainer: Trainer, shares: Mapping[Phase, float]) -> Iterator[tuple[float, str]]:
    data = trainer.recipe.data
    if shares["data"] > DATA:
        what = "raise data.workers" if data.tokens else "`loretta data tokenize` decodes only once"
        yield shares["data"], f"steps wait for data {shares['data']:.0%} of the time: {what}"
    if shares["rollout"] > ROLLOUT:
        names = ", ".join(
            f"objectives.{task.plan.name}.settings" for task in trainer.tasks if task.generates
        )
        yield (
            shares["rollout"],
            f"generating takes {shares['rollout']:.0%}: a larger reuse_k or max_stale, or a later "
            f"start, in {names} generates less",
        )
    if shares["optimizer"] > OPTIMIZER:
        yield (
            shares["optimizer"],
            f"the update takes {shares['optimizer']:.0%}: a larger train.batch_tokens makes fewer",
        )


def _by_choice(
    trainer: Trainer, shares: Mapping[Phase, float], padding: float
) -> Iterator[tuple[float, str]]:
    numerics, train = trainer.stepper.numerics, trainer.recipe.train
    computing = shares["forward"] + shares["backward"]
    if padding > PADDING:
        what = "a larger train.batch_tokens fills lines better"
        if numerics.form == "padded":
            what = "train.layout=packed fills them"
        elif train.length_buckets is not None:
            what = "more train.length_buckets, or null, make shorter lines"
        yield padding * computing, f"{padding:.0%} of the positions are padding: {what}"
    width = trainer.model.backbone.width
    if not numerics.bf16 and width >= BF16_MIN_WIDTH and multiplies_bf16(numerics.device):
        text = "the hardware multiplies bfloat16: train.precision=bf16 makes products faster"
        yield computing / 2, text
    if train.compile == "off":
        yield computing / 10, "train.compile=on makes long runs faster"
