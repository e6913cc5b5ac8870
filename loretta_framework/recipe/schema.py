"""The recipe's schema: every section, strict. Each field's description serves help and docs.

A `{kind, settings}` node is checked here for its form only; `recipe.nodes` then validates its
settings with the component's own class.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from loretta_framework.api.settings import Settings

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=64)]
Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Node(Settings):
    """A component by name, with its settings."""

    kind: str = Field(description="Component name, `<plugin>.<component>` or a built-in's name.")
    settings: dict[str, Any] = Field(default_factory=dict, description="Settings of the component.")


class DataSet(Settings):
    """One set of shards and what its samples may hold."""

    name: Name = Field(description="Name of the set, unique in its split.")
    shards: str | list[str] = Field(
        description="Shard paths relative to the recipe; `*` and `{0..9}` expand."
    )
    modalities: list[str] = Field(min_length=1, description="Modalities its samples may hold.")
    share: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="Part of the drawn samples; all sets without one share equally."
    )
    max_epochs: Positive | None = Field(
        default=None,
        description="Passes that each objective makes over the set at most; its share then goes to "
        "the other sets. null: no limit.",
    )
    missing: Literal["keep", "skip", "error"] = Field(
        default="keep", description="What to do with a sample that lacks a declared modality."
    )
    label: str | None = Field(
        default=None, description="Where a sample's class stands, for example `meta.digit`."
    )
    source: Node | None = Field(
        default=None, description="Maps member names to modalities; default: the names agree."
    )


class Mixing(Settings):
    """How often each training set is drawn."""

    by: Literal["share", "temperature", "edges"] = Field(
        default="share",
        description="share: as the sets say; temperature: by size; edges: so that the observed "
        "directed edges occur as evenly as the sets allow.",
    )
    temperature: Annotated[float, Field(gt=0)] = Field(
        default=1.0,
        description="For `by: temperature`: share ~ samples^(1/temperature). 1 is by size, more is "
        "more even.",
    )


class Data(Settings):
    """The data sets. The training graph is derived from `train`."""

    train: list[DataSet] = Field(min_length=1, description="Sets the model learns from.")
    validation: list[DataSet] = Field(default_factory=list, description="Sets watched in training.")
    test: list[DataSet] = Field(default_factory=list, description="Sets judged afterwards.")
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        default="auto", description="Loader processes; 0 loads in the training process."
    )
    start_method: Literal["auto", "fork", "spawn", "forkserver"] = Field(
        default="auto", description="How loader processes start; auto: the platform's own."
    )
    mixing: Mixing = Field(default_factory=Mixing, description="How often each set is drawn.")
    shuffle_rows: Positive = Field(
        default=65_536,
        description="Rows shuffled together. Larger sets are read a few shards at a time.",
    )
    tokens: str | None = Field(
        default=None, description="Folder made by `loretta data tokenize`; relative to the recipe."
    )
    max_bad_fraction: Fraction = Field(
        default=0.001,
        description="Fraction of undecodable samples above which a run stops; with 0 the first one "
        "stops it, else two are let through in any set.",
    )


class ObjectiveNode(Node):
    """An objective and its part of each step."""

    name: Name | None = Field(default=None, description="Name in metrics; default: the kind.")
    share: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="Part of a step's tokens; shares are normalised to 1."
    )
    weight: Annotated[float, Field(ge=0)] = Field(default=1.0, description="Factor on its loss.")


class Model(Settings):
    """Embeddings and heads around the backbone."""

    segment_positions: bool = Field(
        default=True, description="Add a learned embedding of the place within the segment."
    )
    tie_embeddings: bool = Field(default=False, description="Use the embedding as output weights.")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0, description="Dropout on the embeddings in training."
    )


class ParameterGroup(Settings):
    """Other optimiser settings for the parameters whose names match."""

    match: str = Field(description="Shell-style pattern on parameter names, e.g. `backbone.*`.")
    lr: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Peak learning rate."
    )
    weight_decay: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Decoupled weight decay."
    )


class Optimizer(Settings):
    """AdamW with linear warm-up and cosine decay."""

    kind: Literal["adamw"] = Field(default="adamw", description="The optimiser.")
    lr: Annotated[float, Field(gt=0)] = Field(default=1e-3, description="Peak learning rate.")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        default=0.1, description="Decoupled decay of matrices; vectors get none."
    )
    betas: Annotated[list[Fraction], Field(min_length=2, max_length=2)] = Field(
        default=[0.9, 0.95], description="Decay rates of the two moment estimates."
    )
    eps: Annotated[float, Field(gt=0)] = Field(
        default=1e-8, description="Added to the denominator."
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(
        default=100, description="Steps of linear warm-up, at most a tenth of the run."
    )
    final_lr_fraction: Fraction = Field(
        default=0.0, description="Learning rate at the last step as a part of the peak."
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(
        default=1.0, description="Gradient norm is scaled down to this; null: never."
    )
    groups: list[ParameterGroup] = Field(
        default_factory=list, description="First match wins; settings left out are inherited."
    )


class Train(Settings):
    """Length, size and numerics of the run."""

    steps: Positive = Field(default=1000, description="Optimiser steps.")
    batch_tokens: Positive = Field(
        default=4096,
        description="Tokens a step is sized for, by the mean of the sets' longest sequences; a step "
        "holds fewer where lengths vary.",
    )
    accumulate: Positive = Field(default=1, description="Micro-batches a step is split into.")
    seed: Annotated[int, Field(ge=0)] = Field(default=0, description="Key of every random draw.")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="bf16 means autocast with float32 weights."
    )
    layout: Literal["auto", "padded", "packed"] = Field(
        default="auto", description="One document a row, or several."
    )
    length_buckets: Positive | None = Field(
        default=None,
        description="Distinct row lengths that batches are padded to, so that compiled graphs are "
        "used again; null: each batch as long as it is.",
    )
    threads: Positive | Literal["auto"] = Field(default="auto", description="CPU threads of torch.")
    compile: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="Compile the backbone's blocks for training; auto: in runs long enough to repay "
        "it, where there is a compiler.",
    )
    validate_every: Positive | None = Field(
        default=None, description="Steps between validation passes; null: only at the end."
    )


class Checkpoint(Settings):
    """When state is saved."""

    every_steps: Positive = Field(default=500, description="Steps between checkpoints.")
    keep_last: Annotated[int, Field(ge=2)] = Field(
        default=2, description="Complete checkpoints kept; never fewer than two."
    )


class Recipe(Settings):
    """One experiment."""

    schema_version: Literal[1] = Field(description="Version of this schema.")
    name: Name = Field(
        description="Name of the experiment; the default run directory is runs/<name>."
    )
    base: str | None = Field(default=None, description="A recipe this one changes; one level only.")
    requires: list[str] = Field(
        default_factory=list, description="Distributions with version ranges, as for pip."
    )
    allow_disconnected: bool = Field(
        default=False, description="Train although some modalities can never be linked."
    )
    modalities: dict[Name, Node] = Field(min_length=1, description="Name -> tokenizer or encoder.")
    data: Data = Field(description="Data sets by split.")
    model: Model = Field(default_factory=Model, description="Embeddings and heads.")
    backbone: Node = Field(
        default_factory=lambda: Node(kind="transformer"), description="Sequence model."
    )
    objectives: list[ObjectiveNode] = Field(
        default_factory=lambda: [ObjectiveNode(kind="causal")],
        min_length=1,
        description="What is minimised, with parts of each step.",
    )
    optimizer: Optimizer = Field(
        default_factory=Optimizer, description="Optimiser and its schedule."
    )
    train: Train = Field(default_factory=Train, description="Length, size and numerics.")
    init_from: str | None = Field(
        default=None, description="A run directory or an export whose weights to start from."
    )
    freeze: list[str] = Field(
        default_factory=list, description="Patterns of parameter names that are not trained."
    )
    checkpoint: Checkpoint = Field(default_factory=Checkpoint, description="When state is saved.")
    callbacks: list[Node] = Field(
        default_factory=lambda: [Node(kind="progress")], description="What watches the run."
    )
    evaluate: list[str | Node] = Field(
        default_factory=lambda: ["likelihood"],  # type: ignore[arg-type]
        description="Evaluators, by name or as nodes with settings.",
    )

    @field_validator("modalities")
    @classmethod
    def _names_are_not_reserved(cls, modalities: dict[str, Node]) -> dict[str, Node]:
        for name in modalities:
            if name in ("meta", "sequence"):
                raise ValueError(f"a modality must not be called '{name}': shards use that name")
        return modalities
