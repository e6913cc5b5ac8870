"""The class of every leaf of the recipe's schema when a run is resumed.

Refused is what gives saved state or data order another meaning; noted is what changes the rest of
the run; harmless is what training does not see. A leaf that is missing here counts as refused, so
that a new setting can never slip into a resumed run unseen.
"""

from __future__ import annotations

from typing import Literal

Severity = Literal["refused", "noted", "harmless"]

REFUSED: Severity = "refused"
NOTED: Severity = "noted"
HARMLESS: Severity = "harmless"

_TRAIN_SET: dict[str, Severity] = {
    "name": REFUSED,
    "shards": NOTED,  # a moved data set is the same data; its contents are compared by digest
    "modalities": REFUSED,
    "share": REFUSED,
    "max_epochs": REFUSED,
    "missing": REFUSED,
    "label": HARMLESS,
    "source": REFUSED,
    "source.kind": REFUSED,
    "source.settings": REFUSED,
}

LEAVES: dict[str, Severity] = {
    "schema_version": NOTED,
    "name": HARMLESS,
    "base": HARMLESS,
    "requires": HARMLESS,
    "allow_disconnected": HARMLESS,
    "modalities.*.kind": REFUSED,
    "modalities.*.settings": REFUSED,
    **{f"data.train.*.{leaf}": severity for leaf, severity in _TRAIN_SET.items()},
    **{f"data.validation.*.{leaf}": NOTED for leaf in _TRAIN_SET},
    **{f"data.test.*.{leaf}": HARMLESS for leaf in _TRAIN_SET},
    "data.workers": HARMLESS,
    "data.start_method": HARMLESS,
    "data.mixing.by": REFUSED,
    "data.mixing.temperature": REFUSED,
    "data.shuffle_rows": REFUSED,
    "data.tokens": HARMLESS,  # cached tokens are the tokens: batches are identical
    "data.max_bad_fraction": NOTED,
    "model.segment_positions": REFUSED,
    "model.tie_embeddings": REFUSED,
    "model.dropout": NOTED,
    "backbone.kind": REFUSED,
    "backbone.settings": REFUSED,
    "objectives.*.kind": REFUSED,
    "objectives.*.settings": REFUSED,
    "objectives.*.name": REFUSED,
    "objectives.*.share": REFUSED,
    "objectives.*.weight": NOTED,
    "optimizer.kind": REFUSED,
    "optimizer.lr": NOTED,
    "optimizer.weight_decay": NOTED,
    "optimizer.betas": NOTED,
    "optimizer.eps": NOTED,
    "optimizer.warmup_steps": NOTED,
    "optimizer.final_lr_fraction": NOTED,
    "optimizer.clip_norm": NOTED,
    "optimizer.groups.*.match": REFUSED,
    "optimizer.groups.*.lr": NOTED,
    "optimizer.groups.*.weight_decay": NOTED,
    "train.steps": NOTED,
    "train.batch_tokens": REFUSED,
    "train.accumulate": NOTED,
    "train.seed": REFUSED,
    "train.precision": NOTED,
    "train.layout": REFUSED,
    "train.length_buckets": REFUSED,
    "train.threads": NOTED,
    "train.compile": NOTED,
    "train.validate_every": HARMLESS,
    "init_from": REFUSED,
    "freeze": REFUSED,
    "checkpoint.every_steps": NOTED,
    "checkpoint.keep_last": NOTED,
    "callbacks.*.kind": HARMLESS,
    "callbacks.*.settings": HARMLESS,
    "evaluate": HARMLESS,
}
"""Schema leaf -> severity; `*` stands for a name or a place in a list. All below a leaf is as it."""


def severity_of(key: str) -> Severity:
    """The class of a recipe key such as `data.train.0.shards`; refused when it is in no leaf."""
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        for leaf, severity in LEAVES.items():
            pattern = leaf.split(".")
            if len(pattern) == length and all(
                want in ("*", part) for want, part in zip(pattern, parts, strict=False)
            ):
                return severity
    below = {s for leaf, s in LEAVES.items() if _inside(leaf.split("."), parts)}
    return below.pop() if len(below) == 1 else REFUSED


def _inside(leaf: list[str], parts: list[str]) -> bool:
    """Whether the leaf lies below the key: a whole list or mapping that came or went."""
    return len(leaf) > len(parts) and all(
        want in ("*", part) for want, part in zip(leaf, parts, strict=False)
    )
