"""Shards made to do harm: each is refused with its place, in little time and memory."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loretta_framework.api.errors import ShardError
from loretta_framework.shards import scan as scan_module
from loretta_framework.shards.index import index_path, index_shard, open_index

Build = Callable[[Any], bytes]

LONG = "x" * 300 + ".text.txt"
HUGE = b"\x80" + (2**62).to_bytes(11, "big")
NEGATIVE = b"\xff" * 12


def plain(name: str | bytes) -> Build:
    return lambda b: b.member("0.text.txt") + b.member(name) + b.END


def kind(letter: bytes, size: int = 0) -> Build:
    return lambda b: b.header("a.text.txt", size, kind=letter, link=b"/etc/passwd") + b.END


def sized(size: int | bytes) -> Build:
    return lambda b: b.header("a.text.txt", size) + b"x" * 512 + b.END


def pax(*records: tuple[str, str], **fields: bytes) -> Build:
    return lambda b: b.pax(*records, **fields) + b.member("a.text.txt", b"12345") + b.END


def raw_pax(data: bytes, letter: bytes = b"x") -> Build:
    return lambda b: b.member("p", data, kind=letter) + b.member("a.text.txt") + b.END


def zipped(b: Any) -> bytes:
    return gzip.compress(b.member("a.text.txt") + b.END)


def sparse_by_pax(b: Any) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.text.txt")
        info.size = 512
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": str(2**40)}
        archive.addfile(info, io.BytesIO(b"1\n0\n512\n" + bytes(504)))
    return file.getvalue()


PATH, FORM, PLAIN = "relative and must not climb", "after the key must follow", "only plain files"
NO_TAR, SPARSE = "truncated or is no tar", "sparse file"
ATTACKS: dict[str, tuple[Build, str]] = {
    "traversal": (plain("../a.text.txt"), PATH),
    "traversal inside": (plain("x/../../a.text.txt"), PATH),
    "absolute": (plain("/etc/a.text.txt"), PATH),
    "backslash": (plain("..\\a.text.txt"), PATH),
    "drive": (plain("C:\\a.text.txt"), PATH),
    "double slash": (plain("x//a.text.txt"), PATH),
    "prefix that climbs": (
        lambda b: b.member("a.text.txt", prefix=b"../..") + b.END,
        PATH,
    ),
    "pax path that climbs": (pax(("path", "../a.text.txt")), PATH),
    "long name that climbs": (
        lambda b: b.member("L", b"../" + LONG.encode(), kind=b"L") + b.member("a") + b.END,
        PATH,
    ),
    "no key": (plain(".text.txt"), "must start with the sample's key"),
    "no name": (plain(b""), PATH),
    "no extension": (plain("a"), "must have an extension"),
    "dots in the key": (plain("a.b.c.text.txt"), FORM),
    "control character": (plain("a\x1b[2J.text.txt"), "control character"),
    "line break": (plain("a\n.text.txt"), "control character"),
    "text direction": (plain("a\u202e.text.txt"), "control character"),
    "zero byte in a pax path": (pax(("path", "a.text.txt\0.png")), "control character"),
    "zero byte in a long name": (
        lambda b: b.member("L", b"a.text.txt\0b", kind=b"L") + b.member("a.text.txt") + b.END,
        "bytes follow the end of the name",
    ),
    "no UTF-8": (plain(b"\xff\xfe.text.txt"), "must be UTF-8"),
    "long local name": (
        lambda b: b.pax(("path", "a." + "t" * 300)) + b.member("x") + b.END,
        "at most 255 characters",
    ),
    "long key": (
        lambda b: b.pax(("path", "k" * 1100 + ".t")) + b.member("x") + b.END,
        "at most 1024 characters",
    ),
    "huge number": (plain("a.image." + "9" * 50 + ".png"), FORM),
    "symbolic link": (kind(b"2"), PLAIN),
    "hard link": (kind(b"1"), PLAIN),
    "character device": (kind(b"3"), PLAIN),
    "block device": (kind(b"4"), PLAIN),
    "pipe": (kind(b"6"), PLAIN),
    "contiguous file": (kind(b"7"), PLAIN),
    "unknown type": (kind(b"Z"), PLAIN),
    "volume header": (kind(b"V"), PLAIN),
    "multi-volume": (kind(b"M"), PLAIN),
    "long link name": (
        lambda b: b.member("K", b"/etc/passwd\0", kind=b"K") + b.header("a", kind=b"2") + b.END,
        PLAIN,
    ),
    "folder with content": (
        lambda b: b.header("d/", 512, kind=b"5") + bytes([1]) * 512 + b.END,
        "a folder must have no content",
    ),
    "old sparse": (kind(b"S"), SPARSE),
    "old sparse, endless map": (
        lambda b: b.header("a.text.txt", kind=b"S")[:482] + b"\1" + bytes(29),
        NO_TAR,
    ),
    "new sparse": (sparse_by_pax, SPARSE),
    "sparse by name": (pax(("GNU.sparse.name", "/etc/a"), ("GNU.sparse.size", "9")), SPARSE),
    "size beyond the end": (sized(100_000), NO_TAR),
    "largest octal size": (sized(8**11 - 1), NO_TAR),
    "base-256 size": (sized(HUGE), NO_TAR),
    "negative size": (sized(NEGATIVE), "size is -1"),
    "negative octal size": (sized(b"-0000000001\0"), "size is -1"),
    "size that is no number": (sized(b"zzzzzzzzzzz\0"), NO_TAR),
    "pax size beyond the end": (pax(("size", str(2**60))), NO_TAR),
    "pax size that is smaller": (pax(("size", "2")), "states another size"),
    "pax size that is larger": (pax(("size", "512")), "states another size"),
    "pax size that is no number": (pax(("size", "-1")), "must be a whole number"),
    "pax size with 5000 digits": (pax(("size", "9" * 5000)), "must be a whole number"),
    "two pax paths": (pax(("path", "a.text.txt"), ("path", "b.text.txt")), "states 'path' twice"),
    "two names": (
        lambda b: b.pax(("path", "a.t")) + b.member("L", b"b.t", kind=b"L") + b.member("c") + b.END,
        "two headers name the same member",
    ),
    "two pax headers": (
        lambda b: b.pax(("path", "a.t")) + b.pax(("path", "b.t")) + b.member("c") + b.END,
        "two extended headers name",
    ),
    "two pax sizes": (
        lambda b: b.pax(("size", "1")) + b.pax(("size", "1")) + b.member("c") + b.END,
        "two extended headers state a size",
    ),
    "empty pax path": (pax(("path", "")), "the name is empty"),
    "pax record length 0": (raw_pax(b"0 path=x\n"), "a record's length is wrong"),
    "pax record too long": (raw_pax(b"99 path=x\n"), "a record's length is wrong"),
    "pax record without end": (raw_pax(b"8 path=x"), "a record's length is wrong"),
    "pax without number": (raw_pax(b"path=x\n"), "must begin with its length"),
    "pax number of 10^5 digits": (raw_pax(b"9" * 60_000), "must begin with its length"),
    "pax of 70 KB": (raw_pax(b"x" * 70_000), "at most 65536 bytes"),
    "long name of 5 KB": (raw_pax(b"x" * 5000, b"L"), "at most 4097 bytes"),
    "empty long name": (raw_pax(b"\0", b"L"), "the name is empty"),
    "pax header at the end": (lambda b: b.pax(("path", "a.t")) + b.END, NO_TAR),
    "global path": (pax(("path", "evil.text.txt"), kind=b"g"), "global header sets 'path'"),
    "global size": (pax(("size", "0"), kind=b"g"), "global header sets 'size'"),
    "global sparse": (pax(("GNU.sparse.major", "1"), kind=b"g"), "global header sets 'GNU"),
    "broken global": (raw_pax(b"zz", b"g"), "global header is malformed"),
    "global of 70 KB": (raw_pax(b"x" * 70_000, b"g"), "at most 65536 bytes"),
    "wrong checksum": (
        lambda b: b.header("a.text.txt", checksum=b"000000\0 ") + b.END,
        NO_TAR,
    ),
    "gzip named tar": (zipped, NO_TAR),
    "two tars joined": (lambda b: (b.member("a.t") + b.END) * 2, "data follows the end mark"),
    "one zero block": (lambda b: b.member("a.text.txt") + bytes(512), NO_TAR),
    "no end mark": (lambda b: b.member("a.text.txt"), NO_TAR),
    "end mark then header": (
        lambda b: b.member("a.text.txt") + bytes(512) + b.member("b.text.txt") + b.END,
        NO_TAR,
    ),
    "pickle": (plain("a.image.pkl"), "can run code"),
    "torch pickle": (plain("a.pt"), "can run code"),
    "python library": (plain("a.text.PYD"), "can run code"),
    "twice": (lambda b: b.member("a.text.txt") * 2 + b.END, "twice"),
    "apart": (
        lambda b: b.member("a.t.x") + b.member("b.t.x") + b.member("a.u.x") + b.END,
        "key 'a' must lie side by side",
    ),
    "folders only": (lambda b: b.header("d/", kind=b"5") + b.END, "the shard is empty"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_shard_is_refused_with_its_reason_and_place(
    name: str, blocks: Any, tmp_path: Path
) -> None:
    build, reason = ATTACKS[name]
    path = tmp_path / "x.tar"
    path.write_bytes(build(blocks))
    with pytest.raises(ShardError) as caught:
        open_index([path])
    assert reason in caught.value.what
    assert caught.value.where.startswith(str(path))
    assert caught.value.fix
    assert str(caught.value).replace("\n  -> ", "").isprintable()
    assert [file.name for file in tmp_path.iterdir()] == ["x.tar"]


def test_what_is_unusual_but_sound_is_read(blocks: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(
        blocks.pax(("comment", "git"), kind=b"g")
        + blocks.header("./", kind=b"5")
        + blocks.member("./a.text.txt", b"1", kind=b"\0", magic=bytes(8))
        + blocks.pax(("path", "é" * 200 + ".text.txt"), ("mtime", "1.5"), ("SCHILY.dev", "7"))
        + blocks.member("x", b"2")
        + blocks.member("b.text.tar", b"3")
        + blocks.END
        + bytes(9216)
    )
    store = open_index([path])
    assert [store.key(sample) for sample in range(3)] == ["./a", "é" * 200, "b"]
    assert [store.read(sample, 0) for sample in range(3)] == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [
        ("MAX_SAMPLE_MEMBERS", 3, "a sample may have at most 3 members"),
        ("MAX_NAMES", 3, "at most 3 different names"),
        ("MAX_SHAPE_NAMES", 2, "too many different sets of members"),
        ("MAX_KEY_BYTES", 2, "at most 2 bytes together"),
    ],
)
def test_what_is_kept_in_memory_is_bounded(
    limit: str, value: int, reason: str, blocks: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "x.tar"
    samples = [f"{key}.text.{n}.txt" for key in "abcdef" for n in range(ord(key) - ord("a") + 1)]
    path.write_bytes(b"".join(map(blocks.member, samples)) + blocks.END)
    index_shard(path)
    monkeypatch.setattr(scan_module, limit, value)
    with pytest.raises(ShardError, match=reason):
        index_shard(path)


def test_two_keys_with_one_hash_are_two_samples(
    blocks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_module, "key_hash", lambda key: 7)
    path = tmp_path / "x.tar"
    path.write_bytes(blocks.member("a.t.x") + blocks.member("b.t.x") + blocks.END)
    assert open_index([path]).key_hashes().tolist() == [7, 7]
    for names in (["a.t.x", "b.t.x", "a.u.x"], ["c.t.x", "a.t.x", "b.t.x", "a.u.x"]):
        path.write_bytes(b"".join(map(blocks.member, names)) + blocks.END)
        with pytest.raises(ShardError, match="key 'a' must lie side by side") as caught:
            open_index([path])
        assert f"at byte {1024 * (len(names) - 1)}, member 'a.u.x'" in caught.value.where


MEASURE = """
import json, sys, time
from pathlib import Path
from loretta_framework.api.errors import ShardError
from loretta_framework.shards.index import index_shard

