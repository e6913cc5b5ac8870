"""How every preparation ends: check, move into place, index, data card. In this order, once.

The card is written last: it stands for a complete data set.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from loretta_framework.api.atomic import write_bytes_atomically
from loretta_framework.api.errors import InputError, ShardError
from loretta_framework.shards.index import index_path, open_index
from loretta_framework.shards.linting.lint import lint_shard
from loretta_framework.shards.members import META, SEQUENCE, modality_of
from loretta_framework.shards.preparing.card import (
    CARD,
    CardFacts,
    SetFacts,
    ShardFacts,
    render,
    written_by_us,
)

MANIFEST = "prepared.json"
"""The card's facts for programs: data set, seed, options, sources, and every shard with its hash."""

Say = Callable[[str], None]
"""Told one line about each longer step."""

_SHARD = re.compile(r"(?P<set>[A-Za-z][A-Za-z0-9_-]*)-[0-9]{6}\.tar")
_SHOWN = 5
_MAKING = ".making-"
_LOCK = ".preparing.lock"


@dataclass(frozen=True, slots=True)
class Finished:
    """What the ending found out; the fields are those of `prepare.PrepareReport`."""

    sets: tuple[SetFacts, ...]
    digest: str
    warnings: tuple[str, ...]


def require_place(name: str, out: Path) -> None:
    """Refuse a folder that holds something else, before any work is done.

    Raises:
        InputError: `out` is a file, holds another data set, or a README that is not a card.
    """
    fix = "choose another folder with --out"
    if out.exists() and not out.is_dir():
        raise InputError("the output must be a folder, but is a file", where=str(out), fix=fix)
    other = _manifest(out).get("name", name)
    if other != name:
        raise InputError(f"the folder holds the data set '{other}'", where=str(out), fix=fix)
    card = out / CARD
    if card.is_file() and not written_by_us(card):
        raise InputError(
            "the folder holds a README.md that no preparation wrote; the data card would replace it",
            where=str(out),
            fix=fix,
        )


