"""What `scan` bounds to hold the index of a shard in memory, counted as it counts."""

from __future__ import annotations

from collections.abc import Collection

from loretta_framework.shards import scan

FIX = "write several shards, each with samples of one kind"


class Bounds:
    """Counts the names, shapes and keys of one shard."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._shapes: set[tuple[str, ...]] = set()
        self._shape_names = 0
        self._key_bytes = 0
        self._told: set[str] = set()

    def add(self, local: str, members: Collection[str]) -> str | None:
        """What is too much when a sample with these members gets another, None if nothing is."""
        if len(members) >= scan.MAX_SAMPLE_MEMBERS:
            return f"a sample may have at most {scan.MAX_SAMPLE_MEMBERS} members"
        if local not in self._names and len(self._names) >= scan.MAX_NAMES:
            return f"a shard may hold at most {scan.MAX_NAMES} different names of members"
        if self._shape_names > scan.MAX_SHAPE_NAMES:
            return "the samples of a shard have too many different sets of members"
        if self._key_bytes > scan.MAX_KEY_BYTES:
            return f"the keys of a shard may have at most {scan.MAX_KEY_BYTES} bytes together"
        self._names.add(local)
        return None

    def is_new(self, what: str, key: str) -> bool:
        """Whether to tell of it: once for a shard, or once for a sample with too many members."""
        told = f"{key}: {what}" if "a sample may" in what else what
        before = len(self._told)
        self._told.add(told)
        return len(self._told) > before

    def close(self, key: str, members: Collection[str]) -> None:
        """A sample is complete."""
        shape = tuple(members)
        if shape not in self._shapes:
            self._shapes.add(shape)
            self._shape_names += len(shape)
        self._key_bytes += len(key.encode("utf-8"))
