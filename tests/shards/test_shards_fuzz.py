"""Shards that are cut, flipped and mutated: refused, or exactly what was indexed."""

from __future__ import annotations

import io
import os
import random
import tarfile
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from loretta_framework.api.errors import DamagedSampleError, LorettaError, ShardError
from loretta_framework.data.sample import SetReader
from loretta_framework.recipe.plan import SetPlan
from loretta_framework.shards.index import ShardStore, index_path, index_shard, open_index
from loretta_framework.shards.members import parse_member
from loretta_framework.shards.scan import scan_shard
from loretta_framework.shards.writing import ShardWriter

MODALITIES = ("image", "text", "speech")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A shard as the project writes it: its path, bytes, and where its end mark ends."""
    random.seed(1)
    with ShardWriter(tmp_path_factory.mktemp("fuzz"), "s") as writer:
        for number in range(50):
            members = {
                "image.png": random.randbytes(random.randrange(1, 1500)),
                "text.txt": b"number %d" % number,
                "speech.flac": random.randbytes(random.randrange(1, 3000)),
                "meta.json": b"{}",
            }
            lacking = random.choice([None, "image.png", "speech.flac"])
            members.pop(lacking or "meta.json")
            writer.write(f"{number:04d}", members)
    (path,) = writer.shards
    store = open_index([path])
    last = len(store) - 1
    member = len(store.members(last)) - 1
    end = store.offset(last, member) + -(-store.size(last, member) // 512) * 512 + 1024
    return SimpleNamespace(path=path, data=path.read_bytes(), end=end)


def reader(path: Path) -> SetReader:
    return SetReader(
        SetPlan(
            name="s",
            split="train",
            shards=(str(path),),
            modalities=MODALITIES,
            share=1.0,
            missing="keep",
            label=None,
            samples=0,
            combinations=(),
            source=None,
        )
    )


def cuts(written: SimpleNamespace) -> list[int]:
    """Every block and 400 random bytes, longest first. Behind the end mark there is only padding."""
    random.seed(2)
    lengths = {*range(0, written.end, 512), *random.sample(range(written.end), 400)}
    return sorted(lengths, reverse=True)


def test_a_shard_cut_anywhere_is_refused(written: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "cut.tar"
    path.write_bytes(written.data)
    for length in cuts(written):
        os.truncate(path, length)
        with pytest.raises(ShardError, match=r"truncated or is no tar|is empty"):
            index_shard(path)
    assert not index_path(path).exists()


def test_no_partial_sample_comes_from_a_shard_cut_after_it_was_indexed(
    written: SimpleNamespace, tmp_path: Path
) -> None:
    path = tmp_path / "cut.tar"
    path.write_bytes(written.data)
    rows = reader(path)
    whole = [rows.read(row) for row in range(len(rows))]
    found: Counter[str] = Counter()
    for length in cuts(written)[::4]:
        os.truncate(path, length)
        for row, expected in enumerate(whole):
            try:
                delivered = rows.read(row)
            except DamagedSampleError:
                found["refused"] += 1
            else:
                found["whole" if delivered == expected else "partial"] += 1
        with pytest.raises(ShardError):
            reader(path)  # whoever opens it now
    assert found["partial"] == 0
    assert min(found["whole"], found["refused"]) > 1000


def places(store: ShardStore) -> list[tuple[int, int]]:
    return [(s, m) for s in range(len(store)) for m in range(len(store.members(s)))]


def test_300_of_300_flipped_bits_in_members_are_found(
    written: SimpleNamespace, tmp_path: Path
) -> None:
    path = tmp_path / "flip.tar"
    path.write_bytes(written.data)
    store = open_index([path])
    status = path.stat()
    members = places(store)
    random.seed(3)
    chosen = random.choices(members, [store.size(*place) for place in members], k=300)
    found = 0
    for sample, member in chosen:
        at = store.offset(sample, member) + random.randrange(store.size(sample, member))
        with path.open("r+b") as file:
            file.seek(at)
            file.write(bytes([written.data[at] ^ 1 << random.randrange(8)]))
            file.flush()
            # With the times put back nothing but the checksum can tell.
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            for opened in (store, open_index([path])):
                with pytest.raises(DamagedSampleError, match="checksum"):
                    opened.read(sample, member)
            file.seek(at)
            file.write(written.data[at : at + 1])
        found += 1
    assert found == 300
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert [store.read(*place) for place in members]


def test_300_of_300_flipped_bits_in_headers_are_found(
    written: SimpleNamespace, tmp_path: Path
) -> None:
    path = tmp_path / "flip.tar"
    store = open_index([written.path])
    headers = [store.offset(*place) - 512 for place in places(store)]
    random.seed(4)
    # The checksum's own field is checked below: its last bytes may be blank or zero.
    inside = [*range(148), *range(156, 512)]
    for _ in range(300):
        flipped = bytearray(written.data)
        flipped[random.choice(headers) + random.choice(inside)] ^= 1 << random.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(ShardError):
            index_shard(path)


def test_a_flipped_bit_in_a_header_checksum_changes_nothing_unseen(
    written: SimpleNamespace, tmp_path: Path
) -> None:
    path = tmp_path / "flip.tar"
    expected = facts(open_index([written.path]))
    at = open_index([written.path]).offset(7, 1) - 512
    refused = 0
    for place in range(148, 156):
        for bit in range(8):
            flipped = bytearray(written.data)
            flipped[at + place] ^= 1 << bit
            path.write_bytes(flipped)
            try:
                assert facts(open_index([path])) == expected
            except ShardError:
                refused += 1
    assert refused >= 40


def facts(store: ShardStore) -> list[tuple[str, str, int, int]]:
    """(key, local name, offset, size) of every member."""
    return [
        (store.key(s), store.members(s)[m], store.offset(s, m), store.size(s, m))
        for s, m in places(store)
    ]


def by_the_library(path: Path) -> list[tuple[str, str, int, int]]:
    """The same by the standard library."""
    with tarfile.open(path, "r:") as archive:
        found = []
        for info in archive:
            if not info.isdir():
                name = parse_member(info.name)
                found.append((name.key, name.local, info.offset_data, info.size))
    return found


KEYS = st.text("abc0/_-é", min_size=1, max_size=140).filter(
    lambda key: all(part not in ("", "..") for part in key.split("/"))
)
PARTS = st.dictionaries(
    st.sampled_from(["image.png", "image.1.png", "image.2.png", "text.txt", "meta.json", "jpg"]),
    st.binary(max_size=1200),
    min_size=1,
)


@settings(max_examples=60, deadline=None)
@given(
    samples=st.dictionaries(KEYS, PARTS, min_size=1, max_size=8),
    form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_the_index_is_what_the_standard_library_finds(
    samples: dict[str, dict[str, bytes]], form: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.tar"
        with tarfile.open(path, "w", format=form) as archive:
            for key, members in samples.items():
                for name, data in members.items():
                    info = tarfile.TarInfo(f"{key}.{name}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
        for _ in range(2):  # built, then read from its file
            store = open_index([path])
            assert facts(store) == by_the_library(path)
            assert len(store) == len(samples)
        for sample, member in places(store):
            data = samples[store.key(sample)][store.members(sample)[member]]
            assert store.read(sample, member) == data
            assert store.indexes[0].table.crc32_M[
                int(store.indexes[0].table.first_S[sample]) + member
            ] == zlib.crc32(data)


def bases(blocks: Any) -> list[bytes]:
    """Small shards that use everything a tar may have."""
    member, pax, end = blocks.member, blocks.pax, blocks.END
    texts = b"".join(member(f"{n}.text.txt", b"%d" % n * 50) for n in range(4))
    return [
        texts + end,
        pax(("path", "k" * 150 + ".text.txt"), ("size", "5")) + member("x", b"12345") + texts + end,
        member("L", b"n" * 200 + b".text.txt\0", kind=b"L") + member("x", b"1") + texts + end,
        pax(("comment", "c"), kind=b"g") + blocks.header("d/", kind=b"5") + texts + end,
        blocks.header("s.text.txt", 512, kind=b"S") + bytes(512) + texts + end,
        member("a.image.png", b"1" * 600)
        + member("a.image.1.png", b"")
        + texts
        + end
        + bytes(4096),
    ]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(
            ["flip", "set", "digits", "drop", "repeat", "swap", "insert", "cut", "kind"]
        ),
        st.integers(0, 1 << 14),
        st.integers(0, 1 << 16),
    ),
    min_size=1,
    max_size=6,
)


def mutated(data: bytes, changes: list[tuple[str, int, int]], mend: bool) -> bytes:
    """The data with changes; with `mend`, headers' checksums are made right again."""
    found = bytearray(data)
    for change, at, value in changes:
        at %= max(len(found), 1)
        block, other = at // 512 * 512, value * 512 % max(len(found), 1)
        if not found:
            break
        if change == "flip":
            found[at] ^= 1 << value % 8
        elif change == "set":
            found[at] = value % 256
        elif change == "digits":  # a number field of a header
            field = block + (100, 108, 116, 124, 136)[value % 5]
            found[field : field + 8] = b"%08o" % value
        elif change == "kind":
            found[min(block + 156, len(found) - 1)] = b"0123456789xgLKSDMNVX\0"[value % 21]
        elif change == "drop":
            del found[block : block + 512]
        elif change == "repeat":
            found[block:block] = found[block : block + 512]
        elif change == "swap":
            one, two = found[block : block + 512], found[other : other + 512]
            if len(one) == len(two) == 512:
                found[block : block + 512], found[other : other + 512] = two, one
        elif change == "insert":
            found[at:at] = random.Random(value).randbytes(value % 700)
        else:
            del found[at:]
    if mend:
        for start in range(0, len(found) - 511, 512):
            if found[start + 257 : start + 262] == b"ustar":
                found[start + 148 : start + 156] = b" " * 8
                found[start + 148 : start + 156] = b"%06o\0 " % sum(found[start : start + 512])
    return bytes(found)


