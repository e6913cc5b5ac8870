"""Samples in a terminal: pictures of half blocks where there is colour, words elsewhere."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from loretta_framework.data.preview.media import Media
from loretta_framework.data.preview.samples import Card, Part, Sheet, size_text
from loretta_framework.shards.walk import shown

_COLUMNS = 32
_LINES = 6
_LEVELS = "▁▂▃▄▅▆▇█"
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


def print_sheets(sheets: Sequence[Sheet], console: Console) -> None:
    """Write every sheet. All text is written as it is: nothing in it is markup."""
    for sheet in sheets:
        title = Text(shown(sheet.name), style="bold")
        console.print(title.append(f"  {len(sheet.cards)} of {sheet.samples} samples", "dim"))
        for card in sheet.cards:
            _card(card, console)


def _card(card: Card, console: Console) -> None:
    head = Text("\n").append(shown(card.key), "bold cyan")
    if card.label is not None:
        head.append(f"  [{shown(card.label)}]", "magenta")
    console.print(head)
    if card.fault:
        console.print(Padding(Text(shown(card.fault), "red"), (0, 0, 0, 2)))
    for part in card.parts:
        _part(part, console)
    for name in card.missing:
        console.print(Text(f"  {shown(name)}  missing", "dim"))


def _part(part: Part, console: Console) -> None:
    line = Text("  ").append(shown(part.name), "bold").append(f"  {size_text(part.size)}", "dim")
    for note in (media.note for media in part.media if media.note):
        line.append(f"  {note}", "dim")
    console.print(line)
    if part.fault:
        console.print(Padding(Text(shown(part.fault), "red"), (0, 0, 0, 4)))
    for media in part.media:
        for drawn in _media(media, console):
            console.print(Padding(drawn, (0, 0, 0, 4)))


def _media(media: Media, console: Console) -> Iterator[Text | Table]:
    if media.bars:
        yield Text("".join(_LEVELS[min(int(bar * 8), 7)] for bar in media.bars), "cyan")
    if media.kind == "image":
        picture = _blocks(media.data) if console.color_system and media.data else None
        if picture is not None:
            yield picture
    elif media.kind == "table":
        yield _table(media.table)
    elif media.text:
        lines = media.text.splitlines()
        more = ["…"] if len(lines) > _LINES else []
        style = "dim" if media.kind == "other" else ""
        yield Text("\n".join([line[:400] for line in lines[:_LINES]] + more), style)


def _table(rows: tuple[tuple[str, ...], ...]) -> Table:
    table = Table(show_header=True, header_style="bold", border_style="dim")
    for cell in rows[0] if rows else ():
        table.add_column(Text(cell))
    for row in rows[1 : _LINES + 1]:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _blocks(data: bytes) -> Text | None:
    """A picture, two pixels a character: the upper as ink, the lower as paper. None without Pillow."""
    pixels_HWC = _pixels(data)
    if pixels_HWC is None:
        return None
    text = Text()
    for row in range(0, len(pixels_HWC), 2):
        pair = zip(pixels_HWC[row], pixels_HWC[row + 1], strict=True)
        for above, below in pair:
            ink, paper = ("#{:02x}{:02x}{:02x}".format(*pixel) for pixel in (above, below))
            text.append("▀", Style(color=ink, bgcolor=paper))
        text.append("\n")
    text.rstrip()
    return text


def _pixels(data: bytes) -> NDArray[np.uint8] | None:
    """uint8 (H, W, 3), H even, at most `_COLUMNS` wide and high."""
    try:
        from PIL import Image
    except ImportError:  # an extra of the data preparation and of the image plugin, not of the core
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=_FORMATS).convert("RGB")
            picture.thumbnail((_COLUMNS, _COLUMNS))
    except Exception:  # Pillow's decoders raise what comes on damaged files; the size is shown
        return None
    pixels_HWC = np.asarray(picture, np.uint8)
    return np.pad(pixels_HWC, ((0, len(pixels_HWC) % 2), (0, 0), (0, 0)))
