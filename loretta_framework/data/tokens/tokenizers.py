"""Tokenizers that learned, kept beside the tokens they made: fitted once, handed to runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from loretta_framework.api.atomic import write_json_atomically
from loretta_framework.api.errors import CheckpointError
from loretta_framework.api.protocols import Source
from loretta_framework.data.fitting import (
    fit_tokenizers,
    load_tokenizers,
    replaced_folder,
    tokenizer_digests,
)
from loretta_framework.data.loading.supervision import ROW_SECONDS
from loretta_framework.data.tokens.manifest import (
    TOKENIZERS,
    Manifest,
    describe_set,
    provenance,
    read_manifest,
    require_same,
)
from loretta_framework.recipe.plan import Plan

_RECORD = "fitted-on.json"


def fit_or_keep(
    plan: Plan,
    modalities: Mapping[str, object],
    folder: Path,
    max_bad_fraction: float,
    sources: Mapping[str, Source] | None = None,
    start_method: str = "auto",
    row_seconds: float = ROW_SECONDS,
) -> dict[str, dict[str, float]]:
    """Fit into `folder/tokenizers`, or load what an earlier start fitted on the same; figures if
    it fitted.

    Raises:
        ShardError: there is nothing to fit on, or too much of it cannot be decoded.
        RecipeError: a tokenizer cannot be fitted with its settings.
    """
    fitted = [item for item in plan.modalities if item.fitted]
    if not fitted:
        return {}
    directory = folder / TOKENIZERS
    fitted_on = provenance(
        [[item.name, item.component.kind, item.component.version, item.component.settings]
         for item in fitted],
        [[item.name, describe_set(item, item.digest)] for item in plan.split("train")],
        plan.seed,
    )  # fmt: skip
    if _recorded(directory) == fitted_on:
        try:
            load_tokenizers(plan, modalities, directory)
            return {}
        except CheckpointError:
            pass  # changed since: fitted again, as every part of the cache that does not fit is
    (directory / _RECORD).unlink(missing_ok=True)
    figures = fit_tokenizers(
        plan,
        modalities,
        directory,
        plan.seed,
        max_bad_fraction,
        sources,
        start_method,
        row_seconds,
    )
    write_json_atomically(directory / _RECORD, {"fitted_on": fitted_on})
    return figures


def take_tokenizers(plan: Plan, folder: Path, directory: Path) -> None:
    """Copy the tokenizers that made cached tokens into `directory`, as `fit_tokenizers` would save.

    Raises:
        ShardError: there are no finished tokens, or these files did not make them.
    """
    require_tokenizers_of(
        read_manifest(folder), plan, tokenizer_digests(plan, folder / TOKENIZERS), folder
    )
    directory.mkdir(parents=True, exist_ok=True)
    for item in plan.modalities:
        if item.fitted:
            with replaced_folder(directory / item.name) as aside:
                shutil.copytree(folder / TOKENIZERS / item.name, aside, dirs_exist_ok=True)


def require_tokenizers_of(
    manifest: Manifest, plan: Plan, digests: Mapping[str, str], folder: Path
) -> None:
    """Refuse fitted tokenizers other than those that made the tokens.

    Raises:
        ShardError: names each, with the old and the new digest.
    """
    require_same(
        [
            (f"modalities.{item.name}.tokenizer", was, digests[item.name])
            for item in plan.modalities
            if item.fitted
            and (was := manifest.modalities.get(item.name, {}).get("tokenizer"))
            != digests[item.name]
        ],
        folder,
    )


def _recorded(directory: Path) -> str | None:
    try:
        return str(json.loads((directory / _RECORD).read_bytes())["fitted_on"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
