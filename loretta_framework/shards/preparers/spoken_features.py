"""MFCC features of spoken digits as Zenodo records 3515935 and 4452953 publish them."""

from __future__ import annotations

import io
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.preparers.pieces import CLASSES, Piece, Pool, fingerprint, of_class
from loretta_framework.shards.preparing.card import source_file
from loretta_framework.shards.preparing.sources import obtain

FRAMES, COEFFICIENTS = 39, 13
_HOME = "https://zenodo.org/records/4452953"
_HELD_OUT = 100
"""Training items of each class that are held out for validation, or a tenth where that is fewer."""


def read_features(source: Path | None) -> Pool:
    """The features, each distinct row once; the data set repeats many at random.

    `data` of a piece is float32 (39, 13): frames and coefficients.

    Raises:
        InputError: a file is missing.
        ShardError: a file is no such array.
    """
    files: list[Path] = []
    parts: list[tuple[Piece, ...]] = []
    for part in ("train", "test"):
        names = (f"data_sp_{part}.npy", f"labels_{part}.npy")
        paths = [obtain(source, "zenodo", (name,), None, lambda line: None) for name in names]
        parts.append(_pieces(part, *paths))
        files += paths
    pool = Pool(parts[0], (), parts[1]).without_duplicates()
    held = set()
    for digit in CLASSES:
        found = of_class(pool.train, digit)
        held |= {piece.id for piece in found[len(found) - min(_HELD_OUT, len(found) // 10) :]}
    return Pool(
        tuple(piece for piece in pool.train if piece.id not in held),
        tuple(piece for piece in pool.train if piece.id in held),
        pool.test,
        tuple(source_file(path, url=_HOME) for path in files),
        f"Speech: float32 arrays of {FRAMES} frames and {COEFFICIENTS} MFCC coefficients.",
    )


def npy(values: NDArray[np.float32]) -> bytes:
    """The array as a .npy file."""
    file = io.BytesIO()
    np.save(file, values, allow_pickle=False)
    return file.getvalue()


def _pieces(part: str, features: Path, labels: Path) -> tuple[Piece, ...]:
    rows_NF, digits = _array(features), _array(labels)
    if digits.ndim == 2 and digits.shape[1] == len(CLASSES):  # one-hot
        digits = digits.argmax(1)
    digits = digits.reshape(-1)
    if (
        rows_NF.ndim != 2
        or rows_NF.shape[1] != FRAMES * COEFFICIENTS
        or len(rows_NF) != len(digits)
    ):
        raise ShardError(
            f"there must be {FRAMES * COEFFICIENTS} values and one label a row, but the shapes are "
            f"{rows_NF.shape} and {digits.shape}",
            where=f"{features}, {labels}",
            fix="take the files of Zenodo record 3515935 or 4452953",
        )
    if not np.isin(digits, CLASSES).all():
        raise ShardError(
            "labels must be 0..9", where=str(labels), fix="take the file of the Zenodo record"
        )
    pieces = []
    for number, digit in enumerate(digits):
        row = np.asarray(rows_NF[number], np.float32).reshape(FRAMES, COEFFICIENTS)
        pieces.append(
            Piece(f"mfcc-{part}-{number:05d}", int(digit), fingerprint(row.tobytes()), data=row)
        )
    return tuple(pieces)


def _array(path: Path) -> NDArray[np.generic]:
    """The array of a file, mapped: the training features have a quarter of a gigabyte."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(found, np.ndarray) or found.dtype.kind not in "fiu":
            raise ValueError("it must be one array of numbers")
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ShardError(
            f"the file cannot be read as an array: {error}", where=str(path), fix="get it again"
        ) from error
    return found
