"""A network of timm behind one form: images in 0..1 to vectors.

Axes: N images, C channels, H rows, W columns, T vectors, D width of a vector.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from loretta_framework.api import InputError, import_guarded, nearest
from loretta_plugin_image.encoder.settings import TimmSettings
from loretta_plugin_image.encoder.weights import read_weights

INSTALL = "pip install 'loretta-plugin-image[timm]'"


class TimmNetwork(nn.Module):
    """A `protocols.EncoderNetwork`: (N, C, H, W) in 0..1 -> (N, T, D). Nothing is ever downloaded.

    Attributes:
        width: D.

    Raises:
        MissingDependencyError: timm is not installed, or cannot be imported.
        InputError: the settings do not fit the network; the sentence says what would.
    """

    mean_C11: Tensor
    std_C11: Tensor

    def __init__(self, settings: TimmSettings) -> None:
        super().__init__()
        self._pooled, self._frozen = settings.vectors == "pooled", settings.freeze
        timm = import_guarded("timm", INSTALL)
        config = _config(timm, settings.model)
        self.body = _body(timm, config, settings)
        for name in ("mean", "std"):
            numbers = getattr(settings, name) or _per_channel(config, name, settings.channels)
            buffer = torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1)
            self.register_buffer(f"{name}_C11", buffer, persistent=False)
        self.width = self._tried(settings)
        if settings.freeze:
            self.body.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> TimmNetwork:
        """As of every module; a frozen body stays in evaluation mode."""
        super().train(mode)
        if self._frozen:
            self.body.eval()
        return self

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Images in 0..1 -> (N, T, D)."""
        normal_NCHW = (x_NCHW - self.mean_C11) / self.std_C11
        made: Tensor = self.body.forward_features(normal_NCHW)
        made = self.body.forward_head(made, pre_logits=True)
        if self._pooled:
            return made.flatten(1)[:, None]
        if made.ndim == 4:
            last = getattr(self.body, "output_fmt", "NCHW") == "NHWC"
            return made.flatten(1, 2) if last else made.flatten(2).transpose(1, 2)
        if made.ndim != 3:
            raise ValueError(f"its output has {made.ndim} axes; it may do with vectors: pooled")
        # Class and register tokens stand before those of the patches.
        return made[:, getattr(self.body, "num_prefix_tokens", 0) :]

    @torch.no_grad()
    def _tried(self, settings: TimmSettings) -> int:
        """Width of the vectors, after a look at how many there are."""
        size = (1, settings.channels, settings.height, settings.width)
        device = next(self.body.parameters()).device
        try:
            made_1TD = self.eval()(torch.zeros(size, device=device))
        except Exception as error:  # in as many ways as there are networks
            raise _misfit(settings, error) from error
        found, wanted = made_1TD.shape[1], settings.bounds().max_tokens
        if found != wanted:
            raise InputError(
                f"tokens must be {found}, the number of vectors that '{settings.model}' makes of "
                f"{settings.height} x {settings.width} pixels, but is {wanted}",
                where="image.timm",
                fix=f"set tokens: {found}",
            )
        return int(made_1TD.shape[2])


def _config(timm: Any, name: str) -> Any:
    if not timm.is_model(name):
        raise InputError(
            f"timm {timm.__version__} has no network '{name}'{nearest(name, timm.list_models())}",
            where="image.timm",
            fix="python -c 'import timm; print(timm.list_models())' lists them",
        )
    return timm.get_pretrained_cfg(name) or timm.models.PretrainedCfg()


def _body(timm: Any, config: Any, settings: TimmSettings) -> Any:
    options: dict[str, Any] = {"in_chans": settings.channels}
    if config.fixed_input_size:
        options["img_size"] = (settings.height, settings.width)
    try:
        body = timm.create_model(settings.model, pretrained=False, num_classes=0, **options)
    except Exception as error:  # asserts, and whatever a layer of size 0 raises
        raise _misfit(settings, error) from error
    _require_whole_patches(body, settings)
    if settings.weights is not None:
        read_weights(settings.weights, body, config.classifier)
    if settings.vectors == "patches":
        try:
            body.reset_classifier(0, global_pool="")
        except Exception as error:
            raise _misfit(settings, error) from error
    return body


def _require_whole_patches(body: Any, settings: TimmSettings) -> None:
    """Many networks would leave out the pixels of a patch that is cut off, and not say so."""
    side = getattr(getattr(body, "patch_embed", None), "patch_size", None) or 1
    sides = (side, side) if isinstance(side, int) else tuple(side)
    if settings.height % sides[0] or settings.width % sides[1]:
        raise InputError(
            f"height and width must be multiples of the {sides[0]} x {sides[1]} pixels of a patch of "
            f"'{settings.model}', but are {settings.height} x {settings.width}",
            where="image.timm",
            fix="change height and width, or the model",
        )


def _misfit(settings: TimmSettings, error: Exception) -> InputError:
    reason = str(error) or type(error).__name__
    return InputError(
        f"'{settings.model}' cannot make vectors: {settings.vectors} of {settings.channels} channels "
        f"of {settings.height} x {settings.width} pixels: {reason}",
        where="image.timm",
        fix="change height and width, vectors, or the model",
    )


def _per_channel(config: Any, name: str, channels: int) -> tuple[float, ...]:
    """The network's own numbers; a grey image has their average."""
    numbers = tuple(float(number) for number in getattr(config, name))
    return numbers if len(numbers) == channels else (sum(numbers) / len(numbers),) * channels
