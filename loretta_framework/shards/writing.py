"""Writes shards: the same samples give the same bytes, and a shard appears only when complete."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.members import parse_member


class ShardWriter:
    """Writes `<prefix>-000000.tar`, `<prefix>-000001.tar`, ... into a folder. A context manager.

    Args:
        directory: made when missing.
        prefix: start of the shards' names.
        samples_per_shard: samples after which the next shard begins.

    When the block is left by an exception the shard in progress is discarded.
    """

    def __init__(self, directory: Path, prefix: str, samples_per_shard: int = 1000) -> None:
        self.directory, self.prefix, self.samples_per_shard = directory, prefix, samples_per_shard
        self.shards: list[Path] = []
        self._keys: set[str] = set()
        self._written = 0
        self._aside: str | None = None
        self._tar: Any = None
        self._file: Any = None
        directory.mkdir(parents=True, exist_ok=True)

    def write(self, key: str, members: Mapping[str, bytes]) -> None:
        """Add a sample; `members` maps local names such as `image.png` to bytes.

        Raises:
            ShardError: a name has not the form of a member's, or the key was written before.
        """
        where = f"{self.directory / self.prefix}, key '{key}'"
        self._check(key, members, where)
        if self._tar is None:
            self._start()
        self._tar.write({"__key__": key, **members})
        self._keys.add(key)
        self._written += 1
        if self._written == self.samples_per_shard:
            self._finish()

    def close(self) -> None:
        """Finish the shard in progress."""
        if self._tar is not None:
            self._finish()

    def _check(self, key: str, members: Mapping[str, bytes], where: str) -> None:
        if key in self._keys:
            raise ShardError("the key was written before", where=where, fix="make keys unique")
        if not members:
            raise ShardError("the sample has no member", where=where, fix="leave it out")
        for name in members:
            try:
                parsed = parse_member(f"{key}.{name}")
            except ValueError as error:
                raise ShardError(
                    str(error),
                    where=f"{where}, member '{name}'",
                    fix="name members <modality>[.<number>].<extension>; a key has no dot",
                ) from error
            if (parsed.key, parsed.local) != (key, name):
                raise ShardError(
                    f"the member's name must be '{parsed.local}', but is '{name}'",
                    where=where,
                    fix="use lower-case extensions, and no number for the first instance",
                )

    def _start(self) -> None:
        os.environ["WDS_SECURE"] = "1"  # read when webdataset is imported: no pipes, no pickles
        from webdataset import TarWriter  # imports torch, which nobody else here needs

        descriptor, self._aside = tempfile.mkstemp(dir=self.directory, prefix=f".{self.prefix}.")
        self._file = os.fdopen(descriptor, "wb")
        # Without an integer time a float "now" goes into a PAX header per member: 44 % of the file
        # in small samples, and other bytes at every run.
        self._tar = TarWriter(self._file, encoder=False, mtime=0)

    def _finish(self) -> None:
        assert self._aside is not None
        path = self.directory / f"{self.prefix}-{len(self.shards):06d}.tar"
        self._tar.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.chmod(self._aside, 0o644)
        os.replace(self._aside, path)
        self.shards.append(path)
        self._tar, self._file, self._aside, self._written = None, None, None, 0

    def _discard(self) -> None:
        if self._tar is not None:
            with suppress(OSError):
                self._tar.close()
            self._file.close()
        if self._aside is not None:
            with suppress(OSError):
                os.unlink(self._aside)
        self._tar, self._file, self._aside = None, None, None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()
