"""All that a plugin may import. Importing it brings neither torch nor pydantic."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from loretta_framework.api.atomic import (
        write_bytes_atomically as write_bytes_atomically,
        write_json_atomically as write_json_atomically,
    )
    from loretta_framework.api.codebook import (
        Codebook as Codebook,
    )
    from loretta_framework.api.errors import (
        InputError as InputError,
        LorettaError as LorettaError,
        MissingDependencyError as MissingDependencyError,
        PluginError as PluginError,
        UserError as UserError,
        nearest as nearest,
    )
    from loretta_framework.api.guarded import (
        import_guarded as import_guarded,
    )
    from loretta_framework.api.hooks import (
        hookimpl as hookimpl,
    )
    from loretta_framework.api.ids import (
        checked_ids as checked_ids,
    )
    from loretta_framework.api.layout import (
        PADDING as PADDING,
        SequenceLayout as SequenceLayout,
    )
    from loretta_framework.api.masks import (
        document_mask as document_mask,
    )
    from loretta_framework.api.norms import (
        RMSNorm as RMSNorm,
    )
    from loretta_framework.api.objectives import (
        Batch as Batch,
        NextTokenLoss as NextTokenLoss,
        ObjectiveBuildContext as ObjectiveBuildContext,
        ObjectiveContext as ObjectiveContext,
        RolloutRequest as RolloutRequest,
    )
    from loretta_framework.api.protocols import (
        Artifact as Artifact,
        Backbone as Backbone,
        BuildContext as BuildContext,
        Cache as Cache,
        Decoder as Decoder,
        DecoderNetwork as DecoderNetwork,
        EdgeLosses as EdgeLosses,
        Encoder as Encoder,
        EncoderNetwork as EncoderNetwork,
        FittedTokenizer as FittedTokenizer,
        FloatArray as FloatArray,
        IntArray as IntArray,
        Modality as Modality,
        Outputs as Outputs,
        Tokenizer as Tokenizer,
    )
    from loretta_framework.api.random import (
        generator as generator,
    )
    from loretta_framework.api.rows import (
        Segment as Segment,
        TokenizedSample as TokenizedSample,
        TokenRow as TokenRow,
    )
    from loretta_framework.api.settings import (
        ComponentNode as ComponentNode,
        ModalitySettings as ModalitySettings,
        ObjectiveSettings as ObjectiveSettings,
        Settings as Settings,
        TaskSchedule as TaskSchedule,
    )
    from loretta_framework.api.specs import (
        BackboneCapabilities as BackboneCapabilities,
        BackboneSpec as BackboneSpec,
        Bounds as Bounds,
        CallbackSpec as CallbackSpec,
        EvaluatorSpec as EvaluatorSpec,
        Kernel as Kernel,
        ModalityCapabilities as ModalityCapabilities,
        ModalitySpec as ModalitySpec,
        ObjectiveCapabilities as ObjectiveCapabilities,
        ObjectiveSpec as ObjectiveSpec,
        SourceSpec as SourceSpec,
    )
    from loretta_framework.api.trials import (
        Trial as Trial,
    )
    from loretta_framework.api.version import (
        API_VERSION as API_VERSION,
    )

_ROOMS: dict[str, str] = {
    "API_VERSION": "version",
    "Artifact": "protocols",
    "Backbone": "protocols",
    "BackboneCapabilities": "specs",
    "BackboneSpec": "specs",
    "Batch": "objectives",
    "Bounds": "specs",
    "BuildContext": "protocols",
    "Cache": "protocols",
    "CallbackSpec": "specs",
    "Codebook": "codebook",
    "ComponentNode": "settings",
    "Decoder": "protocols",
    "DecoderNetwork": "protocols",
    "EdgeLosses": "protocols",
    "Encoder": "protocols",
    "EncoderNetwork": "protocols",
    "EvaluatorSpec": "specs",
    "FittedTokenizer": "protocols",
    "FloatArray": "protocols",
    "InputError": "errors",
    "IntArray": "protocols",
    "Kernel": "specs",
    "LorettaError": "errors",
    "MissingDependencyError": "errors",
    "Modality": "protocols",
    "ModalityCapabilities": "specs",
    "ModalitySettings": "settings",
    "ModalitySpec": "specs",
    "NextTokenLoss": "objectives",
    "ObjectiveBuildContext": "objectives",
    "ObjectiveCapabilities": "specs",
    "ObjectiveContext": "objectives",
    "ObjectiveSettings": "settings",
    "ObjectiveSpec": "specs",
    "Outputs": "protocols",
    "PADDING": "layout",
    "PluginError": "errors",
    "RMSNorm": "norms",
    "RolloutRequest": "objectives",
    "Segment": "rows",
    "SequenceLayout": "layout",
    "Settings": "settings",
    "SourceSpec": "specs",
    "TaskSchedule": "settings",
    "TokenRow": "rows",
    "TokenizedSample": "rows",
    "Tokenizer": "protocols",
    "Trial": "trials",
    "UserError": "errors",
    "checked_ids": "ids",
    "document_mask": "masks",
    "generator": "random",
    "hookimpl": "hooks",
    "import_guarded": "guarded",
    "nearest": "errors",
    "write_bytes_atomically": "atomic",
    "write_json_atomically": "atomic",
}

__all__ = sorted(_ROOMS)


def __getattr__(name: str) -> Any:
    """Import the public name from its room on first use."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)
