"""Checks that concern the files of every modality: what it writes, reads and refuses."""

from __future__ import annotations

from typing import Any

import numpy as np

from loretta_framework.api import random
from loretta_framework.api.specs import ModalitySpec
from loretta_framework.testing.conformance.checks import check, require
from loretta_framework.testing.conformance.modalities import refusal
from loretta_framework.testing.conformance.sameness import promises, require_near, same, shown
from loretta_framework.testing.conformance.subject import SEED, Subject


def extensions(subject: Subject) -> tuple[str, ...]:
    """What the modality says that `read` takes."""
    assert isinstance(subject.spec, ModalitySpec)
    return subject.spec.capabilities.extensions


@check("modality")
def names_its_files(subject: Subject) -> None:
    """`capabilities.extensions` names the files that it reads, and first the one that it writes.

    A member `<key>.<modality>.<extension>` of a shard is found by it, and what a model generates is
    saved with it. Extensions are lower-case and without the dot; `write` returns (bytes, extension).
    """
    declared = extensions(subject)
    require(bool(declared), "`capabilities.extensions` is empty")
    for name in declared:
        plain = name.isascii() and name.isalnum() and name == name.lower()
        require(plain, f"an extension must be lower-case letters and digits, but is {name!r}")
    built = subject.ready()
    for value in subject.values():
        data, extension = built.write(value)
        written = isinstance(data, bytes)
        require(written, f"`write` must return bytes, but returns {type(data).__name__}")
        text = f"but writes {extension!r} and declares {declared}"
        require(extension == declared[0], f"`write` must write what is declared first, {text}")


@check("modality")
def reads_what_it_writes(subject: Subject) -> None:
    """`read` takes what `write` made, and gives the value back as nearly as promised.

    What is generated is written, and may be read again as training data. A modality that is not lossy
    gives the same value; one whose trial has `max_distance` keeps to it; for all others, the second
    trip must change nothing that the first did not. Look for swapped axes, a scale applied twice,
    rounding in one direction, and text that is not in one normal form.
    """
    built = subject.ready()
    made = built.encode if hasattr(built, "encode") else built.preprocess
    for value in subject.values():
        first = built.read(*built.write(value))
        if promises(subject):
            require_near(subject, value, first, "read(write(value))")
            continue
        second = built.read(*built.write(first))
        once, twice = made(first), made(second)
        text = f"of {shown(value)} came {shown(once)}, then {shown(twice)}"
        require(same(once, twice), f"the second trip through a file changed it again: {text}")


@check("modality")
def refuses_damaged_files(subject: Subject) -> None:
    """`read` of a damaged file gives a value or raises `ValueError`, and nothing else.

    Shards hold strangers' files, and some are damaged. A `ValueError` is counted and its sample named;
    any other error ends the run. Turn what your decoder raises (`OSError`, `struct.error`, `KeyError`,
    `zlib.error`, `RecursionError` of a deep nest, ...) into one that says what a file must be. Nothing
    may be run, unpickled or fetched because a file asks for it.
    """
    built = subject.ready()
    take = built.encode if hasattr(built, "encode") else built.preprocess
    whole = [built.write(value)[0] for value in subject.values(2)]
    for data in _damaged(whole):
        for extension in (*extensions(subject), "unknown"):
            text = f"a file of {len(data)} bytes ({shown(data[:16])}) as '{extension}'"
            outcome = refusal(built.read, data, extension)
            allowed = outcome == "" or outcome.startswith("ValueError")
            require(allowed, f"{text}: read raised {outcome}")
            if not outcome:
                outcome = refusal(take, built.read(data, extension))
                allowed = outcome == "" or outcome.startswith("ValueError")
                require(allowed, f"{text} was read, but then it raised {outcome}")


def _damaged(files: list[bytes]) -> list[bytes]:
    """Empty, random, cut and changed files."""
    draws = random.generator(SEED, "conformance/damage")
    found = [b"", b"\x00", b"\xff\xfe\x00", b"[" * 50, b"{}", b"null", b"\x80\x04N."]
    found += [
        nest * 100_000 for nest in (b"[", b'{"a":', b"(", b"<a>")
    ]  # RecursionError in parsers
    found += [draws.bytes(size) for size in (1, 20, 300)]
    for data in files:
        found += [data[: len(data) * part // 8] for part in range(1, 8)] + [data[:-1], data + data]
        found += [_changed(data, draws) for _ in range(12 if data else 0)]
    return found


def _changed(data: bytes, draws: np.random.Generator) -> bytes:
    bytes_N: Any = np.frombuffer(data, np.uint8).copy()
    places = draws.integers(0, len(bytes_N), int(draws.integers(1, 6)))
    bytes_N[places] = draws.integers(0, 256, len(places))
    return bytes(bytes_N.tobytes())
