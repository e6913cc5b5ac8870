"""What an objective is handed and what it returns: samples, segments, rows. Numpy only.

Axes: T positions that predict, so a sequence of T + 1 ids has T inputs and T targets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from loretta_framework.api.protocols import FloatArray, IntArray

Content: TypeAlias = "IntArray | FloatArray"
"""What a sample holds of a modality: int64 ids (T,) local to it, without class and end; or, of a
continuous modality, the float32 features of one value as its `preprocess` gives them."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One modality's part of a sequence.

    Attributes:
        modality: recipe name.
        content: its ids, or its features.
        weight: factor on the loss of its tokens; 0 for what the model itself made up. Of no effect
            on a continuous modality, which has nothing to predict.
        generated: the model made it up; such tokens are counted in the metrics.
    """

    modality: str
    content: Content
    weight: float = 1.0
    generated: bool = False


@dataclass(frozen=True, slots=True)
class TokenizedSample:
    """A sample after its tokenizers ran. A modality that it lacks is simply not there.

    Attributes:
        key: "<set name>/<sample key>", unique among sets.
        parts: (modality, content) in order; a modality may occur more than once.
        position: place in the objective's stream; with the key it names every draw.
        ordered: the order of parts was given by the sample and carries meaning.
        label: class name for evaluation, None when the set declares none.
    """

    key: str
    parts: tuple[tuple[str, Content], ...]
    position: int = 0
    ordered: bool = False
    label: str | None = None

    @property
    def modalities(self) -> frozenset[str]:
        """What it has."""
        return frozenset(name for name, _ in self.parts)

    def tokens(self, modality: str) -> Content:
        """The first part of that modality. Raises `KeyError` when it lacks it."""
        for name, content in self.parts:
            if name == modality:
                return content
        raise KeyError(modality)


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A sequence ready for batching; all arrays (T,).

    Attributes:
        sample: key of the sample it came from.
        ids_T: inputs, global ids.
        places_T: row of the learned position-in-segment table.
        targets_T: next ids.
        weights_T: float32 loss weight of each target; 0 for class ids, pseudo tokens and features.
        groups_T: index into the id groups: which ids can occur at the target (`id_groups`).
        edges_T: index into `edges`, -1 where the weight is 0.
        edges: the directed edges of this row.
        objective: name of the task that made it.
        features: (modality, features) of each continuous segment, in order; `ids_T` holds its
            feature id once for each of its vectors.
        generated: how many of `ids_T` belong to generated segments, class and end ids counted.
    """

    sample: str
    ids_T: IntArray
    places_T: IntArray
    targets_T: IntArray
    weights_T: FloatArray
    groups_T: IntArray
    edges_T: IntArray
    edges: tuple[str, ...]
    objective: str = ""
    features: tuple[tuple[str, FloatArray], ...] = ()
    generated: int = 0

    def __len__(self) -> int:
        return len(self.ids_T)
