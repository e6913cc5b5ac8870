"""The loaded model: generate, score and embed, from values to values.

N generations, T tokens, D width.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from loretta_framework.api.errors import CheckpointError, InputError, LorettaError, nearest
from loretta_framework.api.protocols import FloatArray, Tokenizer
from loretta_framework.api.random import generator
from loretta_framework.checkpoint.handshake import (
    loaded_components,
    plugins_of,
    require_named,
    require_own_components,
    require_present,
    require_versions,
)
from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.checkpoint.weights import LoadedWeights, load_weights
from loretta_framework.data.decode import features_of
from loretta_framework.data.fitting import (
    load_tokenizers,
    require_tokenizers,
    tokenizer_digests,
)
from loretta_framework.generation.decode import evaluating, generate as decode_segments
from loretta_framework.generation.score import RowScore, score_rows
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.model.build import build_model
from loretta_framework.recipe.load import LoadedRecipe, load_recipe
from loretta_framework.recipe.nodes import needed_plugins
from loretta_framework.recipe.plan import Plan
from loretta_framework.registry import Builder, Registry
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.rows import Content, Segment, build_row, segment_ids
from loretta_framework.sequence.vocabulary import Block

Given: TypeAlias = "Mapping[str, Any] | Sequence[tuple[str, Any]]"
"""Modality -> value, or (modality, value) in order, where a modality may occur more than once.

A value is what the modality's `parse` takes (array, text, (wave, rate), ...), or a `pathlib.Path`:
then the file is read.
"""

_BUGS = (ImportError, NameError, AttributeError, NotImplementedError, MemoryError, LorettaError)
"""Not a fault of the value given: what a broken plugin raises, or what already tells the user."""


def load(
    run_dir: str | Path,
    device: str | torch.device = "cpu",
    *,
    warn: Callable[[str], None] = warnings.warn,
) -> LoadedModel:
    """Load a run's newest complete checkpoint with its tokenizers.

    Args:
        run_dir: a directory that `loretta train` made.
        device: where the model computes.
        warn: handed a sentence for each damaged checkpoint that is passed over, and for each plugin
            of another version.

    Raises:
        InputError: there is no such device here.
        RunDirectoryError: it is no run, or has no checkpoint yet.
        CheckpointError: what is there is damaged.
        PluginError: a plugin that the run needs cannot be used, or a component has another version
            than the run was made with.
    """
    _require_device(device)
    run = RunDirectory.open(Path(run_dir))
    plan, loaded = run.read_plan(), load_recipe(run.recipe_file)
    registry = _registry(plan, loaded, run, warn)
    weights = load_weights(run.path, warn)
    saved_parts = weights.state.get("components")
    require_own_components(saved_parts, loaded_components(plan), str(weights.source))
    tokenizers, extensions = _tokenizers(plan, registry)
    load_tokenizers(plan, tokenizers, run.tokenizers)
    saved = weights.state.get("tokenizers", {})
    require_tokenizers(saved, tokenizer_digests(plan, run.tokenizers), run.tokenizers)
    _require_table(weights, plan)
    model = build_model(plan, loaded.recipe, registry)
    try:
        model.load_state_dict(weights.tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"the weights do not fit the run's plan: {error}",
            where=str(weights.source),
            fix="restore the run's plan.json and recipe.yaml from a copy",
        ) from error
    return LoadedModel(plan, model.to(device).eval(), tokenizers, extensions)


def _require_table(weights: LoadedWeights, plan: Plan) -> None:
    """A damaged plan may ask for a table that no memory holds: compared before it is made."""
    table = weights.tensors.get("embedding.weight")
    rows = len(table) if table is not None and table.ndim else 0
    if rows != plan.vocabulary.size:
        raise CheckpointError(
            f"the weights do not fit the run's plan: the vocabulary must have {rows} ids, but has "
            f"{plan.vocabulary.size}",
            where=str(weights.source),
            fix="restore the run's plan.json and recipe.yaml from a copy",
        )


def _registry(
    plan: Plan, loaded: LoadedRecipe, run: RunDirectory, warn: Callable[[str], None]
) -> Registry:
    """Where the run's components come from; they are those that it was made with."""
    require_named(plan, loaded.resolved, str(run.path))
    components = loaded_components(plan)
    named = needed_plugins(loaded.resolved)
    registry = Registry.discover(plugins_of(components) & named, named)
    require_present(components, registry, str(run.path))
    for sentence in require_versions(components, registry, str(run.path)):
        warn(sentence)
    return registry


