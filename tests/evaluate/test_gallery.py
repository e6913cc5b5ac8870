"""The gallery: files, pictures, and life without Pillow."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from loretta_framework.api.protocols import Artifact
from loretta_framework.evaluate.gallery import Gallery
from loretta_framework.evaluate.grid import CELL, GridRow, cell_of, draw_grid
from loretta_framework.evaluate.settings import GallerySettings


def test_files_and_a_picture_for_each_unseen_edge(world: SimpleNamespace) -> None:
    context = world.context("oracle")
    found = Gallery(GallerySettings(sources=10, samples=3)).evaluate(context)
    assert [item["edge"] for item in found["gallery"]] == ["image->speech", "speech->image"]
    folder = context.directory / "gallery" / "speech-to-image"
    names = {path.name for path in folder.iterdir()}
    for number in range(10):
        stem = f"{number:02d}-{number}"
        for part in ("source", "0", "1", "2"):
            assert {f"{stem}-{part}.raw", f"{stem}-{part}.png"} <= names
    assert len(names) == 10 * 4 * 2 + 1
    pattern = world.Pattern()
    for number in range(10):
        ids = pattern.encode(
            pattern.read((folder / f"{number:02d}-{number}-1.raw").read_bytes(), "")
        )
        assert set(ids // 2) == {number}
    assert found["gallery"][1]["grid"] == "gallery/speech-to-image/grid.png"
    with Image.open(folder / "grid.png") as grid:
        assert grid.width > 4 * CELL
        assert grid.height > 10 * CELL


def test_a_second_gallery_replaces_the_first(world: SimpleNamespace) -> None:
    context = world.context("oracle")
    for sources in (10, 2):
        Gallery(GallerySettings(sources=sources, samples=1)).evaluate(context)
    root = context.directory / "gallery"
    assert sorted(path.name for path in root.iterdir()) == ["image-to-speech", "speech-to-image"]
    assert len(list((root / "image-to-speech").iterdir())) == 2 * 2 * 2 + 1


def test_without_pillow_the_files_are_there_and_the_picture_is_noted(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str, str]] = []
    monkeypatch.setattr(world.Pattern, "show", lambda self, value: [])
    monkeypatch.setitem(sys.modules, "PIL", None)
    context = world.context("oracle", note=lambda *parts: told.append(parts))
    found = Gallery(GallerySettings(sources=2)).evaluate(context)
    assert [item["grid"] for item in found["gallery"]] == [None, None]
    assert (context.directory / "gallery" / "image-to-speech" / "00-0-0.raw").is_file()
    assert "pip install pillow" in told[0][2]


def test_cells_are_pictures_else_text_else_named() -> None:
    png, text = Artifact(b"picture", "png"), Artifact(b"siebzehn", "txt")
    assert cell_of([text, png]) == b"picture"
    assert cell_of([text]) == "siebzehn"
    assert cell_of([Artifact(b"", "wav")]) == "(wav)"
    assert cell_of([]) == "(nothing to show)"


def test_small_pictures_keep_square_pixels_and_text_is_drawn() -> None:
    checks = np.zeros((2, 2), np.uint8)
    checks[0, 0] = checks[1, 1] = 255
    buffer = io.BytesIO()
    Image.fromarray(checks).save(buffer, "PNG")
    drawn = draw_grid("t", "a", "b", [GridRow("seven", buffer.getvalue(), ("a long text", "x"))])
    with Image.open(io.BytesIO(drawn)) as picture:
        pixels = np.asarray(picture.convert("L"))
    cell = pixels[56 : 56 + CELL, 84 : 84 + CELL]
    assert cell[CELL // 4, CELL // 4] == 255
    assert cell[CELL // 4, 3 * CELL // 4] == 0
    assert set(np.unique(cell[2:-2, 2:-2])) == {0, 255}
    text = pixels[56 : 56 + CELL, 84 + CELL + 24 :][:, :CELL]
    assert (text[2:-2, 2:-2] < 128).sum() > 20
