"""Reads a network's weights from a safetensors file and says what does not fit."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from loretta_framework.api import InputError

_FIX = "take the file of this very network (safetensors), with channels: 3 if it was trained on colours"


def read_weights(path: str, body: Any, classifier: str | Sequence[str] | None) -> None:
    """Load the file into a network of timm, its classifier left out.

    Positions of another image size are interpolated as timm does it.

    Args:
        path: the file.
        body: the network, without a classifier.
        classifier: names of the layers that the file has and the network has not.

    Raises:
        InputError: the file cannot be read, or a tensor is missing, unknown or of another shape.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"the weights cannot be read: {error}", where=path, fix="name a safetensors file"
        ) from error
    layers = (classifier,) if isinstance(classifier, str) else tuple(classifier or ())
    dropped = tuple(f"{layer}." for layer in layers)
    state = {name: value for name, value in state.items() if not name.startswith(dropped)}
    # Each family of networks has such a function; timm's own loading calls it.
    adapt = getattr(sys.modules[type(body).__module__], "checkpoint_filter_fn", None)
    try:
        state = adapt(state, body) if adapt else state
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"the weights are not those of this network: {reason}", where=path, fix=_FIX
        ) from error
    faults = _faults(body.state_dict(), state)
    if faults:
        raise InputError(
            f"the weights are not those of this network: {'; '.join(faults)}", where=path, fix=_FIX
        )
    body.load_state_dict(state)


def _faults(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """What is wrong, one phrase for each kind of fault with its first example."""
    missing = sorted(wanted.keys() - found.keys())
    unknown = sorted(found.keys() - wanted.keys())
    other = [
        f"{name} must be {tuple(wanted[name].shape)}, but is {tuple(found[name].shape)}"
        for name in sorted(wanted.keys() & found.keys())
        if wanted[name].shape != found[name].shape
    ]
    kinds = (("missing", missing), ("unknown", unknown), ("of another shape", other))
    return [f"{len(names)} are {kind} ({names[0]})" for kind, names in kinds if names]
