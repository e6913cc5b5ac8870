"""Embeddings, backbone and heads: ids in, per-position losses or logits out.

B rows, T tokens, N selected positions, D width, V ids, G ids of a group.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from loretta_framework.api.protocols import Backbone, Outputs
from loretta_framework.sequence.batch import Batch
from loretta_framework.sequence.groups import IdGroup, id_groups
from loretta_framework.sequence.rows import place_table
from loretta_framework.sequence.vocabulary import Vocabulary


class AnyToAny(nn.Module):
    """One causal model over the joint vocabulary.

    Args:
        vocabulary: id blocks; decides table sizes and id groups.
        backbone: a torch module that is a `protocols.Backbone`.
        segment_positions: add a learned embedding of the place within the segment.
        tie_embeddings: use the embedding as output weights.
        dropout: on the embeddings, in training.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        backbone: Backbone,
        *,
        segment_positions: bool = True,
        tie_embeddings: bool = False,
        dropout: float = 0.0,
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
                nn.init.normal_(table.weight, std=0.02)

    def embed(self, ids_BT: Tensor, places_BT: Tensor) -> Tensor:
        """(B, T) ids and places -> (B, T, D)."""
        x_BTD = self.embedding(ids_BT)
        if self.places is not None:
            x_BTD = x_BTD + self.places(places_BT)
        dropped: Tensor = self.dropout(x_BTD)
        return dropped

    def logits(self, hidden_ND: Tensor, group: int) -> Tensor:
        """float32 (N, G) over the ids of a group only, in the group's order."""
        table_VD = self.embedding.weight if self.head is None else self.head.weight
        parts = [table_VD[ids.start : ids.stop] for ids in self.groups[group]]
        weight_GD = parts[0] if len(parts) == 1 else torch.cat(parts)
        return functional.linear(hidden_ND, weight_GD).float()

    def local_targets(self, targets_N: Tensor, group: int) -> Tensor:
        """Global ids -> their indices within the group."""
        local_N, before = torch.zeros_like(targets_N), 0
        for ids in self.groups[group]:
            inside_N = (targets_N >= ids.start) & (targets_N < ids.stop)
            local_N = torch.where(inside_N, targets_N - ids.start + before, local_N)
            before += len(ids)
        return local_N

    def nll(self, hidden_BTD: Tensor, batch: Batch) -> Tensor:
        """float32 (B, T), -log p(target) in nats where the weight is not 0, else 0."""
        flat_ND = hidden_BTD.flatten(0, 1)
        groups_N = torch.where(batch.weights_BT > 0, batch.groups_BT, -1).flatten()
        targets_N = batch.targets_BT.flatten()
        nll_N = torch.zeros(len(flat_ND), device=flat_ND.device)
        for group in torch.unique(groups_N).tolist():
            if group < 0:
                continue
            index_n = (groups_N == group).nonzero().squeeze(1)
            logits_nG = self.logits(flat_ND[index_n], group)
            local_n = self.local_targets(targets_N[index_n], group)
            nll_n = functional.cross_entropy(logits_nG, local_n, reduction="none")
            nll_N = nll_N.index_copy(0, index_n, nll_n)
        return nll_N.view_as(batch.weights_BT)

    def forward(self, batch: Batch) -> Outputs:
        """Losses and hidden states of a batch."""
        hidden_BTD = self.backbone(self.embed(batch.ids_BT, batch.places_BT), batch.layout)
        return Outputs(self.nll(hidden_BTD, batch), hidden_BTD)
