"""Walks the headers of a tar and names every fault, without reading what a member holds.

Our own walk, because the stock readers are lenient where it matters: they end early without a word
on a truncated file, follow global headers that rename every member, expand sparse files, and
allocate what a header declares before they look at how long the file is.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.extended import MAX_NAME_BYTES, MAX_PAX_BYTES, long_name, pax_records
from loretta_framework.shards.header import RawHeader, parse_header
from loretta_framework.shards.table import BLOCK

MAX_MEMBER_BYTES = 1 << 30
"""Bytes that one member may hold. The index could state up to 4 GiB."""

MAX_MEMBERS = 1 << 22
"""Members a shard may hold; what is kept per member while scanning must stay in memory."""

MAX_SHARD_BYTES = (1 << 32) * BLOCK
"""Longest shard whose offsets the index can state: 2 TiB."""

_MAX_TAIL_BYTES = 16 << 20
_CHUNK = 1 << 20
_SPARSE_MORE, _SPARSE_MORE_NEXT = 482, 504
_WITHOUT_CONTENT = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.FIFOTYPE,
)
"""What they state as size is not in the file, as every reader takes it."""

_SURROGATE = re.compile("[\ud800-\udfff]")  # how bytes that are no UTF-8 were decoded
_FIX_FILES = "write the shard again with plain files only"


class Tape(Protocol):
    """What is walked: a binary file, or something that sees each byte once. Only moves forward."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, fewer at the end."""

    def seek(self, offset: int, /) -> int:
        """Move to a byte counted from the start."""


