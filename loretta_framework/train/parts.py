"""What a recipe names, built but not trained: modalities and sources."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loretta_framework.api.protocols import Source, Tokenizer
from loretta_framework.data.fitting import fit_tokenizers, load_tokenizers, tokenizer_digests
from loretta_framework.data.tokens.manifest import read_manifest
from loretta_framework.data.tokens.tokenizers import require_tokenizers_of, take_tokenizers
from loretta_framework.recipe.engine import make_plan
from loretta_framework.recipe.load import LoadedRecipe
from loretta_framework.recipe.nodes import needed_plugins
from loretta_framework.recipe.plan import Plan
from loretta_framework.registry import Builder, Registry

_COMPLETE = "complete"


@dataclass(slots=True)
class Parts:
    """A recipe, its Plan, and the components that read its data.

    Attributes:
        loaded: the recipe.
        plan: derived from it.
        builder: builds further components and collects automatic choices.
        modalities: by name, fitted once `fit` or `prepare_tokenizers` has run.
        sources: by "<split>/<set>".
    """

    loaded: LoadedRecipe
    plan: Plan
    builder: Builder
    modalities: dict[str, Tokenizer]
    sources: dict[str, Source]

    @property
    def tokens(self) -> Path | None:
        """The folder of cached tokens that the recipe names, None when it trains from the files."""
        tokens = self.loaded.recipe.data.tokens
        return self.loaded.directory / tokens if tokens else None

    @classmethod
    def build(cls, loaded: LoadedRecipe) -> Parts:
        """Plan the recipe and build what reads its data.

        Raises:
            RecipeError, GraphError, PluginError, ShardError: the recipe cannot be run as it is.
        """
        named = needed_plugins(loaded.resolved)
        registry = Registry.discover(named, named)
        plan = make_plan(loaded, registry)
        builder = Builder(registry)
        modalities = {
            item.name: builder.build_spec("modality", item.component.kind, item.component.settings)
            for item in plan.modalities
        }
        sources = {
            f"{item.split}/{item.name}": builder.build_spec(
                "source", item.source.kind, item.source.settings
            )
            for item in plan.sets
            if item.source is not None
        }
        return cls(loaded, plan, builder, modalities, sources)

    def fit(self, directory: Path) -> dict[str, dict[str, float]]:
        """Fit the tokenizers that learn and save them; figures by modality.

        Raises:
            ShardError: there is nothing to fit on, or too much of it cannot be decoded.
        """
        figures = fit_tokenizers(
            self.plan,
            self.modalities,
            directory,
            self.plan.seed,
            self.loaded.recipe.data.max_bad_fraction,
            self.sources,
            self.loaded.recipe.data.start_method,
        )
        if figures:
            (directory / _COMPLETE).touch()  # last: a fit that was killed half-way is done again
        return figures

    def prepare_tokenizers(self, directory: Path) -> dict[str, dict[str, float]]:
        """Load what a former `fit` saved there, verified by its hashes; else take those that made
        the recipe's cached tokens; else fit now. Figures by modality when it fitted.

        Raises:
            CheckpointError: what was saved is damaged.
            ShardError: the cached tokens were made with other tokenizers, or from something else.
        """
        figures: dict[str, dict[str, float]] = {}
        if (directory / _COMPLETE).is_file():
            load_tokenizers(self.plan, self.modalities, directory)
        elif self.tokens is None or not any(item.fitted for item in self.plan.modalities):
            figures = self.fit(directory)
        else:
            self._take(self.tokens, directory)
        if self.tokens is not None:
            digests = tokenizer_digests(self.plan, directory)
            require_tokenizers_of(read_manifest(self.tokens), self.plan, digests, self.tokens)
        return figures

    def _take(self, tokens: Path, directory: Path) -> None:
        take_tokenizers(self.plan, tokens, directory)
        load_tokenizers(self.plan, self.modalities, directory)
        (directory / _COMPLETE).touch()
        why = "the cached tokens were made with them"
        self.builder.note("tokenizers", str(tokens), why)
