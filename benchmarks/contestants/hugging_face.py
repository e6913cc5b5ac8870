"""Models of transformers in a loop written by hand: Llama, GPT-2, Mamba-2."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from benchmarks.contestants.loop import compiled, cross_entropy, train
from benchmarks.rounds import Rounds


def work(spec: dict[str, Any], rounds: Rounds) -> None:
    """Train. Spec: model, shape, precision, compile, device."""
    model = build(spec["model"], spec["shape"]).to(spec.get("device", "cpu"))

    def loss(inputs_BT: Tensor, targets_BT: Tensor) -> Tensor:
        return cross_entropy(model(input_ids=inputs_BT, use_cache=False).logits, targets_BT)

    train(model, compiled(loss, spec), spec | {"packages": ["transformers"]}, rounds)


def build(kind: str, shape: dict[str, Any]) -> Any:
    """A model with fresh weights of the seed 0: "llama", "gpt2" or "mamba2"."""
    transformers: Any = importlib.import_module("transformers")
    torch.manual_seed(0)
    width, depth, heads = shape["width"], shape["depth"], shape.get("heads", 4)
    ids, length = shape["vocabulary"], shape["tokens"] + 1
    if kind == "llama":
        config = transformers.LlamaConfig(
            vocab_size=ids,
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            intermediate_size=-(-width * 8 // (3 * 32)) * 32,
            max_position_embeddings=length,
            tie_word_embeddings=False,
            attn_implementation="sdpa",
        )
        return transformers.LlamaForCausalLM(config)
    if kind == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=ids,
            n_embd=width,
            n_layer=depth,
            n_head=heads,
            n_positions=length,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            attn_implementation="sdpa",
        )
        return transformers.GPT2LMHeadModel(config)
    config = transformers.Mamba2Config(
        vocab_size=ids,
        hidden_size=width,
        num_hidden_layers=depth,
        state_size=64,
        head_dim=64,
        num_heads=2 * width // 64,
        expand=2,
        n_groups=1,
        chunk_size=shape.get("chunk", 256),
        tie_word_embeddings=False,
    )
    return transformers.Mamba2ForCausalLM(config)
