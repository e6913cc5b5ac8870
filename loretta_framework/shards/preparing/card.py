"""The data card of a prepared data set: what is in it, where it came from, who may use it.

Nothing in a card depends on the day, the machine or the folder, so the same sources, seed and
options give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from loretta_framework.shards.preparing.options import written

CARD = "README.md"
"""File name of the card, beside the shards."""

_MADE_BY = "Made by `loretta data prepare "
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file, or a folder of files, that a data set was made from.

    Attributes:
        name: as the card shows it: the file's name, or its path inside the source folder.
        size: bytes.
        sha256: of the content; of several files, see `source_files`.
        url: its official home, "" when it has none.
        files: how many files the entry stands for.
    """

    name: str
    size: int
    sha256: str
    url: str = ""
    files: int = 1


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What only the preparer knows; counts, sizes and hashes are taken from the shards.

    Attributes:
        title: name of the data set for people.
        about: what it is and how it was built, in Markdown.
        purposes: set (prefix of its shards) -> what it is for. Names every set that was written,
            in the order in which they are shown.
        licences: one line a source: what, whose, under which licence.
        citations: how to cite it, one a source.
        sources: what it was made from.
    """

    title: str
    about: str
    purposes: Mapping[str, str]
    licences: tuple[str, ...]
    citations: tuple[str, ...] = ()
    sources: tuple[SourceFile, ...] = ()


@dataclass(frozen=True, slots=True)
class ShardFacts:
    """One shard: its file name, bytes and hash."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SetFacts:
    """What a set holds, as counted in its shards.

    Attributes:
        name: prefix of its shards.
        samples: number of samples.
        combinations: (modalities, samples) of each combination that occurs, most frequent first.
        shards: its shards in order.
    """

    name: str
    samples: int
    combinations: tuple[tuple[tuple[str, ...], int], ...]
    shards: tuple[ShardFacts, ...] = field(repr=False)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Every modality that occurs, sorted."""
        return tuple(sorted({name for names, _ in self.combinations for name in names}))

    @property
    def size(self) -> int:
        """Bytes of its shards."""
        return sum(shard.size for shard in self.shards)


def source_file(path: Path, name: str | None = None, url: str = "") -> SourceFile:
    """The facts of one source file, read in blocks."""
    return SourceFile(name or path.name, path.stat().st_size, file_sha256(path), url)


def source_files(paths: Iterable[Path], root: Path, name: str, url: str = "") -> SourceFile:
    """One entry for many files of a folder.

    Its sha256 is that of the lines "<sha256>  <path from root>\\n", sorted by path: what
    `sha256sum` prints for them.
    """
    found = sorted((path.relative_to(root).as_posix(), path) for path in paths)
    lines = "".join(f"{file_sha256(path)}  {local}\n" for local, path in found)
    size = sum(path.stat().st_size for _, path in found)
    return SourceFile(name, size, sha256(lines.encode()).hexdigest(), url, len(found))


def file_sha256(path: Path) -> str:
    """Hash of a file's content, in hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def written_by_us(card: Path) -> bool:
    """Whether a README was written by a preparation, and may be replaced."""
    return _MADE_BY in card.read_text("utf-8", errors="replace")


def render(
    name: str,
    facts: CardFacts,
    sets: Iterable[SetFacts],
    seed: int,
    options: Mapping[str, Any],
    digest: str,
) -> str:
    """The card as Markdown.

    Args:
        name: the data set's name on the command line.
        facts: what the preparer knows.
        sets: what was counted.
        seed: key of splits and pairings.
        options: every option with its value.
        digest: hash of the contents of all shards.
    """
    sets = tuple(sets)
    parts = [
        f"# {facts.title}",
        facts.about.strip(),
        f"{_MADE_BY}{name}` with seed {seed}"
        + (" and the options below." if options else "; it has no options."),
        _set_table(facts, sets),
        f"Content digest (sha256 of the shards' hashes): `{digest}`",
    ]
    if options:
        rows = [(f"`{key}`", f"`{written(value)}`") for key, value in options.items()]
        parts += ["## Options", _table(("option", "value"), rows)]
    parts += ["## Licence", _list(facts.licences)]
    if facts.sources:
        parts += ["## Sources", _source_table(facts.sources)]
    if facts.citations:
        parts += ["## How to cite", _list(facts.citations)]
    shards = [(s.name, f"{s.size}", f"`{s.sha256}`") for found in sets for s in found.shards]
    parts += ["## Shards", _table(("shard", "bytes", "sha256"), shards)]
    return "\n\n".join(parts) + "\n"


def _set_table(facts: CardFacts, sets: Iterable[SetFacts]) -> str:
    rows = []
    for found in sets:
        for number, (names, samples) in enumerate(found.combinations):
            first = number == 0
            rows.append(
                (
                    found.name if first else "",
                    ", ".join(names) or "none",
                    f"{samples}",
                    f"{found.size}" if first else "",
                    facts.purposes[found.name] if first else "",
                )
            )
    return _table(("set", "modalities", "samples", "bytes", "for"), rows)


def _source_table(sources: Iterable[SourceFile]) -> str:
    rows = [
        (
            source.name + (f" ({source.files} files)" if source.files != 1 else ""),
            f"{source.size}",
            f"`{source.sha256}`",
            source.url,
        )
        for source in sources
    ]
    return _table(("source", "bytes", "sha256", "home"), rows)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
