"""What sets hold, in tars and in tables alike, so that they can be compared with each other."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from loretta_framework.api.errors import DamagedSampleError
from loretta_framework.api.protocols import SampleStore
from loretta_framework.shards.linting.contents import Contents, Place, content_of, same_content


@dataclass(frozen=True, slots=True)
class SetContents:
    """What a set holds.

    Attributes:
        split: "train", "validation" or "test".
        name: of the set.
        contents: its members.
        modality_of: local name -> the recipe's modality, None for others.
        store: where a `RowSource` opened the set; None: its members lie in tars.
    """

    split: str
    name: str
    contents: Contents
    modality_of: Callable[[str], str | None]
    store: SampleStore | None = None

    @property
    def title(self) -> str:
        """As findings name it."""
        return f"{self.split}/{self.name}"

    def read(self, place: Place) -> bytes | None:
        """The bytes of a member, None when they cannot be read."""
        if self.store is None:
            return content_of(place)
        try:
            return self.store.read(place.offset, place.content)
        except DamagedSampleError:
            return None

    def tables(self) -> dict[bytes, str]:
        """Digest of each shard's keys, names and checksums -> the shard."""
        contents, names = self.contents, list(self.contents.names)
        digests = [blake2b(digest_size=16) for _ in contents.shards]
        for member, sample in enumerate(contents.sample_M):
            name = names[contents.name_M[member]]
            fact = (contents.keys[sample], name, contents.size_M[member], contents.crc_M[member])
            digests[contents.shard_N[sample]].update(repr(fact).encode())
        pairs = zip(digests, contents.shards, strict=True)
        return {digest.digest(): shard for digest, shard in pairs}


def rows_contents(store: SampleStore) -> Contents:
    """What a `RowSource` opened, in the form of shards.

    A member's `header_M` is the number of its sample, its `content_M` that of the member within the
    shape: with them the store finds it. Damaged members are left out.

    Raises:
        ShardError: the rows cannot be read.
    """
    contents = Contents()
    for sample, shape in enumerate(store.shape_S.tolist()):
        contents.add_sample(store.place(sample), store.key(sample))
        for member, name in enumerate(store.shapes[shape]):
            try:
                data = store.read(sample, member)
            except DamagedSampleError:
                continue
            contents.add(name, sample, member, len(data), zlib.crc32(data))
    return contents


def same(one: SetContents, first: Place, other: SetContents, second: Place) -> bool:
    """Whether a member of one set holds the same bytes as one of another."""
    if first.size != second.size:
        return False
    if one.store is None and other.store is None:
        return same_content(first, second)
    data = one.read(first)
    return data is not None and data == other.read(second)
