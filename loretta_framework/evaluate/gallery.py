"""Generations to look at and to listen to: files and one picture per edge under RUN/gallery."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loretta_framework.data.values import ValueSample
from loretta_framework.evaluate.context import EvaluationContext, Findings, edge_name, value_of
from loretta_framework.evaluate.grid import Cell, GridRow, cell_of, draw_grid
from loretta_framework.evaluate.selection import balanced, directed_pairs, having, why_not_predicted
from loretta_framework.evaluate.settings import GallerySettings
from loretta_framework.generation.rollout import RolloutRequest, rollout
from loretta_framework.generation.sampling import Sampling

FOLDER = "gallery"


class Gallery:
    """Writes, for each edge, `<k>-<class>-source.*`, `<k>-<class>-<n>.*` and `grid.png`."""

    def __init__(self, settings: GallerySettings, context: Any = None) -> None:
        self.settings = settings

    def evaluate(self, context: EvaluationContext) -> Findings:
        """No figures; a section "gallery" that names the folders, or the reason for none."""
        pairs = directed_pairs(context.plan, context.samples, self.settings.edges)
        shown = [self._edge(context, source, target) for source, target in pairs]
        return {"edges": {}, "gallery": shown}

    def _edge(self, context: EvaluationContext, source: str, target: str) -> dict[str, Any]:
        reason = why_not_predicted(context.plan, target)
        if reason is not None:
            name = edge_name(source, target)
            return {"edge": name, "folder": None, "grid": None, "reason": reason}
        chosen = balanced(having(context.samples, source), self.settings.sources, context.seed)
        made = self._generate(context, chosen, source, target)
        folder = context.directory / FOLDER / f"{source}-to-{target}"
        aside = folder.with_name(f".{folder.name}.tmp-{secrets.token_hex(6)}")
        aside.mkdir(parents=True)
        try:
            rows = []
            for number, (sample, values) in enumerate(zip(chosen, made, strict=True)):
                stem = f"{number:02d}-{_plain(sample.label)}" if sample.label else f"{number:02d}"
                given = _save(context, source, value_of(sample, source), aside / f"{stem}-source")
                cells = [
                    _save(context, target, value, aside / f"{stem}-{copy}")
                    for copy, value in enumerate(values)
                ]
                rows.append(GridRow(sample.label or sample.key, given, tuple(cells)))
            _draw(context, aside, source, target, rows)
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(aside, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        grid = folder / "grid.png"
        return {
            "edge": edge_name(source, target),
            "folder": str(folder.relative_to(context.directory)),
            "grid": str(grid.relative_to(context.directory)) if grid.exists() else None,
        }

    def _generate(
        self, context: EvaluationContext, chosen: Sequence[ValueSample], source: str, target: str
    ) -> list[list[Any]]:
        copies = self.settings.samples
        requests = [
            RolloutRequest(
                sample.tokens.tokens(source),
                (source, target),
                (f"evaluate/gallery/{source}->{target}", sample.key, copy),
            )
            for sample in chosen
            for copy in range(copies)
        ]
        tokens = rollout(
            context.model.model,
            requests,
            context.seed,
            sampling=Sampling(self.settings.temperature),
        )
        values = [context.model.tokenizers[target].decode(ids_T) for ids_T in tokens]
        return [values[i : i + copies] for i in range(0, len(values), copies)]


def _save(context: EvaluationContext, modality: str, value: Any, stem: Path) -> Cell:
    """Write a value and its forms for people; return what the grid shows of it."""
    component = context.model.tokenizers[modality]
    data, extension = component.write(value)
    stem.with_name(f"{stem.name}.{extension}").write_bytes(data)
    artifacts = component.show(value)
    for artifact in artifacts:
        path = stem.with_name(f"{stem.name}.{artifact.extension}")
        if artifact.extension != extension:
            path.write_bytes(artifact.data)
    return cell_of(artifacts)


def _draw(
    context: EvaluationContext, folder: Path, source: str, target: str, rows: list[GridRow]
) -> None:
    observed = context.plan.graph.has(source, target)
    kind = "a pair seen in training" if observed else "a pair never seen in training"
    title = f"{source} to {target}: {kind}"
    try:
        picture = draw_grid(title, source, target, rows)
    except ImportError:
        context.note("gallery", "files without grid.png", "Pillow is missing; pip install pillow")
        return
    (folder / "grid.png").write_bytes(picture)


def _plain(label: str) -> str:
    """A label as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", label)[:40]
