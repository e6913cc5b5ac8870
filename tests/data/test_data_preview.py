"""`loretta data preview` in the terminal and as a page."""

from __future__ import annotations

import base64
import io
import json
import re
import wave
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from loretta_framework.cli.main import main
from loretta_framework.data.preview.html import page
from loretta_framework.data.preview.media import MAX_EMBEDDED, describe, image_size
from loretta_framework.data.preview.samples import chosen_rows, sheet_of_shards, size_text
from loretta_framework.data.preview.terminal import print_sheets
from loretta_framework.shards.index import open_index
from loretta_framework.shards.writing import ShardWriter

Image = pytest.importorskip("PIL.Image")

ATTACK = "<script>alert(1)</script>\"' onerror=x &amp; \x1b[2J\u202e"


def picture(form: str = "PNG", size: tuple[int, int] = (9, 7)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (250, 10, 30)).save(file, form)
    return file.getvalue()


def sound(samples: int = 4000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        ramp = np.linspace(0, 20_000, samples) * np.sin(np.arange(samples))
        out.writeframes(ramp.astype("<i2").tobytes())
    return file.getvalue()


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    with ShardWriter(tmp_path, "s") as writer:
        writer.write(
            "full",
            {
                "image.png": picture(),
                "image.1.jpg": picture("JPEG"),
                "speech.wav": sound(),
                "text.txt": ATTACK.encode(),
                "genes.csv": b"gene,value\nTP53,1.5\n<b>x</b>,2\n",
                "blob.bin": bytes(range(40)),
                "vector.svg": b"<svg onload=alert(1)></svg>",
                "fake.png": b"<html><script>alert(1)</script>",
                "meta.json": json.dumps({"digit": 3, "who": ATTACK}).encode(),
            },
        )
        for number in range(30):
            writer.write(f"k{number:02d}", {"text.txt": b"short"})
    return tmp_path / "s-000000.tar"


class Page(HTMLParser):
    """Tags with attributes, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_shows_everything_and_needs_nothing_else(shard: Path, tmp_path: Path) -> None:
    html = tmp_path / "new" / "sheet.html"
    assert main(["data", "preview", str(shard), "--rows", "40", "--html", str(html)]) == 0
    text = html.read_text("utf-8")
    parsed = Page(text)
    names = [tag for tag, _ in parsed.tags]
    assert names.count("article") == 31
    assert names.count("img") == 2
    assert names.count("audio") == 1
    assert names.count("table") == 2
    for tag, attributes in parsed.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed")
        assert not [name for name in attributes if name.startswith("on")]
        source = attributes.get("src") or attributes.get("href")
        assert source is None or re.match(r"data:(image/(png|jpeg)|audio/wav);base64,", source)
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert ATTACK.partition("\x1b")[0] in parsed.text  # shown as text, not taken as tags
    assert "prefers-color-scheme: dark" in text
    assert "default-src 'none'" in text
    assert not list(html.parent.glob(".*"))


def test_embedded_media_are_the_files_as_they_are(shard: Path) -> None:
    sheet = sheet_of_shards("s", open_index([shard]), 1, None)
    text = page("t", [sheet])
    assert base64.b64encode(picture()).decode() in text
    assert base64.b64encode(sound()).decode() in text
    assert "0.50 s at 8000 Hz" in text
    assert "9 x 7" in text


def test_what_is_no_picture_by_its_content_is_not_embedded(shard: Path) -> None:
    sheet = sheet_of_shards("s", open_index([shard]), 1, None)
    parts = {part.name: part for part in sheet.cards[0].parts}
    assert parts["fake"].media[0].kind == "other"
    assert "no PNG by its content" in parts["fake"].media[0].note
    assert parts["vector"].media[0].kind == "other"
    assert parts["image.1"].media[0].mime == "image/jpeg"
    assert parts["blob"].media[0].text.startswith("00 01 02")
    assert parts["blob"].size == 40


def test_the_terminal_shows_words_and_blocks(
    shard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "preview", str(shard), "--rows", "1"]) == 0
    out = capsys.readouterr().out
    for expected in ("full", "9 x 7", "0.50 s at 8000 Hz", "TP53", "digit", "00 01 02"):
        assert expected in out
    assert "\x1b" not in out
    assert "▀" not in out
    sheet = sheet_of_shards("s", open_index([shard]), 1, None)
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="truecolor", width=120)
    print_sheets([sheet], console)
    colour = file.getvalue()
    assert "▀" in colour
    assert "38;2;250;10;30" in colour
    assert "\x1b[2J" not in colour
    assert "[2J" in colour  # what would have cleared the screen is text


RECIPE = """
schema_version: 1
name: toy
modalities:
  image: {kind: image.pixels, settings: {height: 4, width: 4}}
  text: {kind: text_bytes, settings: {max_tokens: 8}}
  speech: {kind: audio.mel_codes}
data:
  train: [{name: s, shards: "t-*.tar", modalities: [image, text, speech], label: meta.digit,
           missing: error}]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    meta = b'{"digit": "<seven>"}'
    with ShardWriter(tmp_path, "t") as writer:
        writer.write("a", {"image.png": picture(), "text.txt": b"hi", "meta.json": meta})
        writer.write("b", {"image.png": b"none", "speech.wav": sound(), "meta.json": meta})
        writer.write("c", {"text.txt": b"no label"})
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE)
    return path