def judge(data: bytes) -> str:
    """ "refused" or "accepted"; fails when neither is right."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.tar"
        path.write_bytes(data)
        try:
            store = open_index([path])
        except LorettaError as error:
            return "refused" if str(path) in error.where else f"without its place: {error}"
        _, table = scan_shard(path)
        checksums = [zlib.crc32(store.read(*place)) for place in places(store)]
        assert checksums == table.crc32_M.tolist()
        assert facts(store) == by_the_library(path)
        assert len({store.key(sample) for sample in range(len(store))}) == len(store)
        return "accepted"


def fuzz(blocks: Any, examples: int) -> Counter[str]:
    """Counts of verdicts."""
    verdicts: Counter[str] = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(bases(blocks)), CHANGES, st.booleans())
    def run(base: bytes, changes: list[tuple[str, int, int]], mend: bool) -> None:
        verdicts[judge(mutated(base, changes, mend))] += 1

    test: Callable[[], None] = run
    test()
    return verdicts


def test_100_mutated_shards_are_refused_or_read_as_indexed(blocks: Any) -> None:
    verdicts = fuzz(blocks, 100)
    assert verdicts.total() >= 100
    assert min(verdicts.values()) >= 5
    assert len(verdicts) == 2


@pytest.mark.soak
def test_2000_mutated_shards_are_refused_or_read_as_indexed(blocks: Any, keep_result: Any) -> None:
    verdicts = fuzz(blocks, 2000)
    keep_result("mutated-shards", {"mutated shards": dict(verdicts)})
    assert verdicts.total() >= 2000
    assert len(verdicts) == 2
