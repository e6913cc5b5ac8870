"""Names of tar members: `<dir/key>.<modality>[.<n>].<extension>`.

The key ends at the first dot of the base name. What follows is the member's local name, for
example `image.1.png`. A local name of one part (`000042.jpg`) is accepted too: its modality is the
extension, so that a source can map shards that other tools wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

META = "meta.json"
"""Local name of a sample's facts: labels, source ids. Never a modality."""

SEQUENCE = "sequence.json"
"""Local name of the list that orders a sample's interleaved parts. Never a modality."""

PICKLES = frozenset({"pkl", "pyd", "pickle", "pth", "pt"})
"""Extensions that other readers execute; a shard that holds one is refused."""

_PART = re.compile(r"[^\s./\\\x00-\x1f]+")


@dataclass(frozen=True, slots=True)
class MemberName:
    """A member's name, taken apart.

    Attributes:
        key: the sample's key, with its directory part.
        modality: first part of the local name.
        instance: number among several of one modality, 0 when none is written.
        extension: lower case, no dot.
        local: the name without the key as the index stores it: `image.png` (never `image.0.PNG`),
            `image.1.png`, `jpg`.
    """

    key: str
    modality: str
    instance: int
    extension: str
    local: str


def parse_member(path: str) -> MemberName:
    """Take a member's path apart.

    Raises:
        ValueError: the name has not the form above; the text says how.
    """
    directory, slash, base = path.rpartition("/")
    if path.startswith("/") or "\\" in path or any(p in ("", "..") for p in path.split("/")):
        raise ValueError("a member's path must be relative and must not climb")
    key, _, local = base.partition(".")
    if not key:
        raise ValueError("a member's name must start with the sample's key, not with a dot")
    if not local:
        raise ValueError("a member's name must have an extension")
    modality, instance, extension = parse_local(local)
    name = extension if "." not in local else f"{modality}.{extension}"
    if instance:
        name = f"{modality}.{instance}.{extension}"
    return MemberName(f"{directory}{slash}{key}", modality, instance, extension, name)


@lru_cache(maxsize=4096)  # the same few names stand in every sample
def parse_local(local: str) -> tuple[str, int, str]:
    """(modality, instance, extension) of a name without its key, such as `image.1.png`.

    Raises:
        ValueError: the name has not that form.
    """
    parts = local.split(".")
    if not all(_PART.fullmatch(part) for part in parts):
        raise ValueError(f"'{local}' holds an empty part, a blank or a control character")
    modality, numbers, extension = parts[0], parts[1:-1], parts[-1].lower()
    if (
        modality.isdigit()
        or len(numbers) > 1
        or not all(n.isascii() and n.isdigit() for n in numbers)
    ):
        raise ValueError(
            "after the key must follow `<modality>[.<number>].<extension>`, and a key has no dot"
        )
    if extension in PICKLES:
        raise ValueError(f"'.{extension}' files can run code when they are opened")
    if len(parts) == 1:
        modality = extension
    return modality, int(numbers[0]) if numbers else 0, extension


def modality_of(member: str) -> str:
    """The modality of a local name: `image.1.png` -> `image`. The default mapping of a set.

    Raises:
        ValueError: the name has not the form of a local name.
    """
    return parse_local(member)[0]
