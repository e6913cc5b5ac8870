"""A contact sheet of samples: one page that needs no network and runs no script."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from loretta_framework.data.preview.media import Media
from loretta_framework.data.preview.samples import Card, Part, Sheet, size_text

_STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #ffffff; --line: #d9dee5;
  --ink: #1b2430; --soft: #5b6876; --tag: #e8edf4; --accent: #2456a6; --bad: #b3261e;
  --well: #eef1f5; }
@media (prefers-color-scheme: dark) { :root { --page: #14181e; --card: #1d232b; --line: #333d49;
  --ink: #e6eaf0; --soft: #9aa7b5; --tag: #2a333f; --accent: #8db4f5; --bad: #ff8a80;
  --well: #161b22; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1500px; padding: 24px; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 22px; margin: 0 0 4px; }
h2 { font-size: 17px; margin: 28px 0 10px; overflow-wrap: anywhere; }
h2 small, header p { color: var(--soft); font-weight: 400; font-size: 14px; margin: 0; }
.sheet { display: grid; gap: 14px; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr));
  align-items: start; }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  overflow: hidden; }
article > header { display: flex; gap: 8px; align-items: center; padding: 9px 12px;
  border-bottom: 1px solid var(--line); }
article > header b { font: 600 14px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; flex: 1; }
.label { background: var(--accent); color: var(--card); border-radius: 9px; padding: 0 9px;
  font-size: 13px; overflow-wrap: anywhere; }
.part { padding: 9px 12px; }
.part + .part { border-top: 1px dashed var(--line); }
.head { display: flex; gap: 8px; align-items: baseline; margin-bottom: 6px; font-size: 13px;
  color: var(--soft); }
.tag { background: var(--tag); color: var(--ink); border-radius: 5px; padding: 1px 7px;
  font-weight: 600; flex: none; max-width: 60%; overflow-wrap: anywhere; }
.size { margin-left: auto; white-space: nowrap; }
.well { background: var(--well); border-radius: 6px; display: flex; justify-content: center;
  padding: 8px; }
.well img { max-width: 100%; max-height: 240px; min-height: 96px; object-fit: contain;
  image-rendering: pixelated; }
.well img.large { image-rendering: auto; }
audio + .well { margin-top: 6px; }
audio + .well img { max-height: 120px; }
audio { width: 100%; height: 38px; display: block; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 220px; overflow: auto; }
.hex { font: 12px/1.6 ui-monospace, monospace; color: var(--soft); overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { border: 1px solid var(--line); padding: 2px 7px; text-align: left; }
th { background: var(--tag); font-weight: 600; }
.missing { color: var(--soft); }
.missing .tag { background: none; outline: 1px dashed var(--soft); }
.bad { color: var(--bad); overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: 34px; margin-bottom: 4px; fill: var(--accent); }
"""

_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


def page(title: str, sheets: Sequence[Sheet]) -> str:
    """The page as text that can be written as UTF-8: lone surrogates of labels are spelled out."""
    total = sum(len(sheet.cards) for sheet in sheets)
    body = "".join(_sheet(sheet) for sheet in sheets)
    text = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<header><h1>{escape(title)}</h1><p>{total} samples shown</p></header>"
        f"{body}</body></html>\n"
    )
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _sheet(sheet: Sheet) -> str:
    cards = "".join(_card(card) for card in sheet.cards)
    facts = escape(f"{len(sheet.cards)} of {sheet.samples} samples")
    return (
        f"<section><h2>{escape(sheet.name)} <small>{facts}</small></h2>"
        f'<div class="sheet">{cards}</div></section>'
    )


def _card(card: Card) -> str:
    label = f'<span class="label">{escape(card.label)}</span>' if card.label is not None else ""
    parts = "".join(_part(part) for part in card.parts)
    fault = f'<div class="part bad">{escape(card.fault)}</div>' if card.fault else ""
    missing = "".join(
        f'<div class="part missing"><span class="tag">{escape(name)}</span> missing</div>'
        for name in card.missing
    )
    place = escape(card.place)
    return (
        f'<article title="{place}"><header><b>{escape(card.key)}</b>{label}</header>'
        f"{fault}{parts}{missing}</article>"
    )


def _part(part: Part) -> str:
    notes = " · ".join(media.note for media in part.media if media.note)
    head = (
        f'<div class="head"><span class="tag">{escape(part.name)}</span>'
        f'<span>{escape(notes)}</span><span class="size">{size_text(part.size)}</span></div>'
    )
    fault = f'<div class="bad">{escape(part.fault)}</div>' if part.fault else ""
    return f'<div class="part">{head}{fault}{"".join(map(_media, part.media))}</div>'


def _media(media: Media) -> str:
    if media.kind == "image" and media.data:
        large = ' class="large"' if len(media.data) > 20_000 else ""
        return f'<div class="well"><img{large} alt="" src="{_uri(media)}"></div>'
    if media.kind == "audio":
        player = (
            f'<audio controls preload="metadata" src="{_uri(media)}"></audio>' if media.data else ""
        )
        return _bars(media.bars) + player
    if media.kind == "table":
        return f'<div class="wide"><table>{_rows(media.table)}</table></div>'
    if media.text:
        kind = "hex" if media.kind == "other" else "text"
        return f'<div class="{kind}" dir="auto">{escape(media.text)}</div>'
    return ""


def _rows(table: tuple[tuple[str, ...], ...]) -> str:
    lines = []
    for number, row in enumerate(table):
        cell = "td" if number else "th"
        lines.append("<tr>" + "".join(f"<{cell}>{escape(text)}</{cell}>" for text in row) + "</tr>")
    return "".join(lines)


def _bars(bars: Sequence[float]) -> str:
    if not bars:
        return ""
    drawn = "".join(
        f'<rect x="{number * 4}" y="{16 - 15 * bar:.1f}" width="3" height="{1 + 30 * bar:.1f}"/>'
        for number, bar in enumerate(bars)
    )
    box = f'viewBox="0 0 {4 * len(bars)} 32" preserveAspectRatio="none"'
    return f'<svg {box} aria-hidden="true">{drawn}</svg>'


def _uri(media: Media) -> str:
    return f"data:{media.mime};base64,{b64encode(media.data).decode()}"
