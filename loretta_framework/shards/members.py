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

MAX_LOCAL_CHARACTERS = 255
"""Of a local name; no file system allows longer ones, and the last thousands are remembered."""

MAX_KEY_CHARACTERS = 1024

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PART = re.compile(r"[^\s./\\]+")
_MAX_DIGITS = 9


class MemberNameError(ValueError):
    """A name that no member may have.

    Args:
        code: kind of fault: "path", "key", "extension", "form", "characters", "pickle".
        what: the fault in a sentence.
    """

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code


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
        MemberNameError: the name has not the form above; the text says how.
    """
    directory, slash, base = path.rpartition("/")
    if path.startswith("/") or "\\" in path or any(p in ("", "..") for p in path.split("/")):
        raise MemberNameError("path", "a member's path must be relative and must not climb")
    key, _, local = base.partition(".")
    if not key:
        raise MemberNameError(
            "key", "a member's name must start with the sample's key, not with a dot"
        )
    if not local:
        raise MemberNameError("extension", "a member's name must have an extension")
    if _UNPRINTABLE.search(path):
        raise MemberNameError(
            "characters", "a member's name holds an empty part, a blank or a control character"
        )
    if len(directory) + len(key) >= MAX_KEY_CHARACTERS:
        raise MemberNameError("key", f"a key may have at most {MAX_KEY_CHARACTERS} characters")
    modality, instance, extension = parse_local(local)
    name = extension if "." not in local else f"{modality}.{extension}"
    if instance:
        name = f"{modality}.{instance}.{extension}"
    return MemberName(f"{directory}{slash}{key}", modality, instance, extension, name)


@lru_cache(maxsize=4096)  # the same few names stand in every sample
def parse_local(local: str) -> tuple[str, int, str]:
    """(modality, instance, extension) of a name without its key, such as `image.1.png`.

    Raises:
        MemberNameError: the name has not that form.
    """
    if len(local) > MAX_LOCAL_CHARACTERS:
        raise MemberNameError(
            "form", f"what follows the key may have at most {MAX_LOCAL_CHARACTERS} characters"
        )
    parts = local.split(".")
    if not all(_PART.fullmatch(part) for part in parts) or _UNPRINTABLE.search(local):
        raise MemberNameError(
            "characters", f"'{local}' holds an empty part, a blank or a control character"
        )
    modality, numbers, extension = parts[0], parts[1:-1], parts[-1].lower()
    if modality.isdigit() or len(numbers) > 1 or not all(_is_number(n) for n in numbers):
        raise MemberNameError(
            "form",
            "after the key must follow `<modality>[.<number>].<extension>`, and a key has no dot",
        )
    if extension in PICKLES:
        raise MemberNameError("pickle", f"'.{extension}' files can run code when they are opened")
    if len(parts) == 1:
        modality = extension
    return modality, int(numbers[0]) if numbers else 0, extension


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def modality_of(member: str) -> str:
    """The modality of a local name: `image.1.png` -> `image`. The default mapping of a set.

    Raises:
        MemberNameError: the name has not the form of a local name.
    """
    return parse_local(member)[0]
