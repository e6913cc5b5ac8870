from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.api.errors import InputError, ShardError, StorageError
from loretta_framework.shards.remote import copies as remote

FETCH = "import sys; from loretta_framework.shards.remote.copies import local_copy; "
FETCH += "print(local_copy(sys.argv[1]))"


@pytest.fixture
def urls(web: Any, make_shard: Any) -> list[str]:
    """Six shards of 102,400 bytes."""
    return [web.put(f"/{seed}.tar", make_shard(20, seed=seed)) for seed in range(6)]


def limit(monkeypatch: pytest.MonkeyPatch, shards: float) -> int:
    """Let the cache hold so many of those shards."""
    monkeypatch.setenv("LORETTA_CACHE_GB", str(shards * 102_400 / 1e9))
    return int(shards * 102_400)


def held(cache: Path) -> int:
    return sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())


def test_the_bound_holds_and_the_least_recently_used_goes_first(
    web: Any, urls: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = limit(monkeypatch, 3.5)
    copies = [remote.local_copy(url) for url in urls[:3]]
    remote.local_copy(urls[0])
    for url in urls[3:5]:
        remote.local_copy(url)
        assert held(cache) <= bound
    assert [copy.exists() for copy in copies] == [True, False, False]
    remote.local_copy(urls[1])
    assert len(web.content_requests("/1.tar")) == 2
    assert len(web.content_requests("/0.tar")) == 1


def test_a_shard_that_is_open_goes_last_and_stays_readable(
    urls: list[str], cache: Path, make_shard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, 2.5)
    descriptor = remote.open_shard(urls[0])
    opened = remote.local_copy(urls[0])
    os.utime(opened, ns=(0, 0))
    for url in urls[1:4]:
        remote.local_copy(url)
    assert opened.exists()
    limit(monkeypatch, 1.5)
    remote.local_copy(urls[4])
    assert not opened.exists()
    assert os.pread(descriptor, 1 << 20, 0) == make_shard(20, seed=0)
    os.close(descriptor)


def test_an_index_outlives_its_shard(
    urls: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, 1.5)
    index = remote.index_location(urls[0], remote.revision(urls[0]))
    copy = remote.local_copy(urls[0])
    index.write_bytes(b"index")
    remote.local_copy(urls[1])
    assert not copy.exists()
    assert index.read_bytes() == b"index"
    before = remote.local_copy(urls[0]).stat().st_mtime_ns
    remote.local_copy(urls[1])
    assert remote.local_copy(urls[0]).stat().st_mtime_ns == before
    assert index.exists()


def test_a_shard_larger_than_the_cache_is_refused(
    urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, 0.5)
    with pytest.raises(InputError, match="does not fit") as caught:
        remote.local_copy(urls[0])
    assert "LORETTA_CACHE_GB" in caught.value.fix


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "lots", "1e300"])
def test_the_bound_must_be_a_number(
    text: str, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORETTA_CACHE_GB", text)
    with pytest.raises(InputError, match=f"positive number of gigabytes, but is '{text}'"):
        remote.local_copy(urls[0])


def test_the_folder_must_be_a_folder(
    urls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    for folder in ("cache", str(file)):
        monkeypatch.setenv("LORETTA_CACHE", folder)
        with pytest.raises(InputError, match="LORETTA_CACHE must be the absolute path"):
            remote.local_copy(urls[0])
    monkeypatch.setenv("LORETTA_CACHE", str(file / "below"))
    with pytest.raises(StorageError, match="cannot be used") as caught:
        remote.local_copy(urls[0])
    assert "LORETTA_CACHE" in caught.value.fix


def test_the_default_folder_lies_in_the_home(
    urls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LORETTA_CACHE")
    home = tmp_path / "home"
    assert home / ".cache" / "loretta" / "shards" in remote.local_copy(urls[0]).parents
    assert home.joinpath(".cache/loretta/shards").stat().st_mode & 0o077 == 0


def test_nothing_but_the_caches_own_files_is_removed(
    urls: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strangers = [cache / "mine.tar", cache / "folder" / "mine.tar", cache / ("0" * 32) / "notes"]
    for stranger in strangers:
        stranger.parent.mkdir(parents=True, exist_ok=True)
        stranger.write_bytes(bytes(10))
    limit(monkeypatch, 1.5)
    for url in urls:
        remote.local_copy(url)
    assert all(stranger.exists() for stranger in strangers)


def test_a_copy_that_was_cut_is_fetched_again(web: Any, urls: list[str], make_shard: Any) -> None:
    copy = remote.local_copy(urls[0])
    os.truncate(copy, 500)
    assert remote.local_copy(urls[0]).read_bytes() == make_shard(20, seed=0)


def test_a_full_disk_is_said_and_leaves_nothing(
    urls: list[str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*args: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", no_space)
        with pytest.raises(StorageError, match="No space left") as caught:
            remote.local_copy(urls[0])
    assert "it needs 102400 bytes and" in str(caught.value)
    assert "are free" in str(caught.value)
    assert not [path for path in cache.glob("*/*") if path.name != "lock"]


def test_a_disk_that_is_nearly_full_makes_room_first(
    web: Any, urls: list[str], make_shard: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = [remote.local_copy(url) for url in urls[:2]]
    usage = shutil.disk_usage(cache)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    remote.local_copy(urls[2])
    assert [copy.exists() for copy in copies] == [False, True]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=0))
    remote.local_copy(urls[3])
    left = sorted(cache.glob("*/*.tar"))
    assert left
    big = web.put("/big.tar", make_shard(100))
    with pytest.raises(StorageError, match="and 0 bytes are free"):
        remote.local_copy(big)
    assert sorted(cache.glob("*/*.tar")) == left  # nothing is removed in vain


def test_processes_and_threads_fetch_a_shard_once(web: Any, urls: list[str]) -> None:
    command = [sys.executable, "-c", FETCH, urls[0]]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    with ThreadPoolExecutor(4) as pool:
        copies = {str(path) for path in pool.map(remote.local_copy, [urls[0]] * 8)}
    copies |= {child.communicate(timeout=60)[0].strip() for child in children}
    assert len(copies) == 1
    assert all(child.returncode == 0 for child in children)
    assert len(web.content_requests("/0.tar")) == 1


def test_many_readers_of_a_small_cache_read_the_right_bytes(
    urls: list[str], make_shard: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards vanish between the fetch and the opening of others all the time."""
    bound = limit(monkeypatch, 4.5)
    contents = [make_shard(20, seed=seed) for seed in range(6)]

    def read(turn: int) -> bool:
        number = (turn * 7) % 6
        descriptor = remote.open_shard(urls[number])
        same = os.pread(descriptor, 1 << 20, 0) == contents[number]
        os.close(descriptor)
        return same

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read, range(48)))
    assert held(cache) <= bound


def test_a_killed_download_leaves_nothing_that_counts_as_complete(
    web: Any, make_shard: Any, cache: Path, urls: list[str]
) -> None:
    data = make_shard(20)
    url = web.put("/slow.tar", data, ("stall", 50_000))
    child = subprocess.Popen([sys.executable, "-c", FETCH, url], stderr=subprocess.DEVNULL)
    assert web.arrived.wait(60)
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    web.release.set()
    (part,) = cache.glob("*/*.part")
    assert not list(cache.glob("*/*.tar"))
    remote.local_copy(urls[1])  # another shard's fetch cleans up after the dead
    assert not part.exists()
    assert remote.local_copy(url).read_bytes() == data
    assert not list(cache.glob("*/*.part"))


def test_parts_of_the_living_count_and_stay(
    web: Any, make_shard: Any, cache: Path, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_shard(20)
    url = web.put("/slow.tar", data, ("stall", 50_000))
    monkeypatch.setattr("loretta_framework.shards.remote.transport.TIMEOUT_S", 30.0)
    results: list[Path] = []
    thread = threading.Thread(target=lambda: results.append(remote.local_copy(url)))
    thread.start()
    assert web.arrived.wait(60)
    bound = limit(monkeypatch, 2.5)
    for other in urls[:3]:
        remote.local_copy(other)
        assert held(cache) <= bound
    assert len(list(cache.glob("*/*.part"))) == 1
    web.release.set()
    thread.join(60)
    assert results[0].read_bytes() == data


def test_who_finds_no_room_beside_the_living_waits(
    web: Any, make_shard: Any, cache: Path, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = web.put("/slow.tar", make_shard(20), ("stall", 50_000))
    monkeypatch.setattr("loretta_framework.shards.remote.transport.TIMEOUT_S", 30.0)
    bound = limit(monkeypatch, 1.5)
    asleep = threading.Event()

    def wait(seconds: float) -> None:
        asleep.set()
        assert held(cache) <= bound
        assert web.release.wait(30)

    monkeypatch.setattr("loretta_framework.shards.remote.cache.time.sleep", wait)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(remote.local_copy, url)
        assert web.arrived.wait(60)
        second = pool.submit(remote.local_copy, urls[1])
        assert asleep.wait(60)
        web.release.set()
        first.result(60)
        assert second.result(60).read_bytes() == make_shard(20, seed=1)
    assert held(cache) <= bound


def test_a_forked_child_reads_from_urls(urls: list[str], make_shard: Any) -> None:
    remote.local_copy(urls[0])
    with multiprocessing.get_context("fork").Pool(1) as pool:
        paths = pool.map(remote.local_copy, urls[:2])
    assert [path.read_bytes() for path in paths] == [make_shard(20, seed=seed) for seed in (0, 1)]


def test_a_url_with_nothing_behind_it_leaves_nothing(web: Any, cache: Path) -> None:
    with pytest.raises(ShardError, match="no such file"):
        remote.local_copy(f"{web.base}/none.tar")
    assert not cache.exists()
