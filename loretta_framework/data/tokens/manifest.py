"""`tokens.json`: what a folder of cached tokens was made from, and whether a run may use it.

<folder>/tokens.json               this record, written last
<folder>/quarantine.jsonl          rows that could not be tokenized
<folder>/tokenizers/<modality>/    what the tokenizers learned
<folder>/<set>/<shard>.tar         the tokens of one source shard, beside it its index and record
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

from loretta_framework.api.errors import ShardError
from loretta_framework.recipe.plan import ModalityPlan, Plan, SetPlan

FORMAT = 1
"""Version of the folder's layout and of what is in it; another one is refused."""

MANIFEST = "tokens.json"
TOKENIZERS = "tokenizers"

Form = Literal["tokens", "copied"]

_FILE = re.compile(r"[\w-][\w.-]*\.tar")


@dataclass(frozen=True, slots=True)
class BadSample:
    """A sample that could not be tokenized; `number` counts the samples of its source shard."""

    number: int
    key: str
    modality: str
    cause: str


@dataclass(frozen=True, slots=True)
class TokenShard:
    """What was made of one source shard.

    Attributes:
        source: digest of the source shard.
        file: name of the token shard, None when no sample of it could be used.
        digest: sha256 of the token shard, "" without one.
        samples: samples in the token shard.
        bad: usable samples of the source shard that are not in it, in order.
    """

    source: str
    file: str | None
    digest: str
    samples: int
    bad: tuple[BadSample, ...]

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TokenShard:
        """Read `asdict`'s data. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        file = data["file"]
        if file is not None and not _FILE.fullmatch(file):
            raise ValueError(f"'{file}' is no name of a token shard")
        bad = tuple(BadSample(**item) for item in data["bad"])
        return cls(str(data["source"]), file, str(data["digest"]), int(data["samples"]), bad)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of `tokens.json`.

    Attributes:
        modalities: name -> `describe_modality`.
        sets: name -> `describe_set`.
        shards: set name -> its token shards, in the order of the source.
        loretta: version of the package that made them.
    """

    modalities: Mapping[str, Mapping[str, Any]]
    sets: Mapping[str, Mapping[str, Any]]
    shards: Mapping[str, Sequence[TokenShard]]
    loretta: str

    def to_bytes(self) -> bytes:
        """The file's content; the same for the same tokens."""
        shards = {name: [asdict(item) for item in items] for name, items in self.shards.items()}
        data = {
            "format": FORMAT,
            "loretta": self.loretta,
            "modalities": self.modalities,
            "sets": self.sets,
            "shards": shards,
        }
        return (json.dumps(data, indent=1) + "\n").encode()

    def form(self, modality: str) -> Form:
        """Whether a modality lies there as tokens or as its original files."""
        return "tokens" if self.modalities[modality]["form"] == "tokens" else "copied"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder of tokens.

    Raises:
        ShardError: there is none, it cannot be read, or another version wrote it.
    """
    path = folder / MANIFEST
    try:
        data = json.loads(path.read_bytes())
        if data["format"] != FORMAT:
            raise ValueError(f"its format must be {FORMAT}, but is {data['format']!r}")
        shards = {
            str(name): [TokenShard.from_json(item) for item in items]
            for name, items in data["shards"].items()
        }
        modalities, sets = dict(data["modalities"]), dict(data["sets"])
        _require_complete(modalities, sets, shards)
        return Manifest(modalities, sets, shards, str(data["loretta"]))
    except FileNotFoundError as error:
        raise ShardError(
            f"there are no finished tokens: {MANIFEST} is missing",
            where=str(folder),
            fix=f"make them, or finish them: {command(folder)}",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ShardError(
            f"the record of the tokens cannot be read: {type(error).__name__}: {error}",
            where=str(path),
            fix=f"make them again: {command(folder)}",
        ) from error


def _require_complete(
    modalities: Mapping[str, Any], sets: Mapping[str, Any], shards: Mapping[str, Any]
) -> None:
    for name, about in modalities.items():
        if about.get("form") not in get_args(Form):
            raise ValueError(f"the form of '{name}' must be 'tokens' or 'copied'")
        if "tokenizer" not in about:
            raise ValueError(f"the tokenizer of '{name}' is missing")
    for name, about in sets.items():
        if not isinstance(about, Mapping):
            raise TypeError(f"the set '{name}' must be described by an object")
    if shards.keys() != sets.keys():
        raise ValueError(
            f"there must be shards of the sets {list(sets)}, but are of {list(shards)}"
        )


def command(folder: Path) -> str:
    """What makes the tokens of a folder."""
    return f"loretta data tokenize <recipe> --out {folder}"


def form_of(plan: Plan, item: ModalityPlan, modality: object) -> Form:
    """ "copied" for a modality that no cache of tokens can hold: it is drawn anew at each position,
    or it is continuous.

    One that can augment but has no such setting is taken to do it always.
    """
    if plan.vocabulary[item.name].continuous:
        return "copied"
    if getattr(modality, "augment", None) is None:
        return "tokens"
    return "tokens" if item.component.settings.get("augment", True) in (None, False) else "copied"


def describe_modality(
    plan: Plan, item: ModalityPlan, form: Form, tokenizer: str | None
) -> dict[str, Any]:
    """All that decides a modality's tokens, as plain data; `tokenizer` is its fitted digest."""
    settings = {k: v for k, v in item.component.settings.items() if k != "augment"}
    block = plan.vocabulary[item.name]
    return {
        "kind": item.component.kind,
        "version": item.component.version,
        "settings": json.loads(json.dumps(settings)),
        "tokenizer": tokenizer,
        "vocab_size": block.vocab_size,
        "min_tokens": block.min_tokens,
        "max_tokens": block.max_tokens,
        "form": form,
    }


def describe_set(item: SetPlan, digest: str) -> dict[str, Any]:
    """All that decides which samples of a set are there, and what parts, as plain data.

    `digest` is that of its contents.
    """
    source = item.source and {
        "kind": item.source.kind,
        "version": item.source.version,
        "settings": json.loads(json.dumps(item.source.settings)),
    }
    return {
        "digest": digest,
        "modalities": list(item.modalities),
        "missing": item.missing,
        "label": item.label,
        "source": source,
    }


def provenance(*descriptions: object) -> str:
    """sha256 of plain data, in hexadecimal."""
    return sha256(json.dumps([FORMAT, *descriptions], sort_keys=True).encode()).hexdigest()


def differences(
    made: Mapping[str, Any], wanted: Mapping[str, Any], where: str
) -> Iterator[tuple[str, Any, Any]]:
    """(key, value when the tokens were made, value now) of each leaf of `wanted` that differs."""
    for key, now in wanted.items():
        was = made.get(key)
        if isinstance(now, Mapping) and isinstance(was, Mapping):
            yield from differences(
                {**dict.fromkeys(now), **was}, {**dict.fromkeys(was), **now}, f"{where}.{key}"
            )
        elif was != now:
            yield f"{where}.{key}", was, now


def require_same(found: Sequence[tuple[str, Any, Any]], folder: Path) -> None:
    """Refuse tokens that were made from something else.

    Raises:
        ShardError: names each difference, with the old and the new value.
    """
    if not found:
        return
    lines = "".join(
        f"\n  {key}: was {_brief(was)}, but is {_brief(now)}" for key, was, now in found
    )
    raise ShardError(
        f"the tokens were made from something else than this run needs:{lines}",
        where=str(folder / MANIFEST),
        fix=f"make them again: {command(folder)}",
    )


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
