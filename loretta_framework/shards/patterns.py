"""Shard patterns of a recipe become a sorted list of files: `*` and brace ranges, local paths only."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from loretta_framework.api.errors import ShardError

MAX_EXPANSION = 100_000
"""Names one pattern may stand for; `{0..1000000000}` is a mistake or an attack."""

INDEX_SUFFIX = ".index.json"

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})")
_UNPACK = {".gz": "gzip", ".tgz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}


def expand_shards(patterns: str | list[str], base: Path) -> tuple[Path, ...]:
    """The files that the patterns name, absolute, each once, sorted by path.

    Args:
        patterns: paths with `*`, `{0..9}` (zero-padded as written) or `{a,b}`.
        base: folder that relative patterns start from.

    Raises:
        ShardError: a pattern matches nothing, is a URL or command, expands beyond
            `MAX_EXPANSION`, or names a file that is not a plain `.tar`.
    """
    found: set[Path] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        if _SCHEME.match(pattern):
            raise ShardError(
                f"a shard must be a local path, but is '{pattern}'",
                fix="copy the shards to a local folder; nothing is fetched or run from a recipe",
            )
        for name in _braces(pattern):
            found.update(_files(name, pattern, base))
    return tuple(sorted(found))


def _files(name: str, pattern: str, base: Path) -> Iterator[Path]:
    if "*" in name:  # the only wildcard: brackets and question marks occur in folder names
        literal = name.replace("[", "[[]").replace("?", "[?]")
        hits = [base / hit for hit in glob.glob(literal, root_dir=base)]
        hits = [hit for hit in hits if hit.is_file() and not hit.name.endswith(INDEX_SUFFIX)]
    else:
        hits = [base / name] if (base / name).is_file() else []
    if not hits:
        missing = f" ('{name}' is missing)" if name != pattern else ""
        raise ShardError(
            f"no shard matches '{pattern}'{missing}",
            where=str(base),
            fix="check the path; it is relative to that folder",
        )
    for hit in hits:
        _require_tar(hit)
        yield hit.resolve()


def _require_tar(path: Path) -> None:
    if path.suffix in _UNPACK:
        plain = path.with_suffix("") if path.stem.endswith(".tar") else path.with_suffix(".tar")
        raise ShardError(
            "a shard must be an uncompressed tar, since samples are read by their offset",
            where=str(path),
            fix=f"unpack it once: {_UNPACK[path.suffix]} -dc {path} > {plain}",
        )
    if path.suffix != ".tar":
        raise ShardError(
            "a shard's name must end in .tar",
            where=str(path),
            fix="narrow the pattern, for example to '*.tar', or rename the file",
        )


def _braces(pattern: str) -> Iterator[str]:
    pieces = _BRACES.split(pattern)  # text, choice, text, choice, ..., text
    choices = [_choices(piece, pattern) for piece in pieces[1::2]]
    total = 1
    for choice in choices:
        total *= len(choice)
    if total > MAX_EXPANSION:
        raise ShardError(
            f"'{pattern}' stands for {total} names, but may stand for at most {MAX_EXPANSION}",
            fix="use '*', or fewer and larger shards",
        )
    for combination in product(*choices):
        parts = [
            text for pair in zip(pieces[0::2], [*combination, ""], strict=True) for text in pair
        ]
        yield "".join(parts)


def _choices(piece: str, pattern: str) -> list[str] | _Padded:
    match = _RANGE.fullmatch(piece)
    if match:
        first, last = int(match[1]), int(match[2])
        if first <= last:
            return _Padded(first, last, len(match[1]) if match[1].startswith("0") else 0)
    elif "," in piece:
        return piece.split(",")
    raise ShardError(
        f"braces must be '{{0..9}}' with the smaller number first or '{{a,b}}', but are '{{{piece}}}'",
        where=pattern,
        fix="mend the braces, or use '*'",
    )


class _Padded:
    """The numbers of a range as text. Its length is known without making them."""

    def __init__(self, first: int, last: int, digits: int) -> None:
        self.numbers, self.digits = range(first, last + 1), digits

    def __len__(self) -> int:
        return self.numbers.stop - self.numbers.start

    def __iter__(self) -> Iterator[str]:
        return (str(number).zfill(self.digits) for number in self.numbers)
