"""Every fault of a shard, not only the first: what `scan` refuses, and what is merely doubtful.

Reads each byte once, in order, and keeps nothing of the members but their checksums.
"""

from __future__ import annotations

import io
import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.linting.bounds import FIX, Bounds
from loretta_framework.shards.linting.changes import changed_members
from loretta_framework.shards.linting.contents import Contents
from loretta_framework.shards.linting.findings import Finding, Severity
from loretta_framework.shards.linting.inspection import COMPRESSED, Inspector
from loretta_framework.shards.linting.parts import clashing, left_out, sequence_fault
from loretta_framework.shards.linting.repeats import keys_of_series, repeated_samples
from loretta_framework.shards.members import (
    META,
    SEQUENCE,
    MemberName,
    MemberNameError,
    parse_member,
)
from loretta_framework.shards.remote.copies import is_url, open_shard
from loretta_framework.shards.walk import Fault, Header, walk

_CHUNK = 1 << 20

_NAME_CODES = {
    "path": "climbing-path",
    "key": "bad-key",
    "extension": "no-extension",
    "form": "dotted-key",
    "characters": "bad-name",
    "pickle": "pickle",
}
_FAULT_CODES = {
    "name": "bad-name",
    "special": "no-plain-file",
    "extended": "extended-header",
    "size": "bad-size",
}
_USABLE = frozenset(
    {
        "bad-sequence",
        "changed-since-index",
        "compressed-member",
        "duplicate-part",
        "invalid-json",
        "invalid-utf8",
        "oversized-json",
    }
)
"""Errors of single samples: their shard can be indexed."""

_NAME_FIX = "name members <key>.<modality>[.<number>].<extension>, and leave pickles out"


def is_fatal(finding: Finding) -> bool:
    """Whether a shard with this fault is refused as a whole."""
    return finding.severity == "error" and finding.code not in _USABLE


def lint_shards(shards: Sequence[str | Path]) -> Iterator[Finding]:
    """Every fault of several shards, and keys and samples that two of them share. See
    `repeats.keys_of_series` for which keys may not be shared.
    """
    contents = Contents()
    for shard in shards:
        yield from lint_shard(shard, contents)
    yield from keys_of_series(contents)
    yield from repeated_samples(contents)


def lint_shard(shard: str | Path, contents: Contents | None = None) -> Iterator[Finding]:
    """Every fault of one shard, in file order.

    Args:
        shard: path or URL.
        contents: takes what the shard holds, for comparison with others.
    """
    place, contents = str(shard), Contents() if contents is None else contents
    first = len(contents)
    try:
        with _open(place) as file:
            yield from _Lint(place, file, contents).run()
        yield from changed_members(place, contents, first)
    except (OSError, ShardError) as error:
        what = error.what if isinstance(error, ShardError) else error.strerror or str(error)
        fix = "check that the file exists and may be read"
        yield Finding("error", "unreadable", f"the shard cannot be read: {what}", fix, place)


def _open(shard: str) -> BinaryIO:
    if is_url(shard):
        return os.fdopen(open_shard(shard), "rb")
    return Path(shard).open("rb")


