"""The walk itself: what it passes on, and which faults it names without losing its way."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from loretta_framework.shards import walk as walk_module
from loretta_framework.shards.header import parse_header
from loretta_framework.shards.walk import Fault, Header, Tape, shown, walk

Tar = Callable[..., Path]


def walked(data: bytes) -> list[Header | Fault]:
    return list(walk(io.BytesIO(data), len(data)))


def codes(data: bytes) -> list[str]:
    """Names of files and codes of faults, in order."""
    return [entry.name if isinstance(entry, Header) else entry.code for entry in walked(data)]


NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1)


@settings(max_examples=60, deadline=None)
@given(
    members=st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=8),
    form=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_what_the_standard_library_writes_is_walked_as_it_reads_it(
    members: list[tuple[str, bytes]], form: int
) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            try:
                archive.addfile(info, io.BytesIO(data))
            except ValueError:  # ustar cannot hold every name
                continue
    with tarfile.open(fileobj=io.BytesIO(file.getvalue())) as archive:
        expected = [
            (info.name, info.offset_data, info.size) for info in archive if not info.isdir()
        ]
    found = walked(file.getvalue())
    assert not [entry for entry in found if isinstance(entry, Fault)]
    assert [(h.name, h.offset, h.size) for h in found if isinstance(h, Header)] == expected


def test_the_content_may_be_read_where_a_header_is_given(blocks: Any) -> None:
    data = blocks.member("a.b.c", b"one") + blocks.member("d.e.f", b"x" * 700) + blocks.END
    file = io.BytesIO(data)
    contents = [file.read(entry.size) for entry in walk(file, len(data))]  # type: ignore[union-attr]
    assert contents == [b"one", b"x" * 700]


def test_all_faults_are_named_and_what_is_sound_is_still_found(blocks: Any) -> None:
    data = (
        blocks.header("l", kind=b"2", link=b"/etc/passwd")
        + blocks.member("ok-1")
        + blocks.pax(("path", "x"), ("GNU.sparse.major", "1"))
        + blocks.member("left-out")
        + blocks.header("c", kind=b"3")
        + blocks.member(b"\xff.text.txt")
        + blocks.pax(("path", "global"), kind=b"g")
        + blocks.header("old", 512, kind=b"S")
        + bytes(512)
        + blocks.member("ok-2")
    )
    data += blocks.header("n", 70_000, kind=b"L") + bytes(70_144) + blocks.member("left-out")
    data += blocks.member("ok-3") + blocks.END
    assert codes(data) == [
        *("link", "ok-1", "sparse", "special", "name", "extended"),
        *("sparse", "ok-2", "extended", "ok-3"),
    ]


def test_the_framing_ends_where_a_header_is_damaged(blocks: Any) -> None:
    good = blocks.member("a.text.txt")
    assert codes(good + bytes([1]) * 512 + good + blocks.END) == ["a.text.txt", "truncated"]


def test_extended_headers_name_the_member_that_follows_and_no_other(blocks: Any) -> None:
    long = "k" * 300 + ".text.txt"
    data = blocks.pax(("path", long), ("mtime", "1.5"), ("size", "3")) + blocks.member("z", b"abc")
    data += blocks.pax(("comment", "from git"), kind=b"g") + blocks.member("plain")
    data += blocks.member("@LongLink", long.encode() + b"\0", kind=b"L") + blocks.member("z")
    data += blocks.member("last") + blocks.END
    assert codes(data) == [long, "plain", long, "last"]
    first = walked(data)[0]
    assert isinstance(first, Header)
    assert (first.start, first.offset, first.size) == (0, 1536, 3)


def test_a_size_beyond_the_cap_or_too_many_members_is_a_fault(
    blocks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk_module, "MAX_MEMBER_BYTES", 600)
    data = blocks.member("a", bytes(601)) + blocks.member("b", bytes(600)) + blocks.END
    assert codes(data) == ["oversized", "b"]
    monkeypatch.setattr(walk_module, "MAX_MEMBERS", 2)
    assert codes(blocks.member("a") * 3 + blocks.END) == ["a", "a", "too-many"]
    monkeypatch.setattr(walk_module, "MAX_SHARD_BYTES", 1024)
    assert codes(blocks.member("a") + blocks.END) == ["too-long"]


class Counting(io.BytesIO):
    """Counts the bytes asked for."""

    asked = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.asked = max(self.asked, size or 0)
        return super().read(size)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"X"])
@pytest.mark.parametrize("size", [70_000, 8**11 - 1, b"\x80" + b"\x7f" * 11])
def test_what_a_header_declares_is_never_asked_for_unseen(
    kind: bytes, size: int | bytes, blocks: Any
) -> None:
    data = blocks.header("x", size, kind=kind) + bytes(80_000)
    file: Tape = Counting(data)
    faults = list(walk(file, len(data)))
    assert all(isinstance(fault, Fault) for fault in faults)
    assert file.asked <= 1 << 20  # type: ignore[attr-defined]


def test_endless_zeros_behind_the_end_are_not_read_for_ever(blocks: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(blocks.member("a.text.txt") + blocks.END)
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # a sparse file: takes no room on the disk
        file.seek(0)
        found = list(walk(file, 1 << 40))
    assert [entry.code for entry in found if isinstance(entry, Fault)] == ["trailing"]


def test_headers_are_read_as_the_standard_library_reads_them(blocks: Any) -> None:
    random.seed(5)
    whole = [blocks.header("a.text.txt", 7), blocks.header("é" * 40, 7, magic=b"ustar  \0")]
    outcomes = set()
    for number in range(4000):
        block = bytearray(whole[number % 2])
        for _ in range(random.randrange(3)):
            block[random.randrange(512)] = random.choice(b"\0 01789/-\x80\xff")
        if number % 4:
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
        try:
            info = tarfile.TarInfo.frombuf(bytes(block), "utf-8", "surrogateescape")
            expected: object = (info.name, info.size, info.type)
        except tarfile.TarError:
            expected = None
        try:
            found: object = tuple(parse_header(bytes(block)))
        except ValueError:
            found = None
        assert found == expected
        outcomes.add(expected is None)
    assert outcomes == {True, False}


def test_names_are_shown_without_control_characters() -> None:
    assert shown("a\x1b[31m\n\udcff é") == "a\\x1b[31m\\n\\udcff é"
    assert len(shown("x" * 5000)) < 250
