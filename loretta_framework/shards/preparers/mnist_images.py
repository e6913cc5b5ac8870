"""MNIST from its idx files, and PNG out of it with the standard library."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.preparers.pieces import CLASSES, Piece, Pool, fingerprint, of_class
from loretta_framework.shards.preparing.card import source_file
from loretta_framework.shards.preparing.download import Original
from loretta_framework.shards.preparing.finish import Say
from loretta_framework.shards.preparing.sources import find_file, obtain

PLACE = "mnist"
HELD_OUT = 500
"""The last training images of each class are held out."""

LICENCE = (
    "Images: MNIST, Yann LeCun, Corinna Cortes and Christopher J. C. Burges; commonly cited as "
    "CC BY-SA 3.0."
)
CITATION = (
    "LeCun, Y., Bottou, L., Bengio, Y. and Haffner, P. (1998). Gradient-based learning applied to "
    "document recognition. Proceedings of the IEEE 86(11)."
)

_HOME = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_FILES = {
    "train-images-idx3-ubyte": (
        9912422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    "train-labels-idx1-ubyte": (
        28881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    "t10k-images-idx3-ubyte": (
        1648877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    "t10k-labels-idx1-ubyte": (
        4542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
}
_LIMIT = 1 << 28
"""Bytes that an unpacked file may have."""


def read_images(source: Path | None, download: bool, say: Say) -> Pool:
    """Training images, the last of each class held out, and the test images where they are there.

    Raises:
        InputError: a file is missing.
        ShardError: a file is damaged.
        StorageError: a download failed.
    """
    files = {kind: _obtain(source, f"train-{kind}", download, say) for kind in _KINDS}
    train = _pieces("train", files)
    test: tuple[Piece, ...] = ()
    if source is None or find_file(source, (PLACE,), _names(f"t10k-{_KINDS[0]}")):
        official = {kind: _obtain(source, f"t10k-{kind}", download, say) for kind in _KINDS}
        test = _pieces("t10k", official)
        files |= {f"t10k {kind}": path for kind, path in official.items()}
    held = {piece.id for digit in CLASSES for piece in _last(of_class(train, digit), HELD_OUT)}
    return Pool(
        tuple(piece for piece in train if piece.id not in held),
        tuple(piece for piece in train if piece.id in held),
        test,
        tuple(source_file(path, url=_HOME) for path in files.values()),
    ).without_duplicates()


_KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")


def _last(pieces: list[Piece], count: int) -> list[Piece]:
    """The last ones, but never more than a quarter of a small class."""
    return pieces[len(pieces) - min(count, len(pieces) // 4) :]


def _names(stem: str) -> tuple[str, ...]:
    return (f"{stem}.gz", stem)


def _obtain(source: Path | None, stem: str, download: bool, say: Say) -> Path:
    size, sha256 = _FILES[stem]
    name = f"{stem}.gz"
    original = Original(name, _HOME + name, size, f"sha256:{sha256}")
    return obtain(source, PLACE, _names(stem), original if download else None, say)


def _pieces(part: str, files: dict[str, Path]) -> tuple[Piece, ...]:
    images = read_idx(files[_KINDS[0]], 3)
    labels = read_idx(files[_KINDS[1]], 1)
    if len(images) != len(labels) or (len(labels) and labels.max() > 9):
        raise ShardError(
            f"there must be one label 0..9 an image, but there are {len(images)} images and "
            f"{len(labels)} labels up to {int(labels.max()) if len(labels) else 0}",
            where=str(files[_KINDS[1]]),
            fix="take both files from the same place",
        )
    return tuple(
        Piece(f"{part}-{number:05d}", int(label), fingerprint(image.tobytes()), data=image)
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    )


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """A file of bytes in idx form, plain or gzip.

    Raises:
        ShardError: it is no such file, or is damaged.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            data = file.read(_LIMIT + 1)
        shape = struct.unpack_from(f">{axes}I", data, 4)
        if data[:4] != bytes((0, 0, 8, axes)):
            raise ValueError(f"it must begin with 0 0 8 {axes}, but begins with {data[:4].hex()}")
        if len(data) != 4 + 4 * axes + int(np.prod(shape)):
            raise ValueError(f"its head announces {shape}, but it has {len(data)} bytes")
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise ShardError(
            f"the file is no idx file of {axes} axes: {error}",
            where=str(path),
            fix="get the file again",
        ) from error
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def png(image_HW: NDArray[np.uint8]) -> bytes:
    """8-bit grey PNG of (height, width)."""
    height, width = image_HW.shape
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = np.zeros((height, width + 1), np.uint8)  # each line begins with its filter: none
    lines[:, 1:] = image_HW
    body = zlib.compress(lines.tobytes(), 9)
    chunks = ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