@contextmanager
def making(out: Path) -> Iterator[Path]:
    """An empty folder within `out`, which is made, while this process alone prepares there.

    What a killed preparation left is removed.

    Raises:
        InputError: `out` cannot be made, or another process prepares there.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(out / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise InputError(
            f"the output folder cannot be written: {error.strerror or error}",
            where=str(out),
            fix="choose another folder with --out",
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                "another process prepares a data set there", where=str(out), fix="wait for it"
            ) from None
        for left in out.glob(f"{_MAKING}*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=_MAKING) as folder:
            yield Path(folder)
    finally:
        with suppress(OSError):
            (out / _LOCK).unlink()
        os.close(descriptor)


def finish(
    name: str,
    facts: CardFacts,
    aside: Path,
    out: Path,
    seed: int,
    options: Mapping[str, Any],
    say: Say,
) -> Finished:
    """Check the shards in `aside`, move them to `out`, index them, write the card.

    Raises:
        ShardError: a set that was announced has no shard, a shard belongs to no set, or the check
            found errors. `out` is then as it was before.
        InputError: `out` holds shards that would be found beside the new ones or be lost.
    """
    shards = _by_set(facts, aside)
    _require_ours(out, shards, {source.name for source in facts.sources})
    say("checking the shards")
    warnings = _checked(shards, aside)
    say("moving the shards into place and indexing them")
    sets = tuple(_survey(key, paths) for key, paths in _place(name, shards, out, say).items())
    digest = sha256(b"".join(bytes.fromhex(s.sha256) for found in sets for s in found.shards))
    manifest = {
        "name": name,
        "seed": seed,
        "options": options,
        "digest": digest.hexdigest(),
        "sets": [asdict(found) for found in sets],
        "sources": [asdict(source) for source in facts.sources],
    }
    text = json.dumps(manifest, indent=1, sort_keys=True) + "\n"
    write_bytes_atomically(out / MANIFEST, text.encode())
    card = render(name, facts, sets, seed, options, digest.hexdigest())
    write_bytes_atomically(out / CARD, card.encode())
    return Finished(sets, digest.hexdigest(), warnings)


def _by_set(facts: CardFacts, aside: Path) -> dict[str, list[Path]]:
    """The shards of each set, in the order of `purposes`."""
    shards: dict[str, list[Path]] = {name: [] for name in facts.purposes}
    for path in sorted(aside.glob("*.tar")):
        match = _SHARD.fullmatch(path.name)
        if match is None or match["set"] not in shards:
            raise ShardError(
                f"the preparer wrote '{path.name}', which belongs to no set it announced",
                where=facts.title,
                fix="report this as a fault of the preparer",
            )
        shards[match["set"]].append(path)
    empty = [name for name, paths in shards.items() if not paths]
    if empty or not shards:
        raise ShardError(
            f"no sample was made for: {', '.join(empty)}" if empty else "no sample was made",
            where=facts.title,
            fix="check that the source holds what its preparation needs",
        )
    return shards


def _checked(shards: Mapping[str, Sequence[Path]], aside: Path) -> tuple[str, ...]:
    """Warnings of all shards; errors stop here."""
    errors: list[str] = []
    warnings: list[str] = []
    for path in (path for paths in shards.values() for path in paths):
        for finding in lint_shard(path):
            text = str(finding).replace(f"{aside}{os.sep}", "")
            (errors if finding.severity == "error" else warnings).append(text)
    if errors:
        more = f"\nand {len(errors) - _SHOWN} more" if len(errors) > _SHOWN else ""
        raise ShardError(
            "the shards that were made did not pass the check; nothing was replaced:\n"
            + "\n".join(errors[:_SHOWN])
            + more,
            fix="mend the source, or leave the rows at fault out of it",
        )
    return tuple(warnings)


def _survey(name: str, paths: Sequence[Path]) -> SetFacts:
    """Index the shards of one set and count what they hold."""
    store = open_index([path.absolute() for path in paths])
    combinations: Counter[tuple[str, ...]] = Counter()
    for shape, samples in zip(store.shapes, np.bincount(store.shape_S).tolist(), strict=True):
        held = {modality_of(member) for member in shape if member not in (META, SEQUENCE)}
        combinations[tuple(sorted(held))] += samples
    counted = sorted(combinations.items(), key=lambda item: (-item[1], item[0]))
    marks = [index.fingerprint for index in store.indexes]
    shards = tuple(
        ShardFacts(path.name, mark.size, mark.sha256)
        for path, mark in zip(paths, marks, strict=True)
    )
    return SetFacts(name, len(store), tuple(counted), shards)


def _require_ours(out: Path, shards: Mapping[str, Sequence[Path]], sources: set[str]) -> None:
    """Refuse to replace what no preparation made, or one made it from other files."""
    fix = "choose another folder with --out, or remove it yourself"
    old = _manifest(out)
    known = _known(old)
    # Preparations of the first version left a card and no manifest: theirs are not listed.
    listed = bool(old) or not (out / CARD).is_file()
    for path in sorted(out.glob("*.tar")):
        match = _SHARD.fullmatch(path.name)
        if listed and match and match["set"] in shards and path.name not in known:
            raise InputError(
                f"'{path.name}' is there, which no preparation wrote; recipes would find it among "
                f"the shards of '{match['set']}'",
                where=str(out),
                fix=fix,
            )
    had = {str(source["name"]) for source in old.get("sources", ())}
    if had and sources and not had & sources:
        raise InputError(
            f"the folder holds what was prepared from {', '.join(sorted(had)[:_SHOWN])}, "
            f"not from {', '.join(sorted(sources)[:_SHOWN])}",
            where=str(out),
            fix=fix,
        )


def _place(
    name: str, shards: Mapping[str, Sequence[Path]], out: Path, say: Say
) -> dict[str, list[Path]]:
    """Move the new shards in, and those of earlier preparations out: a pattern would find them too.

    The old card goes first, so that a preparation that is cut off leaves no card for what is half
    replaced; the names of all shards are noted before, so that the next one knows them as ours.
    """
    old = _manifest(out)
    if old:
        sets = ", ".join(str(found.get("name", "?")) for found in old["sets"])
        say(f"replacing what was prepared there before: {sets}")
    (out / CARD).unlink(missing_ok=True)
    moving = [{"name": key, "shards": [{"name": p.name} for p in p_]} for key, p_ in shards.items()]
    noted = {"name": name, "sets": [*old.get("sets", []), *moving]}
    write_bytes_atomically(out / MANIFEST, json.dumps(noted).encode() + b"\n")
    for path in out.glob("*.tar"):
        match = _SHARD.fullmatch(path.name)
        if path.name in _known(noted) or (match is not None and match["set"] in shards):
            index_path(path).unlink(missing_ok=True)
            path.unlink()
    for path in (path for paths in shards.values() for path in paths):
        os.replace(path, out / path.name)
    return {key: [out / path.name for path in paths] for key, paths in shards.items()}


def _known(manifest: Mapping[str, Any]) -> set[str]:
    """Names of the shards that a manifest lists."""
    return {shard["name"] for found in manifest.get("sets", []) for shard in found["shards"]}


def _manifest(out: Path) -> dict[str, Any]:
    """What an earlier preparation wrote; empty when there is none that can be read."""
    try:
        data = json.loads((out / MANIFEST).read_bytes())
        [[shard["name"] for shard in found["shards"]] for found in data["sets"]]
        [source["name"] for source in data.get("sources", ())]
        return {key: data[key] for key in ("name", "sets", "sources") if key in data}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
