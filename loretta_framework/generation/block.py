"""One batch of rows, position by position.

Where the target's length is fixed nothing in the loop waits for the device: what each step needs is
known before it. Where the length varies, rows that have ended go on with tokens that nobody reads,
until enough have ended to be worth a smaller cache.

B samples, V variants of each (guidance), R = V x B rows (variant by variant), T positions, D width,
G ids of a group.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from loretta_framework.api.layout import SequenceLayout
from loretta_framework.api.protocols import IntArray
from loretta_framework.generation.guidance import PLAIN_VARIANT, Variant, mix
from loretta_framework.generation.prompts import Encoded
from loretta_framework.generation.sampling import Sampling, sample
from loretta_framework.generation.steps import Steps
from loretta_framework.model.any_to_any import AnyToAny

ASK_EVERY = 8
"""Steps between two looks at who has ended, on a device whose answer must be waited for."""

NEAR = ("cpu",)
"""Devices that answer at once: there every step asks."""

WORTH = 0.75
"""The cache is made smaller when at most this part of its rows goes on: copying it costs about half
a step of the whole batch."""


@dataclass(frozen=True, slots=True)
class Draw:
    """What is generated, and how.

    Attributes:
        steps: the target's positions.
        sampling: how an id is drawn.
        variants: what is mixed.
    """

    steps: Steps
    sampling: Sampling
    variants: tuple[Variant, ...] = PLAIN_VARIANT


class Decoding:
    """Rows whose target is being generated.

    Args:
        model: in evaluation mode; gradients are off.
        draw: what and how.
        encoded: the R prompts.
        uniforms_TB: float64 numbers in [0, 1) on the model's device.

    Attributes:
        step: positions that are done.
        finished: whether every row has all its tokens.
        tokens_TB: int64 ids local to the modality, -1 behind a row's end and where none is yet.
    """

    def __init__(self, model: AnyToAny, draw: Draw, encoded: Encoded, uniforms_TB: Tensor) -> None:
        self.model, self.draw = model, draw
        self.step, self.finished = 0, False
        device, steps = uniforms_TB.device, draw.steps
        self._hidden_RD, self._cache = encoded.hidden_RD, encoded.cache
        self._uniforms_TB = uniforms_TB
        rows = uniforms_TB.shape[1]
        self.tokens_TB = torch.full((len(steps), rows), -1, dtype=torch.int64, device=device)
        self._samples_B = torch.arange(rows, device=device)
        self._ended_B = torch.zeros(rows, dtype=torch.bool, device=device)
        self._places_T1 = torch.arange(steps.place, steps.place + len(steps), device=device)[
            :, None
        ]
        self._ask_every = 1 if device.type in NEAR else ASK_EVERY
        self._lay_out(encoded.lengths_R)

    def run(self, stop: int | None = None) -> None:
        """Go on to position `stop`, or to the end."""
        stop = len(self.draw.steps) if stop is None else min(stop, len(self.draw.steps))
        while self.step < stop and not self.finished:
            self._next()

    def tokens(self) -> list[IntArray]:
        """int64 ids local to the modality so far, one array per sample; waits for the device."""
        return [row_T[row_T >= 0] for row_T in self.tokens_TB.T.cpu().numpy()]

    def _next(self) -> None:
        draw, step = self.draw, self.step
        steps = draw.steps
        logits_BG = mix(self.model.logits(self._hidden_RD, steps.groups_T[step]), draw.variants)
        if steps.end_from is not None and step < steps.end_from:
            logits_BG[:, 0] = float("-inf")  # the end id comes first in the group
        index_B = sample(logits_BG, self._uniforms_TB[step], draw.sampling)
        content_B = index_B + steps.shifts_T[step] if steps.shifts_T[step] else index_B
        self.step += 1
        last = self.step == len(steps)
        if steps.end_from is None:
            self.tokens_TB[step] = content_B
        else:
            self._ended_B |= content_B < 0
            self.tokens_TB[step].index_copy_(
                0, self._samples_B, content_B.masked_fill(self._ended_B, -1)
            )
            content_B = content_B.clamp_(min=0)
            if not last and self.step > steps.end_from and self.step % self._ask_every == 0:
                content_B = self._drop_ended(content_B)
        self.finished = self.finished or last
        if not self.finished:
            self._advance(content_B + steps.content, step)

    def _drop_ended(self, content_B: Tensor) -> Tensor:
        going = len(self._ended_B) - int(self._ended_B.sum())
        self.finished = going == 0
        if not 0 < going <= WORTH * len(self._ended_B):
            return content_B
        kept_B = (~self._ended_B).nonzero().squeeze(1)
        rows = len(self._ended_B)
        kept_R = torch.cat([kept_B + rows * v for v in range(len(self.draw.variants))])
        self._cache = self._cache.select(kept_R)
        self._samples_B, self._ended_B = self._samples_B[kept_B], self._ended_B[kept_B]
        self._uniforms_TB = self._uniforms_TB[:, kept_B]
        self._lay_out(self._lengths_R1[kept_R, 0])
        return content_B[kept_B]

    def _lay_out(self, lengths_R: Tensor) -> None:
        device, rows = lengths_R.device, len(lengths_R)
        self._lengths_R1 = lengths_R[:, None]
        self._documents_R1 = torch.arange(rows, device=device)[:, None]
        self._cu_lengths = torch.arange(rows + 1, dtype=torch.int32, device=device)

    def _advance(self, ids_B: Tensor, step: int) -> None:
        variants = len(self.draw.variants)
        ids_R1 = (ids_B.repeat(variants) if variants > 1 else ids_B)[:, None]
        layout = SequenceLayout(
            documents_BT=self._documents_R1,
            positions_BT=self._lengths_R1 + step,
            cu_lengths=self._cu_lengths,
            max_length=1,
            packed=False,
        )
        x_R1D = self.model.embed(ids_R1, self._places_T1[step : step + 1].expand_as(ids_R1))
        self._hidden_RD = self.model.backbone.extend(x_R1D, layout, self._cache)[:, 0]