@dataclass(frozen=True, slots=True)
class Header:
    """A plain file in the tar.

    Attributes:
        name: its path in the tar.
        start: first byte of its header, extended headers included.
        offset: first byte of its content, a multiple of 512.
        size: bytes of its content; it ends within the file.
    """

    name: str
    start: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that must not be in a shard.

    Attributes:
        code: short name of the kind of fault, for tables and tests.
        what: the fault in a sentence.
        fix: what to do about it.
        offset: byte of the shard where it is.
        member: name of the member at fault, "" when it is the shard's as a whole.
    """

    code: str
    what: str
    fix: str
    offset: int
    member: str = ""

    def error(self, place: str) -> ShardError:
        """The fault as an error about the shard that lies at `place`."""
        where = place if self.code == "empty" else f"{place} at byte {self.offset}"
        if self.member:
            where += f", member '{shown(self.member)}'"
        return ShardError(self.what, where=where, fix=self.fix)


def shown(name: str) -> str:
    """A name from a file as it may be printed: no control characters, no surrogates, not too long."""
    short = name if len(name) <= 200 else f"{name[:200]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)


def walk(file: Tape, end: int) -> Iterator[Header | Fault]:
    """Every plain file of a tar, and every fault, in file order. Folders are passed over.

    After a `Header` the file stands at the first byte of the content, which the caller may read.
    After a fault the walk goes on where the framing is still known; otherwise that fault is the
    last. A tar without any fault ends with two zero blocks and nothing behind them.

    Args:
        file: at its first byte.
        end: its length in bytes.
    """
    return _Walk(file, end).run()


class _Unreadable(Exception):
    """The framing is lost."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class _Walk:
    def __init__(self, file: Tape, end: int) -> None:
        self.file, self.end = file, end
        self.at = 0  # the next byte that is not yet accounted for
        self.start = 0  # first header of the entry in progress
        self.members = 0
        self._reset()

    def _reset(self) -> None:
        self.path: str | None = None
        self.size: int | None = None
        self.spoiled = False  # an extended header was at fault: what it describes is left out
        self.extended = False

    def run(self) -> Iterator[Header | Fault]:
        if not self.end:
            yield Fault("empty", "the shard is empty", "write it again, or leave it out", 0)
            return
        try:
            if self.end > MAX_SHARD_BYTES:
                raise self._lost("too-long", "the shard is longer than 2 TiB", "write several")
            while (info := self._header()) is not None:
                found = self._entry(info)
                if found is not None:
                    yield found
                self.file.seek(self.at)
            self._require_end()
        except _Unreadable as stop:
            yield stop.fault

    def _header(self) -> RawHeader | None:
        """The next header; None at the end mark's first block, which `at` then still points to."""
        if not self.extended:
            self.start = self.at
        block = self._read(BLOCK)
        if block.count(0) == BLOCK:
            return None
        try:
            info = parse_header(block)
        except ValueError as error:
            raise self._truncated() from error
        self.at += BLOCK
        if info.size < 0:
            raise self._lost("size", f"a member's size is {info.size}", "write the shard again")
        if info.kind == tarfile.GNUTYPE_SPARSE:
            self._pass_sparse_map(block)
        return info

    def _entry(self, info: RawHeader) -> Header | Fault | None:
        if info.kind in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
            return self._pax(info)
        if info.kind == tarfile.XGLTYPE:
            return self._global(info)
        if info.kind == tarfile.GNUTYPE_LONGNAME:
            return self._long_name(info)
        name = info.name if self.path is None else self.path
        size = info.size if self.size is None else self.size
        spoiled, contradicted = self.spoiled, size != info.size
        self._reset()
        self.members += 1
        if self.members > MAX_MEMBERS:
            what = f"the shard holds more than {MAX_MEMBERS} members"
            raise self._lost("too-many", what, "write several shards")
        plain = info.kind in (tarfile.REGTYPE, tarfile.AREGTYPE)
        found = self._file(name, size, contradicted) if plain else self._no_file(info, name)
        return None if spoiled else found

    def _file(self, name: str, size: int, contradicted: bool) -> Header | Fault:
        offset = self.at
        self._skip(size)
        if contradicted:
            what = "the extended header states another size than the header: readers disagree on it"
            return self._fault("size", what, "write the shard again", name)
        if size > MAX_MEMBER_BYTES:
            what = f"a member may hold at most {MAX_MEMBER_BYTES} bytes, but holds {size}"
            return self._fault("oversized", what, "split it, or store it in a smaller form", name)
        if not name.isascii() and _SURROGATE.search(name):
            what = "a member's name must be UTF-8"
            return self._fault("name", what, "write the shard again with UTF-8 names", name)
        return Header(name, self.start, offset, size)

    def _no_file(self, info: RawHeader, name: str) -> Fault | None:
        if info.kind == tarfile.DIRTYPE:
            if info.size:
                return self._fault("special", "a folder must have no content", _FIX_FILES, name)
            return None
        if info.kind == tarfile.GNUTYPE_SPARSE:
            self._skip(info.size)
            what = "a sparse file may not lie in a shard: what it expands to is not in the file"
            return self._fault("sparse", what, "write it again without --sparse", name)
        if info.kind not in _WITHOUT_CONTENT:
            self._skip(info.size)
        code = "link" if info.kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else "special"
        what = "only plain files may lie in a shard, no links or devices"
        return self._fault(code, what, _FIX_FILES, name)

    def _pax(self, info: RawHeader) -> Fault | None:
        data = self._content(info.size, MAX_PAX_BYTES, "an extended header")
        if isinstance(data, Fault):
            return data
        try:
            records = pax_records(data)
            size = int(records["size"]) if "size" in records else None
        except ValueError as error:
            return self._spoil(f"an extended header is malformed: {error}")
        if any(key.startswith("GNU.sparse.") for key in records):
            what = "a sparse file may not lie in a shard: what it expands to is not in the file"
            return self._spoil(what, "sparse")
        if "path" in records and not self._name(records["path"]):
            return self._spoil("two extended headers name the same member")
        if size is not None:
            if self.size is not None:
                return self._spoil("two extended headers state a size for the same member")
            self.size = size
        return None

    def _global(self, info: RawHeader) -> Fault | None:
        data = self._content(info.size, MAX_PAX_BYTES, "a global header")
        self.extended = self.path is not None or self.size is not None or self.spoiled
        if isinstance(data, Fault):
            return data
        try:
            records = pax_records(data)
        except ValueError as error:
            return self._fault("extended", f"a global header is malformed: {error}", _FIX_FILES)
        bad = [key for key in records if key in ("path", "size") or key.startswith("GNU.sparse.")]
        if not bad:
            return None
        what = f"a global header sets '{bad[0]}' for every member that follows"
        return self._fault("extended", what, _FIX_FILES)

    def _long_name(self, info: RawHeader) -> Fault | None:
        data = self._content(info.size, MAX_NAME_BYTES + 1, "a long name")
        if isinstance(data, Fault):
            return data
        try:
            name = long_name(data)
        except ValueError as error:
            return self._spoil(f"a long name is malformed: {error}")
        return None if self._name(name) else self._spoil("two headers name the same member")

    def _name(self, name: str) -> bool:
        if self.path is not None:
            return False
        self.path = name
        return True

    def _content(self, size: int, most: int, what: str) -> bytes | Fault:
        """The content of a header that describes others; longer ones are not read."""
        self.extended = True
        if size <= most and size <= self.end - self.at:
            data = self._read(size)
            self._skip(size)
            return data
        self._skip(size)
        return self._spoil(f"{what} may have at most {most} bytes, but has {size}")

    def _skip(self, size: int) -> None:
        """Account for content and its padding. The padding may be missing only from a cut file."""
        if self.at + size > self.end:
            raise self._truncated(self.start)
        self.at += -(-size // BLOCK) * BLOCK

    def _pass_sparse_map(self, block: bytes) -> None:
        more = block[_SPARSE_MORE]
        while more:
            more = self._read(BLOCK)[_SPARSE_MORE_NEXT]
            self.at += BLOCK

    def _require_end(self) -> None:
        mark = self.at
        if self.extended:
            raise self._truncated(self.start)
        self.at += BLOCK
        if any(self._read(BLOCK)):
            raise self._truncated(mark)
        self.at += BLOCK
        while chunk := self.file.read(_CHUNK):
            self.at += len(chunk)
            if any(chunk) or self.at - mark > _MAX_TAIL_BYTES:
                raise _Unreadable(
                    Fault(
                        "trailing",
                        "data follows the end mark of the tar; readers would not see it",
                        "tars cannot be joined with cat; keep them as separate shards",
                        mark,
                    )
                )

    def _read(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) != size:
            raise self._truncated()
        return data

    def _truncated(self, offset: int | None = None) -> _Unreadable:
        what, fix = (
            "the shard is truncated or is no tar",
            "copy or write it again; nothing of it is used",
        )
        return _Unreadable(Fault("truncated", what, fix, self.at if offset is None else offset))

    def _lost(self, code: str, what: str, fix: str) -> _Unreadable:
        return _Unreadable(Fault(code, what, fix, self.start))

    def _fault(self, code: str, what: str, fix: str, member: str = "") -> Fault:
        return Fault(code, what, fix, self.start, member)

    def _spoil(self, what: str, code: str = "extended") -> Fault:
        self.spoiled = True
        return self._fault(code, what, _FIX_FILES)
