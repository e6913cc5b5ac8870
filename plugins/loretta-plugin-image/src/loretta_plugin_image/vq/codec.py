"""`image.vq`: one token per patch in reading order, from a codec that the fit trains.

Torch is imported by the first `fit`, `load`, `encode` or `decode`. Axes: H rows, W columns, C
channels, T tokens.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loretta_framework.api import FloatArray, IntArray, checked_ids, write_bytes_atomically
from loretta_plugin_image.sheet import pairs_sheet
from loretta_plugin_image.vq.settings import VqSettings
from loretta_plugin_image.warped import WarpedModality

if TYPE_CHECKING:
    from loretta_plugin_image.vq.network import Codec

WEIGHTS_FILE = "codec.safetensors"
ABOUT_FILE = "codec.json"
SHEET_FILE = "reconstructions.png"

_ARCHITECTURE = ("height", "width", "channels", "patch", "codebook_size", "hidden", "blocks")


class Vq(WarpedModality):
    """A `protocols.FittedTokenizer` and `protocols.Augmenting`.

    The class is its own factory and needs no context. It holds the weights as arrays; the network
    is made of them in each process that needs it.
    """

    def __init__(self, settings: VqSettings, context: object = None) -> None:
        super().__init__(settings, settings.augment)
        self._settings = settings
        self._weights: Mapping[str, Any] = {}
        self._sheet = b""
        self._network: Codec | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_network": None}

    def fit(self, values: Iterable[FloatArray], seed: int) -> Mapping[str, float]:
        """Train the codec on images, and on a changed copy of each when `augment` is set.

        Returns:
            `images` drawn from the values; of those `held_out` (0: there were too few, and the
            other figures are of images that the fit saw): `psnr_db` of the reconstructions in
            decibels, `explained` (part of the variance that survives, 1 is best), `codes_used` and
            their `perplexity` (the number of equally frequent codes that would tell as much).

        Raises:
            ValueError: there are no images, one is not a value, or the training diverged.
            MissingDependencyError: vector-quantize-pytorch is not installed.
        """
        from loretta_plugin_image.vq.training import fit_codec

        found = fit_codec(map(self.checked, values), self._settings, seed)
        self._weights, self._network = found.weights, None
        self._sheet = pairs_sheet(found.shown)
        return found.figures

    def save(self, directory: Path) -> None:
        """Write the weights (safetensors), what they mean (JSON) and a picture of what they do.

        Raises `ValueError` before the fit.
        """
        from safetensors.numpy import save

        files = {
            WEIGHTS_FILE: save(dict(self._fitted())),
            SHEET_FILE: self._sheet,
            ABOUT_FILE: json.dumps(self._about(), indent=1).encode(),
        }
        directory.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_bytes_atomically(directory / name, data)

    def load(self, directory: Path) -> None:
        """Read what `save` wrote.

        Raises:
            ValueError: a file is missing or damaged, or belongs to other settings.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            about = json.loads((directory / ABOUT_FILE).read_bytes())
            weights = load((directory / WEIGHTS_FILE).read_bytes())
            sheet = (directory / SHEET_FILE).read_bytes()
        except (OSError, ValueError, SafetensorError) as error:
            raise ValueError(f"{directory}: the codec cannot be read: {error}") from error
        if about != self._about():
            text = f"was fitted for {about}, but the settings ask for {self._about()}; fit it again"
            raise ValueError(f"{directory}: the codec {text}")
        self._network = self._made(weights, directory)
        self._weights, self._sheet = weights, sheet

    def encode(self, value: FloatArray) -> IntArray:
        """int64 (T,): codes in reading order. Raises `ValueError` for no value or before the fit."""
        value_CHW = np.ascontiguousarray(self.checked(value).transpose(2, 0, 1))
        codec = self._codec()
        import torch

        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            ids_T = codec.encode(torch.from_numpy(value_CHW)[None]).flatten()
        ids: IntArray = ids_T.numpy()
        return ids

    def decode(self, ids: IntArray) -> FloatArray:
        """The image.

        Raises:
            ValueError: not fitted, or ids are too few, too many or out of range.
        """
        bounds = self._settings.bounds()
        ids_T = checked_ids(ids, bounds.vocab_size)
        if len(ids_T) != bounds.max_tokens:
            text = f"must have {bounds.max_tokens} tokens, but has {len(ids_T)}"
            raise ValueError(f"an image {text}")
        codec = self._codec()
        import torch

        ids_1RS = torch.from_numpy(ids_T.reshape(1, *self._settings.grid))
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            image_CHW = codec.decode(ids_1RS)[0]
        return np.ascontiguousarray(image_CHW.permute(1, 2, 0).numpy())

    def _fitted(self) -> Mapping[str, Any]:
        if not self._weights:
            raise ValueError("the tokenizer must be fitted or loaded before it is used")
        return self._weights

    def _codec(self) -> Codec:
        if self._network is None:
            self._network = self._made(self._fitted(), Path())
        return self._network

    def _made(self, weights: Mapping[str, Any], directory: Path) -> Codec:
        """The network with these weights. Raises `ValueError` when they do not fit."""
        import torch

        from loretta_plugin_image.vq.network import Codec

        with torch.random.fork_rng(devices=[]):
            codec = Codec(self._settings)
        try:
            codec.load_state_dict({name: torch.from_numpy(x) for name, x in weights.items()})
        except RuntimeError as error:
            raise ValueError(f"{directory}: the codec's weights do not fit: {error}") from error
        if not all(bool(value.isfinite().all()) for value in codec.state_dict().values()):
            raise ValueError(f"{directory}: the codec's weights must be finite")
        return codec.eval()

    def _about(self) -> dict[str, Any]:
        settings = self._settings.model_dump(mode="json", include=set(_ARCHITECTURE))
        return {"component": "image.vq", **settings}
