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
