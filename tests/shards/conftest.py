"""Writes tars byte by byte as strangers would, without the project's own writer."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

Tar = Callable[..., Path]


@pytest.fixture
def tar(tmp_path: Path) -> Tar:
    """`tar([("name", b"data"), TarInfo, ...], file="x.tar")` -> its path."""

    def make(members: Iterable[tuple[str, bytes] | tarfile.TarInfo], file: str = "x.tar") -> Path:
        path = tmp_path / file
        with tarfile.open(path, "w") as archive:
            for member in members:
                if isinstance(member, tarfile.TarInfo):
                    archive.addfile(member)
                    continue
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
        return path

    return make


class Blocks:
    """Builds tars block by block, also ones that no writer would make."""

    END = bytes(1024)

    @staticmethod
    def header(name: bytes | str = b"a.text.txt", size: int | bytes = 0, **fields: bytes) -> bytes:
        """A ustar header. `kind`, `prefix`, `magic` and `link` replace the usual; `checksum` too."""
        block = bytearray(512)
        name = name.encode() if isinstance(name, str) else name
        block[: len(name)] = name
        block[100:124] = b"0000644\0" + b"0000000\0" * 2
        block[124:136] = size if isinstance(size, bytes) else b"%011o\0" % size
        block[136:148] = b"%011o\0" % 0
        block[148:156] = b" " * 8
        block[156:157] = fields.get("kind", b"0")
        link, prefix = fields.get("link", b""), fields.get("prefix", b"")
        block[157 : 157 + len(link)] = link
        block[257:265] = fields.get("magic", b"ustar\x0000")
        block[345 : 345 + len(prefix)] = prefix
        block[148:156] = fields.get("checksum", b"%06o\0 " % sum(block))
        return bytes(block)

    @classmethod
    def member(cls, name: bytes | str, data: bytes = b"x", **fields: bytes) -> bytes:
        """Header, content and padding."""
        return cls.header(name, len(data), **fields) + data + bytes(-len(data) % 512)

    @classmethod
    def pax(cls, *records: tuple[str, str], kind: bytes = b"x") -> bytes:
        """A pax header, local by default."""
        lines = b""
        for key, value in records:
            rest = f" {key}={value}\n".encode()
            length = len(rest) + 1
            while length != len(rest) + len(str(length)):
                length = len(rest) + len(str(length))
            lines += str(length).encode() + rest
        return cls.member("PaxHeader", lines, kind=kind)


@pytest.fixture(scope="session")
def blocks() -> type[Blocks]:
    """See `Blocks`."""
    return Blocks
