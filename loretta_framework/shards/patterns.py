"""Shard patterns of a recipe become a sorted list of local paths and URLs: `*` and brace ranges."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path, PurePosixPath

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.remote.locations import checked_url, is_url, shown, url_path

MAX_EXPANSION = 100_000
"""Names one pattern may stand for; `{0..1000000000}` is a mistake or an attack."""

INDEX_SUFFIX = ".index.safetensors"

_NO_SHARDS = (INDEX_SUFFIX, ".index.json")  # earlier versions wrote the second
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})")
_COMPRESSED = (".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst")
_UNPACK = {".gz": "gzip", ".tgz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}


def expand_shards(patterns: str | Sequence[str], base: Path) -> tuple[str, ...]:
    """The shards that the patterns name: absolute local paths and URLs, each once, sorted.

    Args:
        patterns: paths or URLs with `{0..9}` (zero-padded as written), `{a,b}` or `*`, which asks
            an object store for its listing; an http server has none. A file whose name holds
            braces is that file.
        base: folder that relative patterns start from.

    Raises:
        ShardError: a pattern matches nothing, is a command or a URL that may not be read, expands
            beyond `MAX_EXPANSION`, or names a file that is not a plain `.tar`. Whether a URL
            without `*` exists shows when it is opened.
        StorageError: an object store cannot be listed.
        MissingDependencyError: the package that lists such a store is not installed.
    """
    found: set[str] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        remote = is_url(pattern)
        # `Path.is_file` fails on a long pattern
        literal = not remote and os.path.isfile(base / pattern)
        for name in [pattern] if literal else _braces(pattern):
            found.update(_urls(name, pattern) if remote else _files(name, pattern, base))
    return tuple(sorted(found))


def expand_paths(
    paths: Sequence[str], base: Path, *, skip_compressed: bool = False
) -> tuple[str, ...]:
    """The shards that the arguments of a command name: as `expand_shards`, or whole folders.

    Args:
        paths: files, folders, patterns or URLs. What exists is taken by its name, braces and all.
        base: folder that relative paths start from.
        skip_compressed: pass over the compressed tars of a folder; they are told elsewhere.

    Raises:
        ShardError, StorageError, MissingDependencyError: see `expand_shards`; or a folder holds no
            shard, or a compressed one.
    """
    found: set[str] = set()
    for path in paths:
        folder = base / path
        if is_url(path) or not os.path.isdir(folder):
            found.update(expand_shards(path, base))
            continue
        for error in () if skip_compressed else compressed_tars(path, base):
            raise error
        hits = [hit for hit in _visible(folder) if hit.suffix == ".tar"]
        if not hits:
            raise _no_match(f"{path.rstrip('/')}/*.tar", "", base)
        found.update(map(_absolute, hits))
    return tuple(sorted(found))


def compressed_tars(path: str, base: Path) -> list[ShardError]:
    """What is wrong with each compressed tar of a folder; nothing of what is no folder."""
    if is_url(path) or not os.path.isdir(base / path):
        return []
    errors = []
    for file in _visible(base / path):
        if file.name.endswith(_COMPRESSED):
            try:
                _require_tar(file, str(file))
            except ShardError as error:
                errors.append(error)
    return errors


def _visible(folder: Path) -> list[Path]:
    """Its files by name, those aside that `*` does not match."""
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted(path for path in files if path.is_file())


def _absolute(path: Path) -> str:
    """The absolute path under the name that was given: links stay, since the index lies beside them.

    `..` is taken out, but for one behind a link: it does not lead back to where the link is.
    """
    plain = os.path.abspath(path)
    try:
        return plain if os.path.samefile(plain, path) else os.path.realpath(path)
    except OSError:
        return os.path.realpath(path)


def _no_match(pattern: str, missing: str, base: Path) -> ShardError:
    return ShardError(
        f"no shard matches '{pattern}'{missing}",
        where=str(base),
        fix="check the path; it is relative to that folder",
    )


def _files(name: str, pattern: str, base: Path) -> Iterator[str]:
    there = os.path.isfile(base / name)
    if "*" in name and not there:  # brackets and question marks occur in folder names
        literal = name.replace("[", "[[]").replace("?", "[?]")
        hits = [base / hit for hit in glob.glob(literal, root_dir=base)]
        hits = [hit for hit in hits if hit.is_file() and not hit.name.endswith(_NO_SHARDS)]
    else:
        hits = [base / name] if there else []
    if not hits:
        missing = f" ('{name}' is missing)" if name != pattern else ""
        raise _no_match(pattern, missing, base)
    for hit in hits:
        _require_tar(hit, str(hit))
        yield _absolute(hit)


def _urls(name: str, pattern: str) -> Iterator[str]:
    url = checked_url(name)
    hits = _listed(url, pattern) if "*" in url_path(url) else [url]
    for hit in hits:
        _require_tar(PurePosixPath(url_path(hit)), shown(hit))
        yield hit


def _listed(url: str, pattern: str) -> list[str]:
    if url.startswith("http"):
        raise ShardError(
            "'*' cannot be used over http, since a web server has no listing",
            where=shown(pattern),
            fix="name the shards with braces: https://host/captions-{000..099}.tar",
        )
    from loretta_framework.shards.remote.buckets import list_bucket

    hits = [hit for hit in list_bucket(url) if not hit.endswith(_NO_SHARDS)]
    if not hits:
        raise ShardError(
            f"no shard matches '{shown(pattern)}'",
            fix="check bucket and prefix; '*' does not cross a slash",
        )
    if len(hits) > MAX_EXPANSION:
        raise ShardError(
            f"'{shown(pattern)}' matches {len(hits)} objects, but may match at most {MAX_EXPANSION}",
            fix="narrow the pattern, or write fewer and larger shards",
        )
    return hits


def _require_tar(path: Path | PurePosixPath, where: str) -> None:
    if path.suffix in _UNPACK:
        plain = path.with_suffix("") if path.stem.endswith(".tar") else path.with_suffix(".tar")
        source, target = (path, plain) if isinstance(path, Path) else (path.name, plain.name)
        command = f"{_UNPACK[path.suffix]} -dc {source} > {target}"
        raise ShardError(
            "a shard must be an uncompressed tar, since samples are read by their offset",
            where=where,
            fix=f"unpack it once: {command}"
            if isinstance(path, Path)
            else f"download it, and put the plain tar in its place: {command}",
        )
    if path.suffix != ".tar":
        raise ShardError(
            "a shard's name must end in .tar",
            where=where,
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
            f"'{shown(pattern)}' stands for {total} names, but may stand for at most {MAX_EXPANSION}",
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
        where=shown(pattern),
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
