"""Sound for loretta-framework: registers its components. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

from loretta_framework.api import ModalityCapabilities, ModalitySpec, hookimpl

_SOUNDS = ("wav", "flac", "ogg")


@hookimpl
def register_modalities(register: Callable[[ModalitySpec], None]) -> None:
    """Sound as codes of its mel spectrogram, as samples, and as cepstral coefficients."""
    register(
        ModalitySpec(
            name="audio.mel_codes",
            version=1,
            summary="Sound as k-means codes of its log-mel spectrogram; Griffin-Lim on the way out.",
            settings="loretta_plugin_audio.settings:MelCodesSettings",
            factory="loretta_plugin_audio.mel_codes:MelCodes",
            trial="loretta_plugin_audio.trials:MEL_CODES",
            capabilities=ModalityCapabilities(fitted=True, extensions=_SOUNDS),
        )
    )
    register(
        ModalitySpec(
            name="audio.mulaw",
            version=1,
            summary="Sound as samples in mu-law codes: nothing to fit, and many tokens.",
            settings="loretta_plugin_audio.settings:MulawSettings",
            factory="loretta_plugin_audio.mulaw:Mulaw",
            trial="loretta_plugin_audio.trials:MULAW",
            capabilities=ModalityCapabilities(extensions=_SOUNDS),
        )
    )
    register(
        ModalitySpec(
            name="audio.mfcc_bytes",
            version=1,
            summary="Sound as bytes of its MFCC features, as SVL-MNIST has spoken digits.",
            settings="loretta_plugin_audio.settings:MfccBytesSettings",
            factory="loretta_plugin_audio.mfcc_bytes:MfccBytes",
            trial="loretta_plugin_audio.trials:MFCC_BYTES",
            capabilities=ModalityCapabilities(fitted=True, extensions=("npy", *_SOUNDS)),
        )
    )
