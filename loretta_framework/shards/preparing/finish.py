"""How every preparation ends: check, move into place, index, data card. In this order, once.

The card is written last: it stands for a complete data set.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

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
    """
    shards = _by_set(facts, aside)
    say("checking the shards")
    warnings = _checked(shards, aside)
    say("moving the shards into place and indexing them")
    sets = tuple(_survey(key, paths) for key, paths in _place(shards, out).items())
    digest = sha256(b"".join(bytes.fromhex(s.sha256) for found in sets for s in found.shards))
    manifest = {
        "name": name,
        "seed": seed,
        "options": options,
        "digest": digest.hexdigest(),
        "sets": [asdict(found) for found in sets],
        "sources": [asdict(source) for source in facts.sources],
    }
    _write(out / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    _write(out / CARD, render(name, facts, sets, seed, options, digest.hexdigest()))
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


def _place(shards: Mapping[str, Sequence[Path]], out: Path) -> dict[str, list[Path]]:
    """Move the new shards in, and those of earlier preparations out: a pattern would find them too.

    The old card goes first, so that a preparation that is cut off leaves no card for what is half
    replaced.
    """
    (out / CARD).unlink(missing_ok=True)
    known = {shard["name"] for old in _manifest(out).get("sets", []) for shard in old["shards"]}
    for path in out.glob("*.tar"):
        match = _SHARD.fullmatch(path.name)
        if path.name in known or (match is not None and match["set"] in shards):
            index_path(path).unlink(missing_ok=True)
            path.unlink()
    for path in (path for paths in shards.values() for path in paths):
        os.replace(path, out / path.name)
    return {name: [out / path.name for path in paths] for name, paths in shards.items()}


def _manifest(out: Path) -> dict[str, Any]:
    """What an earlier preparation wrote; empty when there is none that can be read."""
    try:
        data = json.loads((out / MANIFEST).read_bytes())
        [[shard["name"] for shard in found["shards"]] for found in data["sets"]]
        return {"name": str(data["name"]), "sets": data["sets"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.tmp")
    aside.write_text(text, "utf-8")
    os.replace(aside, path)