def _tokenizers(
    plan: Plan, registry: Registry
) -> tuple[dict[str, Tokenizer], dict[str, tuple[str, ...]]]:
    """Tokenizers, built but not fitted, and the extensions each reads."""
    builder = Builder(registry)
    tokenizers, extensions = {}, {}
    for node in plan.modalities:
        kind = node.component.kind
        tokenizers[node.name] = builder.build_spec("modality", kind, node.component.settings)
        extensions[node.name] = registry.spec("modality", kind).capabilities.extensions  # type: ignore[attr-defined]
    return tokenizers, extensions


def _require_device(device: str | torch.device) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the device '{device}' cannot be used: {reason}",
            fix="use cpu, or cuda on a GPU machine",
        ) from error


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model with its tokenizers. Made by `load`.

    Attributes:
        plan: the run's plan.
        model: the torch module.
        tokenizers: modality -> tokenizer, fitted; a continuous modality's `Encoder`.
        extensions: modality -> file extensions that it reads, without the dot.
    """

    plan: Plan
    model: AnyToAny
    tokenizers: Mapping[str, Tokenizer]
    extensions: Mapping[str, tuple[str, ...]]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Their names, in the recipe's order."""
        return tuple(node.name for node in self.plan.modalities)

    def generate(
        self,
        sources: Given,
        to: str,
        num_samples: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
    ) -> list[Any]:
        """Values of modality `to`, given the sources; none at all is allowed.

        Args:
            sources: see `Given`; their order is the order of the segments.
            to: the modality to generate.
            num_samples: how many. Sample i depends on the seed and i, not on how many there are.
            temperature: 1 samples the model's distribution, 0 takes the most likely tokens.
            top_k: keep only the k most likely ids of each step.
            seed: another one gives other samples.

        Raises:
            InputError: a modality is unknown, a value cannot be used, or a number is out of range.
        """
        self._require_predicted(to)
        _require_sampling(num_samples, temperature, top_k)
        prompt = self.segments(sources)
        length = self.plan.vocabulary[to].max_tokens
        uniforms_NT = np.stack(
            [generator(seed, "generate", to, i).random(length) for i in range(num_samples)]
        )
        made = decode_segments(
            self.model,
            [prompt] * num_samples,
            to,
            uniforms_NT,
            temperature=temperature,
            top_k=top_k,
        )
        return [self.tokenizers[to].decode(ids_T) for ids_T in made]

    def score(self, sources: Given, targets: Given) -> float:
        """log p(targets | sources) in nats per sample, at most 0; several targets follow in order.

        Raises:
            InputError: a modality is unknown, a value cannot be used, or there is no target.
        """
        return -self.cost(sources, targets).nats

    def cost(self, sources: Given, targets: Given) -> RowScore:
        """What the targets cost given the sources: nats, and over how many tokens.

        Raises:
            InputError: as in `score`.
        """
        wanted = self.segments(targets)
        for segment in wanted:
            self._require_predicted(segment.modality)
        _require(bool(wanted), "there must be at least one target")
        given = self.segments(sources, weight=0.0)
        row = build_row(self.model.vocabulary, [*given, *wanted])
        return score_rows(self.model, [row])[0]

    def embed(self, sources: Given) -> FloatArray:
        """float32 (D,), the mean of the backbone's outputs over the tokens of the last segment.

        The segments before it are its context.

        Raises:
            InputError: a modality is unknown, a value cannot be used, or there is none.
        """
        segments = self.segments(sources)
        _require(bool(segments), "there must be at least one value to embed")
        last = segments[-1].modality
        vocabulary = self.model.vocabulary
        start = sum(
            len(segment_ids(vocabulary[segment.modality], segment.content))
            for segment in segments[:-1]
        )
        # An open segment behind the last keeps all of its tokens inputs; what comes later has no
        # influence on what comes before.
        row = build_row(vocabulary, segments, open_target=last)
        with evaluating(self.model):
            batch = collate([row]).to(self.model.embedding.weight.device)
            hidden_TD = self.model(batch).hidden_BTD[0, start : len(row) - 1]
        mean_D: FloatArray = hidden_TD.float().mean(dim=0).cpu().numpy()
        return mean_D

    def segments(self, given: Given, weight: float = 1.0) -> list[Segment]:
        """Values as segments of tokens, in order.

        Raises:
            InputError: a modality is unknown or a value cannot be used.
        """
        pairs = list(given.items()) if isinstance(given, Mapping) else list(given)
        return [Segment(name, self._content(name, value), weight) for name, value in pairs]

    def _content(self, modality: str, given: Any) -> Content:
        block, tokenizer = self._block(modality), self.tokenizers[modality]
        where = str(given) if isinstance(given, Path) else f"value of '{modality}'"
        try:
            value = (
                self._read(modality, given) if isinstance(given, Path) else tokenizer.parse(given)
            )
            if block.continuous:
                return features_of(modality, tokenizer, value)
            ids_T = np.asarray(tokenizer.encode(value), dtype=np.int64)
        except _BUGS:
            raise
        except Exception as error:  # decoders of plugins raise errors of their own
            raise InputError(
                f"it cannot be used as {modality}: {error or type(error).__name__}", where=where
            ) from error
        if not block.min_tokens <= len(ids_T) <= block.max_tokens:
            raise InputError(
                f"it must have {block.min_tokens} to {block.max_tokens} tokens as {modality}, "
                f"but has {len(ids_T)}",
                where=where,
                fix="shorten it" if len(ids_T) > block.max_tokens else "give more of it",
            )
        return ids_T

    def _read(self, modality: str, path: Path) -> Any:
        extension = path.suffix.lower().removeprefix(".")
        known = self.extensions.get(modality, ())
        if known and extension not in known:
            raise InputError(
                f"'{modality}' does not read files that end in '{path.suffix}'",
                where=str(path),
                fix=f"give one that ends in {' or '.join(f'.{name}' for name in known)}",
            )
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InputError(
                f"the file cannot be read: {error.strerror}", where=str(path), fix="check the path"
            ) from error
        return self.tokenizers[modality].read(data, extension)

    def _require_predicted(self, modality: str) -> None:
        if self._block(modality).continuous:
            others = [name for name in self.modalities if name not in self.plan.vocabulary.inputs]
            raise InputError(
                f"'{modality}' is continuous: it can be given to the model, but neither generated "
                "nor scored",
                fix=f"name {' or '.join(others)} instead",
            )

    def _block(self, modality: str) -> Block:
        if modality not in self.modalities:
            raise InputError(
                f"unknown modality '{modality}'{nearest(modality, self.modalities)}",
                fix=f"the run has {', '.join(self.modalities)}",
            )
        return self.plan.vocabulary[modality]


def _require_sampling(num_samples: int, temperature: float, top_k: int | None) -> None:
    _require(num_samples >= 1, f"num_samples must be 1 or more, but is {num_samples}")
    _require(
        np.isfinite(temperature) and temperature >= 0,
        f"temperature must be finite and 0 or more, but is {temperature}",
    )
    _require(top_k is None or top_k >= 1, f"top_k must be 1 or more, but is {top_k}")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InputError(otherwise)