class _Lint:
    def __init__(self, shard: str, file: BinaryIO, contents: Contents) -> None:
        self.shard, self.file, self.contents = shard, file, contents
        self.key = ""
        self.members: dict[str, None] = {}  # of the sample in progress, in file order
        self.sequence: tuple[Header, Any] | None = None
        # A tuple takes a quarter of a set: only for a key that comes again is there a set.
        self.known: dict[str, tuple[str, ...] | set[str]] = {}
        self.bounds = Bounds()
        self.apart: Header | None = None

    def run(self) -> Iterator[Finding]:
        end = self.file.seek(0, io.SEEK_END)
        self.file.seek(0)
        found = False
        for entry in walk(self.file, end):
            if isinstance(entry, Fault):
                found = True
                yield self._of_fault(entry)
            else:
                found = True
                yield from self._member(entry)
        yield from self._finish()
        if not found:
            yield self._finding("error", "empty", "the shard holds no sample", "leave it out")

    def _of_fault(self, fault: Fault) -> Finding:
        code = _FAULT_CODES.get(fault.code, fault.code)
        where = None if fault.code == "empty" else fault.offset
        return Finding("error", code, fault.what, fault.fix, self.shard, where, member=fault.member)

    def _member(self, header: Header) -> Iterator[Finding]:
        try:
            name = parse_member(header.name)
        except MemberNameError as error:
            code = _NAME_CODES.get(error.code, "bad-name")
            yield Finding(
                "error", code, str(error), _NAME_FIX, self.shard, header.start, "", header.name
            )
            return
        if name.key != self.key or not self.members:
            yield from self._finish()
            self.key, self.members, self.sequence = name.key, {}, None
            self.apart = header if name.key in self.known else None
        if name.local in self.members:
            yield from self._content(header, name)
            what, fix = f"the sample holds '{name.local}' twice", "number them: image.0, image.1"
            yield self._at(header, "error", "duplicate-member", what, fix, name.local)
            return
        much = self.bounds.add(name.local, self.members)
        if much is None:
            yield from self._inspect(header, name)
        elif self.bounds.is_new(much, name.key):
            yield self._at(header, "error", "too-many", much, FIX, name.local)

    def _content(self, header: Header, name: MemberName) -> Generator[Finding, None, Inspector]:
        """Read a member; what is wrong with its bytes."""
        inspector = Inspector(name.extension, header.size)
        left = header.size
        while left:
            data = self.file.read(min(left, _CHUNK))
            if not data:
                raise OSError(f"it became shorter while it was read, at byte {header.start}")
            inspector.feed(data)
            left -= len(data)
        inspector.close()
        for code, what, fix in inspector.faults:
            yield self._at(header, "error", code, what, fix, name.local)
        return inspector

    def _inspect(self, header: Header, name: MemberName) -> Iterator[Finding]:
        inspector = yield from self._content(header, name)
        if not header.size:
            what, fix = (
                "the member is empty",
                "leave it out: a missing member is a missing modality",
            )
            yield self._at(header, "warning", "empty-member", what, fix, name.local)
        if name.extension in COMPRESSED:
            what = f"nothing unpacks a '.{name.extension}' member: a modality must read it as it is"
            yield self._at(
                header, "error", "compressed-member", what, "store what it holds", name.local
            )
        if name.local == SEQUENCE and not inspector.faults:
            self.sequence = header, inspector.value
        if not self.members:
            self.contents.add_sample(self.shard, name.key)
        self.members[name.local] = None
        self.contents.add(name.local, header.start, header.offset, header.size, inspector.crc32)

    def _finish(self) -> Iterator[Finding]:
        """The sample in progress is complete."""
        if not self.members:
            return
        yield from self._parts()
        if not {*self.members} - {META, SEQUENCE}:
            what, fix = "the sample holds no modality", "add one, or leave the sample out"
            yield Finding("warning", "no-modality", what, fix, self.shard, self._begin(), self.key)
        if self.apart is not None:
            yield self._lies_apart(self.apart)
        self._remember()
        self.bounds.close(self.key, self.members)

    def _parts(self) -> Iterator[Finding]:
        """Members that are the same part, and an order that is not one of the parts."""
        clash = clashing(self.members)
        if clash is not None:
            first, second, part = clash
            what = f"'{first}' and '{second}' are both {part[0]} number {part[1]}"
            yield Finding(
                "error",
                "duplicate-part",
                what,
                "number the members: image.0.png, image.1.png",
                self.shard,
                self._begin(),
                self.key,
                second,
            )
        if self.sequence is None:
            return
        header, names = self.sequence
        fault = sequence_fault(names, self.members)
        if fault is not None:
            fix = "name each part once, with its number"
            yield self._at(header, "error", "bad-sequence", fault, fix, SEQUENCE)
            return
        left = left_out(names, self.members)
        if left:
            what = f"it leaves out {', '.join(left[:5])}{', ...' if len(left) > 5 else ''}"
            fix = "name every part that a recipe is to use: its samples are refused otherwise"
            yield self._at(header, "warning", "incomplete-sequence", what, fix, SEQUENCE)

    def _remember(self) -> None:
        before = self.known.get(self.key)
        if before is None:
            self.known[self.key] = tuple(self.members)
            return
        members = before if isinstance(before, set) else {*before}
        members.update(self.members)
        self.known[self.key] = members

    def _lies_apart(self, header: Header) -> Finding:
        before = self.known[self.key]
        known = before if isinstance(before, set) else {*before}
        twice = next((member for member in self.members if member in known), None)
        if twice is not None:
            what = f"another sample of this shard has the same key, and '{twice}' too"
            return self._at(header, "error", "duplicate-key", what, "make keys unique", "")
        what = "the members of a sample must lie side by side, but others lie between"
        fix = "write the shard sorted by key (tar --sort=name)"
        return self._at(header, "error", "non-adjacent", what, fix, "")

    def _begin(self) -> int:
        return self.contents.header_M[-len(self.members)]

    def _at(
        self, header: Header, severity: Severity, code: str, what: str, fix: str, member: str
    ) -> Finding:
        return Finding(severity, code, what, fix, self.shard, header.start, self.key, member)

    def _finding(self, severity: Severity, code: str, what: str, fix: str) -> Finding:
        return Finding(severity, code, what, fix, self.shard)
