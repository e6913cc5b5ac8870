"""What is asked of a generation, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from loretta_framework.api.errors import InputError
from loretta_framework.generation.guidance import Guidance, variants_of
from loretta_framework.generation.sampling import Sampling, samplings
from loretta_framework.inference.given import require, require_predicted, told

if TYPE_CHECKING:
    from loretta_framework.inference.loaded import LoadedModel


@dataclass(frozen=True, slots=True)
class Wish:
    """What is generated, and how.

    Attributes:
        path: modalities to generate one after the other; the last is the one asked for.
        sampling: by modality of the path.
        guidance: see `generation.guidance`.
        keep_ancestors: whether each is conditioned on all before it, not on the last alone.
        best_of: candidates per sample.
        seed: another one gives other samples.
    """

    path: tuple[str, ...]
    sampling: Mapping[str, Sampling]
    guidance: Guidance | None
    keep_ancestors: bool
    best_of: int
    seed: int


def wish_of(
    loaded: LoadedModel,
    to: str,
    *,
    via: Sequence[str],
    temperature: float | Mapping[str, float],
    top_k: int | None,
    top_p: float | None,
    min_p: float | None,
    guidance: Guidance | None,
    keep_ancestors: bool,
    best_of: int,
    seed: int,
) -> Wish:
    """Check a wish; see `LoadedModel.generate`.

    Raises:
        InputError: a modality is unknown or continuous, or a number is out of its range.
    """
    if isinstance(via, str):
        raise InputError(f"via must be a list of modalities, but is '{via}'", fix=f"give ['{via}']")
    path = (*via, to)
    for modality in path:
        require_predicted(loaded, modality)
    require(best_of >= 1, f"best_of must be 1 or more, but is {best_of}")
    for modality in temperature if isinstance(temperature, Mapping) else ():
        require(
            modality in path,
            f"a temperature must be of a modality that is generated, but '{modality}' is not",
        )
    with told():
        variants_of(guidance)
        sampling = samplings(path, temperature, top_k, top_p, min_p)
    return Wish(path, sampling, guidance, keep_ancestors, best_of, seed)
