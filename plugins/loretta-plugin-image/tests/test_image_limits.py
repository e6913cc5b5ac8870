"""What a hostile picture may cost: nothing is decoded that the recipe does not allow."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from loretta_plugin_image.headers import MAX_SCANS, MAX_TEXTS, claimed_size, count_scans
from loretta_plugin_image.pixels import Pixels
from loretta_plugin_image.settings import PixelsSettings
from loretta_plugin_image.shrink import LARGE
from PIL import Image

from loretta_framework.testing.damaged_media import cost_of

PIXELS = Pixels(PixelsSettings(height=8, width=8))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, kind: int = 0, depth: int = 8, before: bytes = b"") -> bytes:
    """All black, in a few kilobytes. kind: 0 grey, 2 RGB, 6 RGBA."""
    values = {0: 1, 2: 3, 6: 4}[kind]
    packer = zlib.compressobj(1)
    row = b"\0" * (1 + width * values * depth // 8)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before
    return start + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def saved(form: str, size: tuple[int, int], mode: str = "L", **options: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size, 128 if mode == "L" else None).save(file, form, **options)
    return file.getvalue()


def jpeg_claiming(width: int, height: int) -> bytes:
    data = bytearray(saved("JPEG", (8, 8)))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


TEXTS = b"".join(
    chunk(b"zTXt", b"k%d\0\0" % n + zlib.compress(b"a" * 1_000_000)) for n in range(60)
)

BOMBS: dict[str, Callable[[], bytes]] = {
    "png grey": lambda: png(10_000, 10_000),
    "png 16 bits rgba": lambda: png(4100, 4100, 6, 16),
    "png a row": lambda: png(16_000_001, 1),
    "png texts": lambda: png(4, 4, before=TEXTS),
    "jpeg": lambda: jpeg_claiming(60_000, 60_000),
    "jpeg between Pillow's warning and its error": lambda: jpeg_claiming(10_000, 10_000),
    "webp": lambda: (
        saved("WEBP", (8, 8))[:12]
        + b"VP8X\x0a\0\0\0\x10\0\0\0"
        + (16_382).to_bytes(3, "little") * 2
    ),
    "webp lossless header": lambda: (
        b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + struct.pack("<I", 16_382 | 16_382 << 14)
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_no_time_and_memory(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[name]())
    result = subprocess.run(
        [sys.executable, __file__, str(path)], capture_output=True, text=True, check=True
    )
    told = json.loads(result.stdout)
    assert told["error"].startswith("an image cannot be read: it may ")
    assert told["rise_mb"] <= 64
    assert told["cpu_seconds"] <= 0.2
    assert result.stderr == ""


def test_a_picture_within_the_limit_costs_no_more_than_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(png(3900, 4100, 2))
    told = json.loads(
        subprocess.run(
            [sys.executable, __file__, str(path)], capture_output=True, text=True, check=True
        ).stdout
    )
    assert told["error"] == ""
    assert told["rise_mb"] <= 80  # 4 bytes a pixel, as Pillow holds it, and one band of it


def test_warnings_of_bombs_are_errors() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="max_pixels"):
            Pixels(PixelsSettings(height=8, width=8, max_pixels=80_000_000)).read(
                jpeg_claiming(10_000, 10_000), "jpg"
            )


def test_jpegs_of_many_passes_are_refused() -> None:
    usual = saved("JPEG", (64, 64), "RGB", progressive=True)
    assert 1 < count_scans(usual) <= 12
    PIXELS.read(usual, "jpg")
    with pytest.raises(ValueError, match=f"at most {MAX_SCANS} passes"):
        PIXELS.read(usual + b"\xff\xda" * MAX_SCANS, "jpg")
    with pytest.raises(ValueError, match=f"at most {MAX_TEXTS} compressed texts"):
        PIXELS.read(png(4, 4, before=TEXTS), "png")


@pytest.mark.parametrize(
    ("form", "options"),
    [("PNG", {}), ("WEBP", {}), ("WEBP", {"lossless": True}), ("WEBP", {"exif": b"Exif\0\0MM\0*"})],
)
def test_headers_are_read_as_pillow_reads_them(form: str, options: dict[str, object]) -> None:
    data = saved(form, (301, 17), "RGB", **options)
    assert claimed_size(data) == Image.open(io.BytesIO(data)).size == (301, 17)
    for cut in range(40):
        claimed_size(data[:cut])  # never an error


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "I;16", "1", "LA"])
def test_a_large_picture_is_the_mean_of_its_pixels(mode: str) -> None:
    side = 1100
    assert side * side > LARGE
    grey = np.add.outer(np.arange(side), np.arange(side)) * (255 / (2 * side - 2))
    picture = Image.fromarray(grey.astype(np.uint8))
    deep = Image.fromarray((grey * 257).astype(np.uint16))
    picture = deep if mode == "I;16" else picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, "PNG")
    value = PIXELS.read(file.getvalue(), "png")[..., 0]
    edges = np.linspace(0, side, 9).round().astype(int)
    cells = [[grey[a:b, c:d].mean() / 255 for c, d in pairwise(edges)] for a, b in pairwise(edges)]
    assert np.abs(value - np.array(cells)).max() < 0.02


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_large_pictures_are_turned_upright(form: str) -> None:
    pixels = np.zeros((1000, 1200), np.uint8)
    pixels[:500, :600] = 255  # top left
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise: top left goes to top right
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, exif=exif)
    value = PIXELS.read(file.getvalue(), "")[..., 0]
    assert value[:3, 5:].min() > 0.95
    assert value[:3, :3].max() < 0.05
    assert value[5:].max() < 0.05


def test_large_transparent_pictures_show_what_is_behind() -> None:
    picture = Image.new("RGBA", (1100, 1100), (255, 255, 255, 0))
    file = io.BytesIO()
    picture.save(file, "PNG")
    white = Pixels(PixelsSettings(height=8, width=8, background="white"))
    assert PIXELS.read(file.getvalue(), "").max() == 0
    assert white.read(file.getvalue(), "").min() == 1


def _measure(path: str) -> None:
    """Read a file and print what that took. Small files go first, so that all code is loaded."""
    for form in ("PNG", "JPEG", "WEBP"):
        PIXELS.read(saved(form, (9, 9)), "")
    print(json.dumps(cost_of(PIXELS.read, Path(path).read_bytes())))


if __name__ == "__main__":
    _measure(sys.argv[1])
