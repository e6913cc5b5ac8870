"""Embeddings, backbone and heads: ids in, per-position losses or logits out.

B rows, T tokens, M = B x T, N selected positions or features, D width, V ids, G ids of a group.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from loretta_framework.api.errors import PluginError
from loretta_framework.api.protocols import Backbone, EncoderNetwork, Outputs
from loretta_framework.model.cross_entropy import nll_of
from loretta_framework.model.encoders import ByModality
from loretta_framework.sequence.batch import Batch
from loretta_framework.sequence.groups import IdGroup, id_groups
from loretta_framework.sequence.predicted import moved
from loretta_framework.sequence.rows import place_table
from loretta_framework.sequence.vocabulary import Vocabulary

SMALL = 0.02
"""Standard deviation of fresh output rows: logits begin near 0."""

INPUT = 0.5
"""Standard deviation of a fresh embedding that is not also the output. Blocks begin with outputs of about
this size; rows of 0.02 drown in them and in the places, and which token was read is learned late."""


class AnyToAny(nn.Module):
    """One causal model over the joint vocabulary.

    Args:
        vocabulary: id blocks; decides table sizes and id groups.
        backbone: a torch module that is a `protocols.Backbone`.
        segment_positions: add a learned embedding of the place within the segment.
        tie_embeddings: use the embedding as output weights.
        dropout: on the embeddings, in training.
        encoders: of each continuous modality, a torch module that is a `protocols.EncoderNetwork`.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        backbone: Backbone,
        *,
        segment_positions: bool = True,
        tie_embeddings: bool = False,
        dropout: float = 0.0,
        encoders: Mapping[str, EncoderNetwork] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        assert isinstance(backbone, nn.Module)
        self.vocabulary = vocabulary
        self.groups: tuple[IdGroup, ...] = id_groups(vocabulary)
        self.backbone = backbone
        self.embedding = nn.Embedding(vocabulary.size, backbone.width)
        places = place_table(vocabulary)[""]
        self.places = nn.Embedding(places, backbone.width) if segment_positions else None
        self.head = (
            None if tie_embeddings else nn.Linear(backbone.width, vocabulary.size, bias=False)
        )
        self.dropout = nn.Dropout(dropout)
        for table in (self.embedding, self.places, self.head):
            if table is not None:
                nn.init.normal_(table.weight, std=SMALL)
        if self.head is not None:
            nn.init.normal_(self.embedding.weight, std=INPUT)
        self.encoders = ByModality(encoders)
        self.projectors = ByModality(
            {name: nn.Linear(net.width, backbone.width) for name, net in encoders.items()}
        )

    def embed(
        self,
        ids_BT: Tensor,
        places_BT: Tensor,
        features: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> Tensor:
        """(B, T) ids and places -> (B, T, D); see `Batch.features` for where features go."""
        x_BTD = self.embedding(ids_BT)
        for modality, features_N in features.items():
            vectors_ND = self._encoded(modality, features_N).to(x_BTD).flatten(0, 1)
            here_M = (ids_BT == self.vocabulary[modality].content.start).flatten()
            # Not `masked_scatter`: its backward asks the device how many there are, and waits.
            places_N1 = torch.nonzero_static(here_M, size=len(vectors_ND))
            flat_MD = x_BTD.flatten(0, 1).index_copy(0, places_N1[:, 0], vectors_ND)
            x_BTD = flat_MD.view_as(x_BTD)
        if self.places is not None:
            x_BTD = x_BTD + self.places(places_BT)
        dropped: Tensor = self.dropout(x_BTD)
        return dropped

    def _encoded(self, modality: str, features_N: Tensor) -> Tensor:
        """Features of N values -> (N, T, D)."""
        network = self.encoders[modality]
        vectors = network(features_N)
        wanted = (len(features_N), self.vocabulary[modality].max_tokens, network.width)
        if vectors.shape != wanted:
            raise PluginError(
                f"the network must give vectors of shape {wanted}, but gives {tuple(vectors.shape)}",
                where=f"modalities.{modality}",
                fix="report it to the authors of its plugin, or use another version of it",
            )
        projected: Tensor = self.projectors[modality](vectors)
        return projected

    def logits(self, hidden_ND: Tensor, group: int) -> Tensor:
        """float32 (N, G) over the ids of a group only, in the group's order."""
        return functional.linear(hidden_ND, self._rows(group)).float()

    def _output_table(self) -> Tensor:
        return self.embedding.weight if self.head is None else self.head.weight

    def _rows(self, group: int) -> Tensor:
        """(G, D) rows of the output table of a group."""
        table_VD = self._output_table()
        parts = [table_VD[ids.start : ids.stop] for ids in self.groups[group]]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _rows_of(self, groups: Sequence[int]) -> list[Tensor]:
        """`_rows` of several groups. Slots, perhaps hundreds, are gathered at once: the gradient of
        a slice is as large as the table."""
        slotted = [group for group in groups if group >= 2 * len(self.vocabulary.blocks)]
        if not slotted:
            return [self._rows(group) for group in groups]
        sizes = [sum(map(len, self.groups[group])) for group in slotted]
        ids = [i for group in slotted for part in self.groups[group] for i in part]
        table_VD = self._output_table()
        ids_N = moved(torch.tensor(ids, dtype=torch.int64), table_VD.device)
        gathered = torch.split(functional.embedding(ids_N, table_VD), sizes)
        of_slots = dict(zip(slotted, gathered, strict=True))
        return [of_slots[group] if group in of_slots else self._rows(group) for group in groups]

    def local_targets(self, targets_N: Tensor, group: int) -> Tensor:
        """Global ids -> their indices within the group."""
        first, *others = self.groups[group]
        if not others:
            return targets_N - first.start
        local_N, before = targets_N - first.start, len(first)
        for ids in others:
            inside_N = (targets_N >= ids.start) & (targets_N < ids.stop)
            local_N = torch.where(inside_N, targets_N - ids.start + before, local_N)
            before += len(ids)
        return local_N

    def nll(self, hidden_BTD: Tensor, batch: Batch) -> Tensor:
        """float32 (B, T), -log p(target) in nats where the weight is not 0, else 0."""
        nll_BT = torch.zeros_like(batch.weights_BT)
        predicted = batch.predicted
        if not predicted.groups:
            return nll_BT
        counts, order_N = list(predicted.counts), predicted.order_N
        hidden = torch.split(hidden_BTD.flatten(0, 1).index_select(0, order_N), counts)
        targets = torch.split(batch.targets_BT.flatten().index_select(0, order_N), counts)
        rows = self._rows_of(predicted.groups)
        parts = [
            nll_of(hidden_nD, weight_GD, self.local_targets(targets_n, group))
            for group, hidden_nD, targets_n, weight_GD in zip(
                predicted.groups, hidden, targets, rows, strict=True
            )
        ]
        nll_N = torch.cat(parts)
        return nll_BT.flatten().index_copy(0, order_N, nll_N).view_as(nll_BT)

    def forward(self, batch: Batch) -> Outputs:
        """Losses and hidden states of a batch."""
        x_BTD = self.embed(batch.ids_BT, batch.places_BT, batch.features)
        hidden_BTD = self.backbone(x_BTD, batch.layout)
        return Outputs(self.nll(hidden_BTD, batch), hidden_BTD)
