"""The Trainer of transformers as its manual has it: Llama, a collator that pads, fused AdamW."""

from __future__ import annotations

import importlib
import itertools
import tempfile
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants.hugging_face import build
from benchmarks.rounds import Rounds
from benchmarks.tokens import MIX_ROW, Ids, mix, mix_ids, repeated

IGNORED = -100
"""The label that its loss leaves out."""


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Train. Spec: shape, precision, compile, pad ("row" or "batch"), grouped by length or not."""
    transformers: Any = importlib.import_module("transformers")
    shape = spec["shape"]
    model = build("llama", shape)
    data = [
        {"input_ids": torch.from_numpy(ids_T), "length": len(ids_T)} for ids_T in sequences(shape)
    ]
    rounds.about(
        parameters=sum(p.numel() for p in model.parameters()),
        versions={name: metadata.version(name) for name in ("torch", "transformers", "accelerate")},
    )
    counter = Counter()

    class Counting(transformers.Trainer):  # type: ignore[misc]
        """Counts in the step itself: batches are made ahead of the steps that use them."""

        def training_step(self, model: Any, inputs: dict[str, Tensor], *more: Any) -> Any:
            """As it is, beside the count of the tokens that are predicted."""
            counter.tokens += int((inputs["labels"][:, 1:] != IGNORED).sum())
            return super().training_step(model, inputs, *more)

    with tempfile.TemporaryDirectory() as folder:
        trainer = Counting(
            model=model,
            args=transformers.TrainingArguments(**_arguments(spec, folder)),
            train_dataset=data,
            data_collator=lambda samples: padded(samples, spec["pad"]),
            callbacks=[_turns(transformers, rounds, counter)],
        )
        trainer.train()


def sequences(shape: dict[str, Any]) -> list[Ids]:
    """The samples as sequences of ids: of the mix, or of one length."""
    if shape.get("mix"):
        return [mix_ids(sample) for sample in mix(0, shape["samples"])]
    batches = itertools.islice(repeated(0, shape), shape["distinct"])
    return [ids_T for ids_BT in batches for ids_T in ids_BT]


def _arguments(spec: dict[str, Any], folder: str) -> dict[str, Any]:
    return {
        "output_dir": folder,
        "per_device_train_batch_size": spec["shape"]["batch"],
        "max_steps": 1_000_000,
        "use_cpu": spec.get("device", "cpu") == "cpu",
        "bf16": spec["precision"] == "bf16",
        "torch_compile": bool(spec.get("compile")),
        "train_sampling_strategy": "group_by_length" if spec.get("grouped") else "random",
        "optim": "adamw_torch_fused",
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.1,
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "max_grad_norm": 1.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "seed": 0,
    }


class Counter:
    """Tokens so far."""

    tokens = 0


def padded(samples: list[dict[str, Any]], pad: str) -> dict[str, Tensor]:
    """Ids, labels and the mask of what is held, padded to the "row" or the longest of the "batch"."""
    lengths = [sample["length"] for sample in samples]
    shape = (len(samples), MIX_ROW if pad == "row" else max(lengths))
    ids_BT, labels_BT = torch.zeros(shape, dtype=torch.int64), torch.full(shape, IGNORED)
    for line, sample in enumerate(samples):
        ids_BT[line, : lengths[line]] = sample["input_ids"]
        labels_BT[line, : lengths[line]] = sample["input_ids"]
    mask_BT = (labels_BT != IGNORED).long()
    return {"input_ids": ids_BT, "labels": labels_BT, "attention_mask": mask_BT}


def _turns(transformers: Any, rounds: Rounds, counter: Counter) -> Any:
    """A callback that asks for the next round when the steps of one are done."""
    asked = iter(rounds)

    class Turns(transformers.TrainerCallback):  # type: ignore[misc]
        """Waits before the first step of each round."""

        left, before, loss = 0, 0, 0.0

        def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            """End the round before, and start the next."""
            if self.left == 0:
                if state.global_step:
                    rounds.note(units=counter.tokens - self.before, loss=self.loss)
                    self.before = counter.tokens
                self.left = next(asked, 0)
                control.should_training_stop = self.left == 0

        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            """One step of the round is done."""
            self.left -= 1

        def on_log(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            """Keep the last loss."""
            self.loss = (more.get("logs") or {}).get("loss", self.loss)

    return Turns()
