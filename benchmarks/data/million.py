"""Opens the index of a million small samples and measures what that takes.

    python benchmarks/data/million.py [--samples 1000000] [--shards 4] [--real] [--out FILE]

Without --real the shards are empty files of the right length and their indexes are written by the
public writer, since opening reads indexes only; with it real tars are written and scanned (3 GB,
minutes). Every figure is the median of several child processes; memory is that of the child.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from loretta_framework.api.keys import key_hash
from loretta_framework.shards.index import index_path, open_index
from loretta_framework.shards.index_file import write_index
from loretta_framework.shards.index_header import Fingerprint
from loretta_framework.shards.table import BLOCK, ShardTable

MEMBERS = ("image.png", "text.txt", "meta.json")
SIZE = 300
CHILDREN = 5


def synthetic_shard(path: Path, first: int, samples: int) -> None:
    """An index as scanning a tar of such samples gives it, beside a file of that length."""
    keys = [b"%09d" % number for number in range(first, first + samples)]
    members = samples * len(MEMBERS)
    table = ShardTable(
        (MEMBERS,),
        np.frombuffer(b"".join(keys), np.uint8),
        np.arange(9, 9 * samples + 1, 9, dtype=np.uint32),
        np.array([key_hash(key) for key in keys], dtype=np.uint64),
        np.zeros(samples, np.uint32),
        np.arange(1, 2 * members, 2, dtype=np.uint32),
        np.full(members, SIZE, np.uint32),
        np.arange(members, dtype=np.uint32),
    )
    with path.open("wb") as file:
        file.truncate(2 * BLOCK * (members + 1))
    status = path.stat()
    fingerprint = Fingerprint(status.st_size, str(status.st_mtime_ns), f"{first:064x}")
    write_index(index_path(path), fingerprint, table)


def real_shard(path: Path, first: int, samples: int) -> None:
    """A tar of such samples, written header by header: a tar writer would take an hour."""
    blank = bytearray(BLOCK)
    blank[100:108], blank[124:136] = b"0000644\0", b"%011o\0" % SIZE
    blank[136:148], blank[148:156], blank[156:157] = b"%011o\0" % 0, b" " * 8, b"0"
    blank[257:265] = b"ustar\x0000"
    content = bytes(SIZE) + bytes(-SIZE % BLOCK)
    with path.open("wb", buffering=1 << 20) as file:
        for number in range(first, first + samples):
            for member in MEMBERS:
                name = b"%09d.%s" % (number, member.encode())
                header = bytearray(blank)
                header[: len(name)] = name
                header[148:156] = b"%06o\0 " % (sum(blank) + sum(name))
                file.write(header + content)
        file.write(bytes(2 * BLOCK))


def child(paths: list[Path]) -> None:
    """Open, read the keys of a few samples, and tell how long it took and what is resident."""
    before = resident()
    start = time.perf_counter()
    store = open_index(paths)
    seconds = time.perf_counter() - start
    keys = [store.key(number * len(store) // 7) for number in range(7)]
    start = time.perf_counter()
    ordered = np.sort(store.key_hashes())
    facts = {
        "samples": len(store),
        "open_seconds": seconds,
        "resident_mb": resident(),
        "private_mb": private(),
        "imports_mb": before,
        "peak_mb": peak(),
        "unique_seconds": time.perf_counter() - start,
    }
    assert np.all(ordered[1:] != ordered[:-1])
    assert len(set(keys)) == 7
    print(json.dumps(facts))


def resident() -> float:
    """Resident megabytes of this process, mapped files included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak() -> float:
    """Most megabytes that were resident at a time."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def private() -> float:
    """Resident megabytes that belong to this process alone."""
    fields = Path("/proc/self/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(paths: list[Path]) -> dict[str, float]:
    """Medians over several children."""
    command = [sys.executable, __file__, "--child", *map(str, paths)]
    found = []
    for _ in range(CHILDREN):
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(json.loads(result.stdout))
    return {name: round(statistics.median(f[name] for f in found), 4) for name in found[0]}


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs="+", type=Path)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    facts: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"shard-{n:06d}.tar" for n in range(options.shards)]
        per_shard = options.samples // options.shards
        make = real_shard if options.real else synthetic_shard
        for number, path in enumerate(paths):
            make(path, number * per_shard, per_shard)
        start = time.perf_counter()
        open_index(paths, options.jobs)
        if options.real:
            facts["scan_seconds"] = round(time.perf_counter() - start, 2)
        facts |= {"real": options.real, "shards": options.shards, "jobs": options.jobs}
        facts["index_mb"] = round(sum(index_path(p).stat().st_size for p in paths) / 2**20, 2)
        facts |= measure(paths)
    text = json.dumps(facts, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
