"""Losses over the ids that can occur only; packed equals separate, forward and gradient."""

from __future__ import annotations

import torch

from loretta_framework.sequence.batch import Batch, collate
from loretta_framework.sequence.rows import Segment, TokenRow, build_row
from loretta_framework.testing.small_models import small_model, small_sample, small_vocabulary


def some_rows() -> list[TokenRow]:
    vocabulary = small_vocabulary()
    orders = [("image", "text"), ("text", "speech"), ("speech", "image"), ("text",), ("speech",)]
    rows = []
    for position, names in enumerate(orders * 2):
        sample = small_sample(position, *names)
        made = [
            Segment(name, ids, 0.3 if i == 0 else 1.0) for i, (name, ids) in enumerate(sample.parts)
        ]
        rows.append(build_row(vocabulary, made, sample.key, "causal"))
    return rows


def test_losses_equal_a_slow_loop_over_the_ids_that_can_occur() -> None:
    model = small_model().eval()
    batch = collate(some_rows(), "packed")
    outputs = model(batch)
    assert model.head is not None
    table = model.head.weight
    for b, t in (batch.weights_BT > 0).nonzero().tolist():
        block = model.vocabulary.blocks[int(batch.groups_BT[b, t])]
        ids = list(block.targets)
        logits = torch.stack([outputs.hidden_BTD[b, t] @ table[i] for i in ids])
        wanted = -torch.log_softmax(logits, 0)[ids.index(int(batch.targets_BT[b, t]))]
        torch.testing.assert_close(outputs.nll_BT[b, t], wanted, rtol=1e-4, atol=1e-5)
    assert bool((outputs.nll_BT[batch.weights_BT == 0] == 0).all())


def gradients(batches: list[Batch]) -> tuple[float, dict[str, torch.Tensor]]:
    model = small_model()
    total = torch.zeros(())
    for batch in batches:
        nll_BT = model(batch).nll_BT
        total = total + sum(nats for nats, _ in batch.edge_losses(nll_BT, "causal").values())
    total.backward()
    return float(total.detach()), {
        n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None
    }


def test_packed_gives_the_loss_and_gradients_of_separate_rows() -> None:
    rows = some_rows()
    one, separate = gradients([collate([row]) for row in rows])
    for other, together in (gradients([collate(rows, "packed")]), gradients([collate(rows)])):
        assert abs(one - other) <= 1e-5 * abs(one)
        assert set(separate) == set(together) == {n for n, _ in small_model().named_parameters()}
        for name, gradient in separate.items():
            torch.testing.assert_close(together[name], gradient, rtol=1e-4, atol=1e-4, msg=name)


def test_ids_that_cannot_occur_get_no_gradient_from_a_segment() -> None:
    model = small_model()
    sample = small_sample(1, "text")
    row = build_row(model.vocabulary, [Segment(*sample.parts[0])], objective="causal")
    model(collate([row])).nll_BT.sum().backward()
    assert model.head is not None
    assert model.head.weight.grad is not None
    touched = model.head.weight.grad.abs().sum(dim=1).nonzero().flatten().tolist()
    assert touched == list(model.vocabulary["text"].targets)


def test_tied_embeddings_share_one_table() -> None:
    model = small_model()
    tied = type(model)(model.vocabulary, model.backbone, tie_embeddings=True)
    assert tied.head is None
    hidden = torch.randn(3, 32)
    block = tied.vocabulary["image"]
    wanted = hidden @ tied.embedding.weight[block.targets.start : block.targets.stop].T
    torch.testing.assert_close(tied.logits(hidden, 0), wanted)
