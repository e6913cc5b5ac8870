"""Start from another model's weights, also when the vocabulary has grown or changed its order."""

from __future__ import annotations

from collections.abc import Mapping, Set as AbstractSet

import torch
from torch import Tensor

from loretta_framework.api.errors import RunDirectoryError
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.rows import place_table
from loretta_framework.sequence.vocabulary import FIRST_BLOCK, Vocabulary

_ID_TABLES = ("embedding.weight", "head.weight")
_NETWORKS = ("encoders", "projectors")
_PLACE_TABLE = "places.weight"


@torch.no_grad()
def initialise(
    model: AnyToAny,
    tensors: Mapping[str, Tensor],
    old: Vocabulary,
    where: str,
    fresh: AbstractSet[str] = frozenset(),
) -> list[str]:
    """Copy weights in; rows of the id tables go by modality name. Returns the modalities kept.

    A modality that the old model lacks, or that `fresh` names, keeps its fresh rows and network.

    Raises:
        RunDirectoryError: a tensor is missing, superfluous or of another shape.
    """
    names = [name for name in model.vocabulary.modalities if name not in fresh]
    kept = [name for name in names if _same(model, old, name)]
    own, tensors = (
        {name: tensor for name, tensor in all_.items() if _owner(name) in (None, *kept)}
        for all_ in (model.state_dict(), tensors)
    )
    if set(own) != set(tensors):
        missing, extra = sorted(set(own) - set(tensors)), sorted(set(tensors) - set(own))
        raise RunDirectoryError(
            f"the weights do not fit this model: missing {missing[:3]}, superfluous {extra[:3]}",
            where=where,
            fix="use the backbone and model sections that the weights were trained with",
        )
    for name, parameter in own.items():
        source = tensors[name]
        if name in _ID_TABLES:
            parameter[:FIRST_BLOCK] = source[:FIRST_BLOCK]
            for modality in kept:
                new_block, old_block = model.vocabulary[modality], old[modality]
                parameter[new_block.start : new_block.stop] = source[
                    old_block.start : old_block.stop
                ]
        elif name == _PLACE_TABLE:
            new_places, old_places = place_table(model.vocabulary), place_table(old)
            parameter[0] = source[0]  # padding and reserved ids
            for modality in kept:
                count = old[modality].segment_length
                first, old_first = new_places[modality], old_places[modality]
                parameter[first : first + count] = source[old_first : old_first + count]
        elif parameter.shape != source.shape:
            raise RunDirectoryError(
                f"'{name}' must have shape {tuple(parameter.shape)}, but has {tuple(source.shape)}",
                where=where,
                fix="use the backbone settings that the weights were trained with",
            )
        else:
            parameter.copy_(source)
    return kept


def _owner(parameter: str) -> str | None:
    """The modality whose own network a parameter belongs to."""
    part, _, rest = parameter.partition(".")
    return rest.partition(".")[0] if part in _NETWORKS else None


def _same(model: AnyToAny, old: Vocabulary, modality: str) -> bool:
    if modality not in old.modalities:
        return False
    new_block, old_block = model.vocabulary[modality], old[modality]
    sizes = ("vocab_size", "min_tokens", "max_tokens", "slots")
    return all(getattr(new_block, size) == getattr(old_block, size) for size in sizes)
