"""The quantiser that a codec trains with: vector-quantize-pytorch's."""

from __future__ import annotations

from typing import Any

from loretta_framework.api import MissingDependencyError
from loretta_plugin_image.vq.network import NUMBERS
from loretta_plugin_image.vq.settings import VqSettings

INSTALL = "pip install 'loretta-plugin-image[vq]'"

_RARE = 0.3


def quantiser_class() -> Any:
    """The package's `VectorQuantize`.

    Raises:
        MissingDependencyError: it is not installed, or cannot be imported.
    """
    try:
        from vector_quantize_pytorch import VectorQuantize
    except ImportError as error:
        raise MissingDependencyError(
            f"fitting 'image.vq' needs vector-quantize-pytorch, which cannot be imported: {error}",
            fix=INSTALL,
        ) from error
    return VectorQuantize


def new_quantiser(kind: Any, settings: VqSettings) -> Any:
    """A quantiser of that class for vectors (N, L, R, S): gives them quantised, ids, and a loss.

    Codes start at centroids of the first vectors, follow running means of those they stand for, and
    move to one of the vectors when they are used less than a third as often as the average.
    """
    tokens = settings.batch * settings.bounds().max_tokens
    return kind(
        dim=NUMBERS,
        codebook_size=settings.codebook_size,
        decay=0.9,
        commitment_weight=0.025,
        kmeans_init=True,
        threshold_ema_dead_code=_RARE * tokens / settings.codebook_size,
        accept_image_fmap=True,
        # In a run over several processes one of them fits, and must not wait for the others.
        sync_codebook=False,
        sync_kmeans=False,
    )
