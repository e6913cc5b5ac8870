"""One hash of keys for all stores."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from loretta_framework.api.keys import key_hash, key_hashes
from loretta_framework.shards.index import open_index
from loretta_framework.shards.writing import ShardWriter


def test_the_hash_never_changes() -> None:
    """It stands in indexes on disk."""
    assert key_hash(b"000042") == int.from_bytes(bytes.fromhex("2929957869c7704a"), "little")


def test_shards_hash_their_keys_alike(tmp_path: Path) -> None:
    keys = ["a", "folder/b", "\u00fc"]
    with ShardWriter(tmp_path, "s") as writer:
        for key in keys:
            writer.write(key, {"text.txt": b"x"})
    store = open_index([str(writer.shards[0])])
    np.testing.assert_array_equal(store.key_hashes(), key_hashes(keys))
    assert store.key_hashes().dtype == key_hashes([]).dtype == np.uint64
