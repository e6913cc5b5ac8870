"""Texts of ten classes: requests of CLINC150, templated digit words, or wine reviews."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from loretta_framework.api.errors import InputError, ShardError
from loretta_framework.shards.preparers.pieces import (
    CLASSES,
    WORDS,
    Piece,
    Pool,
    fingerprint,
    shuffled,
)
from loretta_framework.shards.preparing.card import source_file
from loretta_framework.shards.preparing.download import Original
from loretta_framework.shards.preparing.finish import Say
from loretta_framework.shards.preparing.sources import obtain

_HOME = "https://github.com/clinc/oos-eval"
_CLINC = "https://raw.githubusercontent.com/clinc/oos-eval/828f8093932c8fe6ca7936c3d2e52903b1c523de/data/"
_REQUESTS = Original(
    "data_full.json",
    _CLINC + "data_full.json",
    2495390,
    "sha256:36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0",
)
_DOMAINS = Original(
    "domains.json",
    _CLINC + "domains.json",
    3818,
    "sha256:b947b579d3b8e74b06f93b01083d8efaff2888b43a3e362533bd88a6e1211b3a",
)

VARIETIES = (
    "Bordeaux-style Red Blend",
    "Cabernet Sauvignon",
    "Chardonnay",
    "Merlot",
    "Pinot Noir",
    "Red Blend",
    "Riesling",
    "Rosé",
    "Sauvignon Blanc",
    "Syrah",
)
"""Grape varieties of the classes 0..9."""

WINE_FILE = "winemag-data-130k-v2.csv"

LICENCES = {
    "clinc150": "Texts: CLINC150 (oos-eval), Larson et al., CC BY 3.0.",
    "digit-words": "Texts: made by this project, CC0 1.0.",
    "wine": "Texts: wine reviews (Kaggle zynicide/wine-reviews), CC BY-NC-SA 4.0: "
    "not for commercial use, and not to be passed on but under the same terms.",
}
CITATIONS = {
    "clinc150": "Larson, S. et al. (2019). An Evaluation Dataset for Intent Classification and "
    "Out-of-Scope Prediction. EMNLP-IJCNLP.",
    "wine": "Thoutt, Z. (2017). Wine Reviews. Kaggle, https://www.kaggle.com/zynicide/wine-reviews",
}

_OPENINGS = (
    *("", "it is", "this is", "that is", "here is", "i see", "you see", "we have", "there is"),
    *("it must be", "look at", "they wrote"),
)
_FORMS = (
    *("a {} {}", "the {} {}", "a {} digit {}", "the {} digit {}", "a {} number {}"),
    *("the {} number {}", "a {} figure {}", "some {} {}"),
)
_MANNERS = (
    *("handwritten", "spoken", "clear", "plain", "small", "large", "round", "thin", "bold"),
    *("quick", "careful", "simple", "fine", "crooked", "neat", "old"),
)
_ENDINGS = ("", "here", "now", "again", "today", "once more", "indeed", "for sure")
_TRAIN, _HELD = 4000, 500
"""Templated texts of a class for training, and for validation and for test each."""


def read_texts(kind: str, source: Path | None, download: bool, seed: int, say: Say) -> Pool:
    """The texts of a source, without duplicates.

    Raises:
        InputError: a file is missing.
        ShardError: a file does not hold what it should.
        StorageError: a download failed.
    """
    if kind == "digit-words":
        return digit_words(seed)
    return _clinc(source, download, say) if kind == "clinc150" else _wine(source, seed)


def digit_words(seed: int) -> Pool:
    """Phrases that name the digit in words: every phrase occurs once."""
    parts: tuple[list[Piece], ...] = ([], [], [])
    for digit in CLASSES:
        phrases = list(product(_OPENINGS, _FORMS, _MANNERS, _ENDINGS))
        chosen = shuffled(phrases, seed, "digit-words", digit)[: _TRAIN + 2 * _HELD]
        for number, (opening, form, manner, ending) in enumerate(chosen):
            text = " ".join(f"{opening} {form.format(manner, WORDS[digit])} {ending}".split())
            piece = _piece(f"words-{digit}-{number:04d}", digit, text)
            parts[(number >= _TRAIN) + (number >= _TRAIN + _HELD)].append(piece)
    return Pool(tuple(parts[0]), tuple(parts[1]), tuple(parts[2]))


def _clinc(source: Path | None, download: bool, say: Say) -> Pool:
    names = ("data_full.json", "data_full.json.gz", "clinc150_train_val.json.gz")
    requests = obtain(source, "clinc150", names, _REQUESTS if download else None, say)
    places = obtain(source, "clinc150", ("domains.json",), _DOMAINS if download else None, say)
    data, domains = _json(requests), _json(places)
    try:
        classes = {
            intent: digit
            for digit, domain in enumerate(sorted(domains))
            for intent in domains[domain]
        }
        parts = [
            tuple(
                _piece(f"clinc-{split}-{number:05d}", classes[intent], text, intent)
                for number, (text, intent) in enumerate(data.get(split, []))
            )
            for split in ("train", "val", "test")
        ]
        if len(domains) != len(CLASSES):
            raise ValueError(f"there must be 10 domains, but there are {len(domains)}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ShardError(
            f"the texts must be lists of [text, intent] of the ten domains: {error}",
            where=f"{requests}, {places}",
            fix="take both files from the clinc/oos-eval repository",
        ) from error
    files = tuple(source_file(path, url=_HOME) for path in (requests, places))
    about = _classes(sorted(domains))
    return Pool(parts[0], parts[1], parts[2], files, about).without_duplicates()


def _wine(source: Path | None, seed: int) -> Pool:
    if source is None:
        raise InputError(
            f"wine reviews are not downloaded: {WINE_FILE} needs an account at Kaggle",
            where="wine",
            fix="get it from kaggle.com/zynicide/wine-reviews and name its folder with --source",
        )
    path = obtain(source, "wine", (WINE_FILE, f"{WINE_FILE}.gz"), None, lambda line: None)
    pieces = Pool(tuple(_reviews(path)), ()).without_duplicates().train
    parts: tuple[list[Piece], list[Piece]] = ([], [])
    for digit in CLASSES:
        mixed = shuffled([p for p in pieces if p.digit == digit], seed, "wine", digit)
        cut = len(mixed) - len(mixed) // 5
        parts[0].extend(mixed[:cut])
        parts[1].extend(mixed[cut:])
    return Pool(tuple(parts[0]), tuple(parts[1]), (), (source_file(path),), _classes(VARIETIES))


def _reviews(path: Path) -> Iterator[Piece]:
    classes = {variety: digit for digit, variety in enumerate(VARIETIES)}
    try:
        with (
            path.open("rb") as raw,
            gzip.open(raw) if path.suffix == ".gz" else raw as file,
            io.TextIOWrapper(file, encoding="utf-8", newline="") as text,
        ):
            for number, row in enumerate(csv.DictReader(text)):
                digit = classes.get(row["variety"] or "")
                if digit is not None and row["description"]:
                    yield _piece(f"wine-{number:06d}", digit, row["description"].strip())
    except (KeyError, ValueError, csv.Error, OSError, EOFError, zlib.error) as error:
        raise ShardError(
            f"the file must be a CSV with the columns description and variety: {error}",
            where=str(path),
            fix=f"take {WINE_FILE} as it comes from Kaggle",
        ) from error


def _piece(name: str, digit: int, text: Any, group: str = "") -> Piece:
    if not isinstance(text, str):
        raise TypeError(f"a text must be a string, but is {type(text).__name__}")
    same = " ".join(text.casefold().split())
    return Piece(name, digit, fingerprint(same.encode()), group, text)


def _classes(names: Sequence[str]) -> str:
    return "Text classes: " + ", ".join(f"{digit} {name}" for digit, name in enumerate(names))


def _json(path: Path) -> Any:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return json.load(file)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ShardError(
            f"the file cannot be read as JSON: {error}", where=str(path), fix="get the file again"
        ) from error
