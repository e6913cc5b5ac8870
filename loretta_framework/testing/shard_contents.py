"""What shards hold, read by the standard library alone: an oracle for what writes and reads them."""

from __future__ import annotations

import tarfile
from pathlib import Path

from loretta_framework.shards.members import parse_member


def shard_samples(folder: Path, name: str = "train") -> dict[str, dict[str, bytes]]:
    """Key -> local member name -> bytes, of the shards `<name>-NNNNNN.tar` in a folder.

    Raises:
        ValueError: a member's name has not the form of one.
    """
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(folder.glob(f"{name}-[0-9]*.tar")):
        with tarfile.open(path) as archive:
            for info in archive:
                member = parse_member(info.name)
                file = archive.extractfile(info)
                assert file is not None
                found.setdefault(member.key, {})[member.local] = file.read()
    return found