def test_a_recipe_s_modalities_read_and_show(recipe: Path, tmp_path: Path) -> None:
    html = tmp_path / "sheet.html"
    assert main(["data", "preview", "--recipe", str(recipe), "--html", str(html)]) == 0
    text = Page(html.read_text("utf-8")).text
    assert "train/s 3 of 3 samples" in text
    assert [text.count(f"{name} missing") for name in ("image", "text", "speech")] == [1, 1, 2]
    assert "<seven>" in text
    assert "none of PNG, JPEG, WEBP" in text
    assert "has no meta.json" in text


def test_any_shards_can_be_shown_with_a_recipe(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards = str(tmp_path / "t-000000.tar")
    assert main(["data", "preview", shards, "--recipe", str(recipe)]) == 0
    out = capsys.readouterr().out
    assert "train/s " in out
    assert "speech  missing" in out
    (tmp_path / "t-000000.tar").rename(tmp_path / "u-000000.tar")
    assert main(["data", "preview", str(tmp_path / "u-000000.tar"), "--recipe", str(recipe)]) == 0
    assert "paths/u " in capsys.readouterr().out


def test_shards_of_two_splits_in_one_folder_are_shown_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "test"):
        with ShardWriter(tmp_path / "d", name) as writer:
            writer.write("0", {"text.txt": name.encode()})
    head, _, _ = RECIPE.partition("data:")
    path = tmp_path / "r.yaml"
    path.write_text(
        f"{head}data:\n  train: [{{name: s, shards: 'd/train-*.tar', modalities: [text]}}]\n"
    )
    assert main(["data", "preview", str(tmp_path / "d"), "--recipe", str(path)]) == 0
    out = capsys.readouterr().out
    assert "train/s  1 of 1 samples" in out
    assert "paths/test  1 of 1 samples" in out


def test_a_label_that_is_no_unicode_does_not_break_the_page(recipe: Path, tmp_path: Path) -> None:
    with ShardWriter(tmp_path, "t") as writer:
        writer.write("a", {"text.txt": b"hi", "meta.json": b'{"digit": "\\ud800"}'})
    html = tmp_path / "sheet.html"
    assert main(["data", "preview", "--recipe", str(recipe), "--html", str(html)]) == 0
    assert "\\ud800" in Page(html.read_text("utf-8")).text
    assert not list(tmp_path.glob(".*.tmp"))


def test_rows_are_spread_or_drawn() -> None:
    assert chosen_rows(3, 8, None) == [0, 1, 2]
    assert chosen_rows(100, 4, None) == [0, 25, 50, 75]
    assert chosen_rows(100, 4, 1) == chosen_rows(100, 4, 1)
    assert chosen_rows(100, 4, 1) != chosen_rows(100, 4, 2)
    assert len(set(chosen_rows(100, 4, 1))) == 4


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP"])
def test_sizes_come_from_headers(form: str) -> None:
    data = picture(form, (301, 17))
    assert image_size(data) == (301, 17)
    for cut in range(min(len(data), 60)):
        image_size(data[:cut])  # never an error


def test_what_is_too_large_is_described_only() -> None:
    large = picture() + b"\0" * MAX_EMBEDDED
    media = describe(large, "png")
    assert (media.data, media.note) == (b"", "9 x 7, too large to show here")
    wide = bytearray(picture())
    wide[16:24] = (100_000).to_bytes(4, "big") * 2
    assert describe(bytes(wide), "png").data == b""
    assert describe(b"x" * (2 << 20), "txt").note == "shortened"
    assert describe(b"[" * 50_000, "json").kind == "other"
    assert describe(b"{" + b" " * (2 << 20) + b"}", "json").note == "too long to show here"
    assert "no UTF-8" in describe(b"\xff", "txt").note


def test_lists_of_records_are_tables() -> None:
    media = describe(json.dumps([{"a": 1, "b": "x"}, {"a": 2}]).encode(), "json")
    assert media.table == (("a", "b"), ("1", "x"), ("2", ""))
    wide = describe(",".join(map(str, range(20))).encode(), "csv")
    assert wide.table[0][-1] == "…"
    assert wide.note == "0 rows x 20 columns"


def test_damaged_wavs_are_described() -> None:
    for cut in range(60):
        assert describe(sound()[:cut], "wav").kind in ("audio", "other")


def test_sizes_are_for_people() -> None:
    assert [size_text(n) for n in (5, 2048, 3 << 20)] == ["5 B", "2.0 kB", "3.0 MB"]


def test_mistakes_are_told(shard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "preview"]) == 2
    assert "nothing to show was named" in capsys.readouterr().err
    (tmp_path / "file").write_text("x")
    assert main(["data", "preview", str(shard), "--html", str(tmp_path / "file" / "x.html")]) == 2
    assert "the page cannot be written" in capsys.readouterr().err
    (tmp_path / "r.yaml").write_text(RECIPE.replace("t-*", "none-*"))
    assert main(["data", "preview", "--recipe", str(tmp_path / "r.yaml")]) == 2
    assert "no shard matches" in capsys.readouterr().err