def peak():  # ru_maxrss would be the parent's, which was larger before the fork
    (line,) = [l for l in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in l]
    return int(line.split()[1]) / 1024

good, *paths = map(Path, sys.argv[1:])
index_shard(good)
start, seconds = peak(), {}
for path in paths:
    best = 1e9
    for _ in range(2 if len(paths) > 1 else 1):
        begin = time.process_time()
        try:
            index_shard(path)
        except ShardError:
            pass
        best = min(best, time.process_time() - begin)
    seconds[path.name] = best
print(json.dumps({"megabytes": peak() - start, "seconds": seconds}))
"""


def measured(good: Path, paths: list[Path]) -> dict[str, Any]:
    command = [sys.executable, "-c", MEASURE, str(good), *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_hostile_shards_cost_little(blocks: Any, tmp_path: Path) -> None:
    good = tmp_path / "good.tar"
    good.write_bytes(blocks.member("a.text.txt") + blocks.END)
    paths = []
    for number, (build, _) in enumerate(ATTACKS.values()):
        paths.append(tmp_path / f"{number}.tar")
        paths[-1].write_bytes(build(blocks))
    found = measured(good, paths)
    assert found["megabytes"] <= 64
    assert max(found["seconds"].values()) <= 0.2


def many_members(blocks: Any, path: Path, count: int) -> None:
    """Empty members, each a sample: the cheapest way to make the index large."""
    template = np.frombuffer(blocks.header("0000000.text.txt"), np.uint8)
    digits = (np.arange(count)[:, None] // 10 ** np.arange(6, -1, -1)) % 10
    with path.open("wb") as file:
        for start in range(0, count, 10_000):
            part = digits[start : start + 10_000]
            headers = np.tile(template, (len(part), 1))
            headers[:, :7] += part.astype(np.uint8)
            sums = int(template.sum()) - int(template[148:156].sum()) + 256 + part.sum(axis=1)
            octal = (sums[:, None] // 8 ** np.arange(5, -1, -1)) % 8
            headers[:, 148:154] = octal.astype(np.uint8) + ord("0")
            file.write(headers.tobytes())
        file.write(blocks.END)


def check_many_members(blocks: Any, tmp_path: Path, count: int) -> None:
    good, bomb = tmp_path / "good.tar", tmp_path / "bomb.tar"
    good.write_bytes(blocks.member("a.text.txt") + blocks.END)
    many_members(blocks, bomb, count)
    found = measured(good, [bomb])
    print(f"{count} members: {found}")
    store = open_index([bomb])
    assert (len(store), store.key(count - 1)) == (count, f"{count - 1:07d}")
    assert 0 < found["megabytes"] <= 64  # 0 would be a measurement that sees nothing


def test_many_tiny_members_take_little_memory(blocks: Any, tmp_path: Path) -> None:
    check_many_members(blocks, tmp_path, 30_000)
    assert index_path(tmp_path / "bomb.tar").stat().st_size < 40 * 30_000


@pytest.mark.soak
def test_a_million_tiny_members_take_little_memory(blocks: Any, tmp_path: Path) -> None:
    check_many_members(blocks, tmp_path, 1_000_000)
