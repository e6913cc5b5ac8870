"""Transformers, each broken in one way. Importable by name, also in a child process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from loretta_framework.api import SequenceLayout, Trial
from loretta_framework.backbones.cache import KeyValueCache
from loretta_framework.backbones.settings import TransformerSettings
from loretta_framework.backbones.transformer import Block, Transformer

TRIAL = Trial(settings={"width": 16, "depth": 2, "heads": 2, "hidden": 16})
FAULTS: dict[str, type[Transformer]] = {}


def fault(kind: type[Transformer]) -> type[Transformer]:
    FAULTS[kind.__name__] = kind
    return kind


def __getattr__(name: str) -> Callable[[TransformerSettings, Any], Transformer]:
    """`build_<fault>` is a factory."""
    if not name.startswith("build_"):
        raise AttributeError(name)
    kind = FAULTS[name.removeprefix("build_")]
    return lambda settings, context: kind(settings, "sdpa")


def seen(layout: SequenceLayout) -> Tensor:
    return (layout.documents_BT >= 0)[..., None].float()


@fault
class Sound(Transformer):
    """Nothing is wrong with it."""


@fault
class CutsTheLastToken(Transformer):
    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        return super().forward(x_BTD, layout)[:, : max(1, x_BTD.shape[1] - 1)]


@fault
class LooksAhead(Transformer):
    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        out = super().forward(x_BTD, layout)
        return out + 1e-6 * functional.pad(x_BTD[:, 1:], (0, 0, 0, 1))


@fault
class IgnoresDocuments(Transformer):
    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        return super().forward(x_BTD, replace(layout, packed=False))


@fault
class LeavesATrace(Transformer):
    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        out = super().forward(x_BTD, layout)
        return out + 1e-6 * (x_BTD * seen(layout)).cumsum(1)


@fault
class CountsPadding(Transformer):
    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        return super().forward(x_BTD, layout) + x_BTD.mean(1, keepdim=True)


@fault
class NormalisesTheBatch(Transformer):
    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        return super().forward(x_BTD - 0.01 * x_BTD.mean(0), layout)


@fault
class CountsFromZero(Transformer):
    def extend(self, x_BTD: Tensor, layout: SequenceLayout, cache: Any) -> Tensor:
        steps = torch.arange(x_BTD.shape[1]).expand_as(layout.positions_BT)
        return super().extend(x_BTD, replace(layout, positions_BT=steps), cache)


class ForgetfulCache(KeyValueCache):
    def reserve(self, real_BT: Tensor) -> tuple[int, int]:
        return super().reserve(torch.ones_like(real_BT))


@fault
class CachesPadding(Transformer):
    def new_cache(self, batch: int, max_tokens: int) -> KeyValueCache:
        cache = super().new_cache(batch, max_tokens)
        return ForgetfulCache(cache.keys_LBGSK, cache.values_LBGSK, cache.valid_BS, 0)


class SharedCache(KeyValueCache):
    def select(self, rows: Tensor) -> KeyValueCache:
        chosen = super().select(rows)
        if len(rows) == len(self.valid_BS):
            self.keys_LBGSK, self.values_LBGSK = chosen.keys_LBGSK, chosen.values_LBGSK
        return chosen


@fault
class SharesItsCache(Transformer):
    def new_cache(self, batch: int, max_tokens: int) -> KeyValueCache:
        cache = super().new_cache(batch, max_tokens)
        return SharedCache(cache.keys_LBGSK, cache.values_LBGSK, cache.valid_BS, 0)


@fault
class HasAnIdleParameter(Transformer):
    def __init__(self, settings: TransformerSettings, form: str) -> None:
        super().__init__(settings, form)
        self.idle = nn.Parameter(torch.ones(3))


@fault
class DividesByZero(Transformer):
    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        return super().forward(x_BTD / x_BTD.std(-1, keepdim=True), layout)


@fault
class HasAShortTable(Transformer):
    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        if x_BTD.shape[1] > 48:
            raise IndexError("position 48 is out of range")
        return super().forward(x_BTD, layout)


@fault
class IsCoarseInBfloat16(Transformer):
    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        out = super().forward(x_BTD, layout)
        return out.round() if torch.is_autocast_enabled("cpu") else out


@fault
class DrawsFromNumpy(Transformer):
    def __init__(self, settings: TransformerSettings, form: str) -> None:
        super().__init__(settings, form)
        weight = np.random.default_rng().normal(size=self.norm.weight.shape)  # type: ignore[union-attr]
        self.norm.weight.data = torch.from_numpy(weight).float()


@fault
class AlwaysDrops(Transformer):
    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        return super().forward(functional.dropout(x_BTD, 0.1), layout)


@fault
class KeepsWhatItDerived(Transformer):
    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        if not hasattr(self, "kept"):
            self.kept = self.norm.weight.detach().exp()
        return super().forward(x_BTD, layout) * self.kept


@fault
class HasABufferThatIsNotSaved(Transformer):
    def __init__(self, settings: TransformerSettings, form: str) -> None:
        super().__init__(settings, form)
        self.register_buffer("scale", torch.full((settings.width,), 0.5), persistent=False)

    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        return super().forward(x_BTD, layout) * self.scale


class Hookless(Block):
    def __call__(self, *given: Any) -> Tensor:
        return self.forward(*given)


@fault
class PassesItsBlocksBy(Transformer):
    def __init__(self, settings: TransformerSettings, form: str) -> None:
        super().__init__(settings, form)
        for block in self.blocks:
            block.__class__ = Hookless


@fault
class HasAScalar(Transformer):
    def __init__(self, settings: TransformerSettings, form: str) -> None:
        super().__init__(settings, form)
        self.gain = nn.Parameter(torch.tensor(1.0))

    def forward(self, x_BTD: Tensor, layout: SequenceLayout) -> Tensor:
        return super().forward(x_BTD, layout) * self.gain
