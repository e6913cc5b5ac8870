"""`video.vq`: one learned code for each block of frames, rows and columns.

Axes: F frames, H rows, W columns, C channels, T tokens in the order of the grid.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api import (
    IntArray,
    checked_ids,
    write_bytes_atomically,
    write_json_atomically,
)
from loretta_plugin_video.clips import Clip, Clips
from loretta_plugin_video.picture import png
from loretta_plugin_video.settings import VqSettings

if TYPE_CHECKING:
    from loretta_plugin_video.network import Network

ABOUT_FILE = "vq.json"
WEIGHTS_FILE = "vq.safetensors"
PICTURE_FILE = "reconstructions.png"
SHAPING = ("frames", "height", "width", "channels", "downsample", "levels", "hidden", "max_hidden")


class Vq(Clips):
    """A tokenizer with weights of its own; torch is imported by `fit`, `load` and what follows."""

    def __init__(self, settings: VqSettings, context: object = None) -> None:
        super().__init__(settings)
        self._settings = settings
        self._weights: dict[str, NDArray[np.float32]] = {}
        self._figures: Mapping[str, float] = {}
        self._picture: NDArray[np.uint8] | None = None
        self._network: Network | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_network": None}

    def fit(self, values: Iterable[Clip], seed: int) -> Mapping[str, float]:
        """Train the network.

        Returns:
            `psnr_db` of reconstructions, `codes_used` and `perplexity` (how many codes there were if
            all occurred alike), of the first 32 clips (`judged`); `clips` looked at, and `loss`.

        Raises:
            ValueError: there are no clips, or training diverged.
        """
        from loretta_plugin_video.training import learn

        learned = learn(values, self._settings, seed)
        self._weights, self._figures = learned.weights, learned.figures
        self._picture, self._network = learned.picture_HWC, None
        return learned.figures

    def encode(self, value: Clip) -> IntArray:
        """int64 (T,). Raises `ValueError` when it is no clip, or before the fit."""
        clip_FHWC = self._checked(value)
        network = self._ready()
        import torch

        from loretta_plugin_video.network import as_input

        with torch.inference_mode():
            ids_T: IntArray = network.ids(as_input(clip_FHWC[None]))[0].numpy()
        return ids_T

    def decode(self, ids: IntArray) -> Clip:
        """uint8 (F, H, W, C). Raises `ValueError` for ids out of range or of another number."""
        bounds = self._settings.bounds()
        ids_T = checked_ids(ids, bounds.vocab_size)
        if len(ids_T) != bounds.max_tokens:
            raise ValueError(f"there must be {bounds.max_tokens} ids, but are {len(ids_T)}")
        network = self._ready()
        import torch

        from loretta_plugin_video.network import as_clips

        with torch.inference_mode():
            clip_FHWC: Clip = as_clips(network.clips(torch.from_numpy(ids_T)[None]))[0]
        return clip_FHWC

    def save(self, directory: Path) -> None:
        """Write weights, figures, and `reconstructions.png`: frames, and below them what came back.

        Raises:
            ValueError: it is not fitted.
        """
        if not self._weights:
            raise ValueError("the tokenizer must be fitted before it is saved")
        from safetensors.numpy import save

        directory.mkdir(parents=True, exist_ok=True)
        write_bytes_atomically(directory / WEIGHTS_FILE, save(self._weights))
        if self._picture is not None:
            write_bytes_atomically(directory / PICTURE_FILE, png(self._picture))
        about = {"settings": self._shaping(), "figures": dict(self._figures)}
        write_json_atomically(directory / ABOUT_FILE, about)

    def load(self, directory: Path) -> None:
        """Read what `save` wrote.

        Raises:
            ValueError: a file is missing or damaged, or belongs to other settings.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            about = json.loads((directory / ABOUT_FILE).read_text("utf-8"))
            arrays = load((directory / WEIGHTS_FILE).read_bytes())
            found, figures = about["settings"], about["figures"]
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ValueError(f"{directory}: the tokenizer cannot be read: {error}") from error
        if found != self._shaping():
            text = f"it was fitted for {found}, but the settings ask for {self._shaping()}"
            raise ValueError(f"{directory}: {text}; fit it again")
        network = self._built(arrays, str(directory / WEIGHTS_FILE))
        self._weights, self._figures, self._network = arrays, figures, network
        self._picture = None

    def _shaping(self) -> dict[str, Any]:
        dumped: dict[str, Any] = self._settings.model_dump(mode="json", include=set(SHAPING))
        return dumped

    def _ready(self) -> Network:
        if not self._weights:
            raise ValueError("the tokenizer must be fitted or loaded before it is used")
        if self._network is None:
            self._network = self._built(self._weights, "the weights")
        return self._network

    def _built(self, weights: Mapping[str, NDArray[np.float32]], where: str) -> Network:
        """The network with these weights. Raises `ValueError` when they do not fit."""
        import torch

        from loretta_plugin_video.training import seeded

        network = seeded(self._settings, 0)
        wanted = {name: (tuple(t.shape), "float32") for name, t in network.state_dict().items()}
        given = {name: (array.shape, str(array.dtype)) for name, array in weights.items()}
        if wanted != given:
            differing = sorted(set(wanted.items()) ^ set(given.items()))[:2]
            raise ValueError(f"{where}: it must hold the weights of these settings: {differing}")
        if not all(np.isfinite(array).all() for array in weights.values()):
            raise ValueError(f"{where}: the weights must be finite")
        network.load_state_dict(
            {name: torch.from_numpy(array.copy()) for name, array in weights.items()}
        )
        return network.eval()
