"""Whole sets from URLs: opened, read, indexed, fed to training."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from loretta_framework.api.errors import DamagedSampleError, LorettaError, ShardError, StorageError
from loretta_framework.cli.data.index import index as index_verb
from loretta_framework.data.sample import RawSample, SetReader
from loretta_framework.recipe.plan import SetPlan
from loretta_framework.shards.index import index_path, open_index
from loretta_framework.shards.linting.lint import lint_shard
from loretta_framework.shards.remote import copies as remote, indexes


@pytest.fixture
def contents(make_shard: Any) -> list[bytes]:
    return [make_shard(6, seed=seed) for seed in range(3)]


@pytest.fixture
def local(contents: list[bytes], tmp_path: Path) -> list[str]:
    """The shards as local files."""
    paths = [tmp_path / f"{number}.tar" for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    return [str(path) for path in paths]


@pytest.fixture
def urls(web: Any, contents: list[bytes]) -> list[str]:
    return [web.put(f"/{number}.tar", data) for number, data in enumerate(contents)]


def plan(shards: list[str]) -> SetPlan:
    return SetPlan(
        name="s",
        split="train",
        shards=tuple(shards),
        modalities=("image", "text"),
        share=1.0,
        missing="keep",
        label=None,
        samples=18,
        combinations=((("image", "text"), 18),),
        source=None,
        digest="",
    )


def everything(reader: SetReader) -> list[RawSample]:
    return [reader.read(row) for row in range(len(reader))]


def test_a_set_from_urls_is_the_set_from_files(web: Any, urls: list[str], local: list[str]) -> None:
    there, here = SetReader(plan(urls)), SetReader(plan(local))
    assert len(there) == 18
    assert everything(there) == everything(here)
    assert there.store.digest == here.store.digest
    assert there.place(7) == (urls[1], here.place(7)[1])
    for number in range(3):
        assert len(web.content_requests(f"/{number}.tar")) == 1


def test_a_second_opening_fetches_nothing(web: Any, urls: list[str]) -> None:
    first = everything(SetReader(plan(urls)))
    web.log.clear()
    assert everything(SetReader(plan(urls))) == first
    assert {wanted for _, _, wanted in web.log} == {"bytes=0-0"}
    assert len(web.log) == 3


def test_an_index_outlives_its_shard_in_a_small_cache(
    web: Any, urls: list[str], local: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORETTA_CACHE_GB", "60e-6")  # of three shards of 31 kB and their indexes
    reader = SetReader(plan(urls))
    web.log.clear()
    assert len(SetReader(plan(urls))) == 18
    assert not any(web.content_requests(f"/{number}.tar") for number in range(3))
    here = SetReader(plan(local))
    for row in (0, 17, 6, 1, 12, 7):
        assert reader.read(row) == here.read(row)


def test_a_published_index_opens_a_set_without_its_shards(
    web: Any, urls: list[str], local: list[str]
) -> None:
    expected = everything(SetReader(plan(local)))
    for number, path in enumerate(local):
        web.put(f"/{number}.tar.index.safetensors", index_path(path).read_bytes())
    reader = SetReader(plan(urls))
    assert not any(web.content_requests(f"/{number}.tar") for number in range(3))
    assert reader.read(7) == expected[7]
    assert len(web.content_requests("/1.tar")) == 1
    assert not web.content_requests("/0.tar")
    assert everything(reader) == expected


@pytest.mark.parametrize("how", ["other shard", "cut", "noise", "empty"])
def test_a_published_index_that_is_not_the_shards_is_not_used(
    how: str, web: Any, urls: list[str], local: list[str], tmp_path: Path, make_shard: Any
) -> None:
    expected = everything(SetReader(plan(local)))
    other = tmp_path / "other.tar"
    other.write_bytes(make_shard(9, seed=8))
    open_index([other])
    good = index_path(local[0]).read_bytes()
    wrong = {
        "other shard": index_path(other).read_bytes(),
        "cut": good[:-7],
        "noise": bytes(len(good)),
        "empty": b"",
    }
    web.put("/0.tar.index.safetensors", wrong[how])
    assert everything(SetReader(plan(urls))) == expected


def test_an_index_for_an_earlier_content_of_the_url_is_not_used(
    web: Any, urls: list[str], make_shard: Any, cache: Path, tmp_path: Path
) -> None:
    """Both have the same size, as tars often do; the index says which content it is of."""
    old = SetReader(plan(urls[:1]))
    (index,) = cache.glob("*/*.index.safetensors")
    web.put("/0.tar.index.safetensors", index.read_bytes())
    web.put("/0.tar", make_shard(6, seed=9))
    assert SetReader(plan(urls[:1])).store.digest != old.store.digest
    assert SetReader(plan(urls[:1])).read(0).key.startswith("s/09")


@pytest.fixture
def stale(web: Any, urls: list[str], local: list[str], make_shard: Any) -> str:
    """URL of a shard that was replaced by one of its size, while its index stayed where it was."""
    open_index(local[:1])
    web.put("/0.tar.index.safetensors", index_path(local[0]).read_bytes())
    web.put("/0.tar", make_shard(6, seed=9))
    return urls[0]


def test_a_published_index_cannot_pass_off_other_bytes(stale: str) -> None:
    readers = [SetReader(plan([stale])) for _ in range(2)]
    for reader in readers:
        with pytest.raises(ShardError, match="is of another content") as caught:
            reader.read(0)
        assert not isinstance(caught.value, DamagedSampleError)
        assert caught.value.where == stale
        assert f"loretta data index --anew {stale}" in caught.value.fix
    assert {sample.key[:4] for sample in everything(SetReader(plan([stale])))} == {"s/09"}


def test_a_published_index_is_compared_with_a_shard_that_is_here(
    stale: str, capsys: pytest.CaptureFixture[str]
) -> None:
    remote.local_copy(stale)
    assert SetReader(plan([stale])).read(0).key.startswith("s/09")
    assert f"{stale}: the index beside it is of another content" in capsys.readouterr().err
    SetReader(plan([stale]))
    assert capsys.readouterr().err == ""


def test_a_published_index_is_compared_once(
    web: Any, urls: list[str], local: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    open_index(local[:1])
    web.put("/0.tar.index.safetensors", index_path(local[0]).read_bytes())
    reader, scans = SetReader(plan(urls[:1])), []
    scan = indexes.scan_shard
    monkeypatch.setattr(indexes, "scan_shard", lambda *a, **k: scans.append(a) or scan(*a, **k))
    other = pickle.loads(pickle.dumps(reader))
    expected = everything(SetReader(plan(local[:1])))
    assert everything(reader) == everything(other) == expected
    assert everything(SetReader(plan(urls[:1]))) == expected
    assert len(scans) == 1


def test_lint_compares_a_url_with_the_index_beside_it(stale: str) -> None:
    found = list(lint_shard(stale))
    assert {finding.code for finding in found} == {"changed-since-index"}
    assert all(f.fix.endswith(f": loretta data index --anew {stale}") for f in found)
    output = CliRunner().invoke(index_verb, ["--anew", stale], catch_exceptions=False).output
    assert "1 shards read anew, 0 fresh" in output
    assert list(lint_shard(stale)) == []
    assert SetReader(plan([stale])).read(0).key.startswith("s/09")


def test_indexing_anew_fetches_a_damaged_copy_again(
    web: Any, urls: list[str], local: list[str], cache: Path
) -> None:
    expected = everything(SetReader(plan(local)))
    open_index(urls)
    damaged = {copy.read_bytes(): copy for copy in cache.glob("*/*.tar")}[web.files["/1.tar"]]
    data, status = bytearray(damaged.read_bytes()), damaged.stat()
    data[512] ^= 1
    damaged.write_bytes(data)
    os.utime(damaged, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DamagedSampleError) as caught:
        SetReader(plan(urls)).read(6)
    command = f"loretta data index --anew {urls[1]}"
    assert command in caught.value.fix
    assert command in {finding.fix.partition(": ")[2] for finding in lint_shard(urls[1])}
    CliRunner().invoke(index_verb, ["--anew", urls[1]], catch_exceptions=False)
    assert everything(SetReader(plan(urls))) == expected
    assert [len(web.content_requests(f"/{n}.tar")) for n in range(3)] == [1, 2, 1]


def test_a_shard_that_changes_while_it_is_read_is_refused(
    web: Any, urls: list[str], cache: Path, make_shard: Any
) -> None:
    reader = SetReader(plan(urls))
    reader = pickle.loads(pickle.dumps(reader))
    for copy in cache.glob("*/*.tar"):
        copy.unlink()
    web.put("/0.tar", make_shard(6, seed=9))
    with pytest.raises(ShardError, match="two versions are not mixed") as caught:
        reader.read(0)
    assert urls[0] in str(caught.value)
    assert reader.read(6).key == "s/01000000"


def test_workers_read_what_their_parent_opened(urls: list[str], local: list[str]) -> None:
    expected = everything(SetReader(plan(local)))
    reader = SetReader(plan(urls))
    reader.read(0)
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            assert list(pool.map(reader.read, range(18))) == expected


def test_a_truncated_shard_is_refused_by_its_url(
    web: Any, contents: list[bytes], cache: Path
) -> None:
    url = web.put("/cut.tar", contents[0][:5000])
    with pytest.raises(ShardError, match="truncated") as caught:
        SetReader(plan([url]))
    assert url in str(caught.value)
    assert str(cache) not in str(caught.value)


@pytest.mark.parametrize("fault", [("status", 500), ("drop", 10), ("stall", 10)], ids=str)
def test_a_lost_server_is_no_damaged_sample(
    fault: Any, web: Any, urls: list[str], cache: Path
) -> None:
    """A quarantine that took it for one would throw the whole set away."""
    reader = SetReader(plan(urls))
    for copy in cache.glob("*/*.tar"):
        copy.unlink()
    for number in range(3):
        web.always[f"/{number}.tar"] = fault
    with pytest.raises(LorettaError) as caught:
        reader.read(0)
    assert isinstance(caught.value, StorageError)


def test_the_index_verb_takes_urls(web: Any, urls: list[str]) -> None:
    pattern = f"{web.base}/{{0..2}}.tar?key=SECRET"
    first = CliRunner().invoke(index_verb, [pattern], catch_exceptions=False)
    assert "3 shards, 18 samples" in first.output
    assert "a web server takes no files" in first.output
    again = CliRunner().invoke(index_verb, [pattern], catch_exceptions=False)
    assert "0 shards read anew, 3 fresh" in again.output
    assert "SECRET" not in first.output + again.output


def test_the_index_verb_publishes_to_a_bucket(
    web: Any, contents: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    import boto3
    import s3fs

    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    endpoint = "http://{}:{}".format(*running.get_host_and_port())
    for name, value in (
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "nobody"),
        ("AWS_SECRET_ACCESS_KEY", "nothing"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3", endpoint_url=endpoint)
    client.create_bucket(Bucket="sets")
    for number, data in enumerate(contents):
        client.put_object(Bucket="sets", Key=f"{number}.tar", Body=data)
    try:
        reader = SetReader(plan([f"s3://sets/{number}.tar" for number in range(3)]))
        assert len(everything(reader)) == 18
        first = CliRunner().invoke(index_verb, ["s3://sets/*.tar"], catch_exceptions=False)
        assert first.output.count("the index lies at s3://sets/") == 3
        again = CliRunner().invoke(index_verb, ["s3://sets/*.tar"], catch_exceptions=False)
        assert "the index lies" not in again.output
        assert "3 shards, 18 samples" in again.output
        monkeypatch.setenv("LORETTA_CACHE", str(remote.open_cache().root.with_name("other")))
        assert len(SetReader(plan([f"s3://sets/{number}.tar" for number in range(3)]))) == 18
        assert not list(remote.open_cache().root.glob("*/*.tar"))
    finally:
        running.stop()
        s3fs.S3FileSystem.clear_instance_cache()


def test_opening_urls_loads_no_torch(urls: list[str]) -> None:
    code = "import sys; from loretta_framework.shards.index import open_index; "
    code += "print(len(open_index(sys.argv[1:])), 'torch' in sys.modules, 'fsspec' in sys.modules)"
    command = [sys.executable, "-c", code, *urls]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["18", "False", "False"]
