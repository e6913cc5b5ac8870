"""One picture of an edge: sources on the left, what was generated from each beside it.

Needs Pillow, which is imported on use.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from loretta_framework.api.protocols import Artifact

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

CELL = 112
"""Pixels of a cell's side."""

GAP = 8
MARGIN = 84
"""Pixels left of the sources, for their classes."""

HEADER = 56
FONT_SIZE = 14
_CHARACTERS = 14
"""Of `FONT_SIZE` that fit a cell's width."""

Cell: TypeAlias = "bytes | str"
"""PNG bytes, or a text to be written out."""


@dataclass(frozen=True, slots=True)
class GridRow:
    """A source and what came of it."""

    label: str
    source: Cell
    generated: tuple[Cell, ...]


def cell_of(artifacts: Sequence[Artifact]) -> Cell:
    """The picture among the artifacts; else the text; else the name of the first kind."""
    for artifact in artifacts:
        if artifact.extension == "png":
            return artifact.data
    for artifact in artifacts:
        if artifact.extension == "txt":
            return artifact.data.decode("utf-8", errors="replace")
    return f"({artifacts[0].extension})" if artifacts else "(nothing to show)"


def draw_grid(title: str, source: str, target: str, rows: Sequence[GridRow]) -> bytes:
    """PNG bytes of the grid.

    Raises:
        ImportError: Pillow is not installed.
    """
    from PIL import Image, ImageDraw, ImageFont

    columns = max(len(row.generated) for row in rows)
    width = MARGIN + (columns + 1) * (CELL + GAP) + 2 * GAP
    picture = Image.new("RGB", (width, HEADER + len(rows) * (CELL + GAP) + GAP), "white")
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=FONT_SIZE)
    pen.text((GAP, GAP), title, fill="black", font=font)
    pen.text((MARGIN, HEADER - 22), f"source: {source}", fill="black", font=font)
    generated_x = MARGIN + CELL + 3 * GAP
    pen.text((generated_x, HEADER - 22), f"generated: {target}", fill="black", font=font)
    for index, row in enumerate(rows):
        top = HEADER + index * (CELL + GAP)
        label = "\n".join(textwrap.wrap(row.label, 9)[:4])
        pen.multiline_text((GAP, top + CELL // 3), label, fill="black", font=font)
        _place(picture, pen, font, row.source, MARGIN, top)
        for column, cell in enumerate(row.generated):
            _place(picture, pen, font, cell, generated_x + column * (CELL + GAP), top)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _place(
    picture: Image.Image, pen: ImageDraw.ImageDraw, font: object, cell: Cell, left: int, top: int
) -> None:
    from PIL import Image

    pen.rectangle((left - 1, top - 1, left + CELL, top + CELL), outline="#bbbbbb")
    if isinstance(cell, str):
        text = "\n".join(textwrap.wrap(cell, _CHARACTERS)[:6])
        pen.multiline_text((left + 4, top + 4), text, fill="black", font=font)  # type: ignore[arg-type]
        return
    with Image.open(io.BytesIO(cell)) as opened:
        image = opened.convert("RGB")
    scale = CELL / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # Pixels of small images stay squares: smoothing would show what is not there.
    form = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    offset = ((CELL - size[0]) // 2, (CELL - size[1]) // 2)
    picture.paste(image.resize(size, form), (left + offset[0], top + offset[1]))
