from __future__ import annotations

import importlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.api.errors import MissingDependencyError, ShardError, StorageError
from loretta_framework.shards.index import expand_shards
from loretta_framework.shards.remote import buckets, copies as remote

pytest.importorskip("s3fs", reason="s3fs is not installed")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials that are worth nothing, and none of the user's."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "FSSPEC_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    forget()


def forget() -> None:
    """fsspec keeps file systems by their arguments, which do not name the server."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def s3(moto: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty bucket on a real implementation of the protocol; a boto3 client for it."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    client = boto3.client("s3", endpoint_url=moto)
    client.create_bucket(Bucket="bucket")
    yield client
    for item in client.list_objects_v2(Bucket="bucket").get("Contents", []):
        client.delete_object(Bucket="bucket", Key=item["Key"])
    client.delete_bucket(Bucket="bucket")


def put(s3: Any, key: str, data: bytes) -> str:
    s3.put_object(Bucket="bucket", Key=key, Body=data)
    return f"s3://bucket/{key}"


def test_a_shard_comes_as_it_is_and_once(s3: Any, make_shard: Any) -> None:
    data = make_shard(20)
    url = put(s3, "set/a.tar", data)
    assert remote.revision(url).size == len(data)
    copy = remote.local_copy(url)
    assert copy.read_bytes() == data
    s3.delete_object(Bucket="bucket", Key="set/a.tar")
    pinned_copy = next(iter(copy.parent.glob("*.tar")))
    assert pinned_copy == copy
    with pytest.raises(ShardError, match="no such file"):
        remote.local_copy(url)


def test_a_shard_of_many_parts_is_whole(
    s3: Any, make_shard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "PART_BYTES", 1000)
    for size in (0, 1, 999, 1000, 1001, 3999, 4000, 4001, 12_345):
        data = (make_shard(20) * 2)[:size]
        assert remote.local_copy(put(s3, f"{size}.tar", data)).read_bytes() == data


def test_a_new_revision_is_seen(s3: Any, make_shard: Any) -> None:
    url = put(s3, "a.tar", make_shard(20))
    old = remote.revision(url)
    remote.local_copy(url)
    other = make_shard(20, seed=5)
    put(s3, "a.tar", other)
    assert remote.local_copy(url).read_bytes() == other
    with pytest.raises(ShardError, match="two versions are not mixed"):
        remote.local_copy(url, old)


def test_stars_list_the_bucket(s3: Any) -> None:
    names = ("x/a-1.tar", "x/a-0.tar", "x/b[1].tar", "x/deep/a-2.tar", "a.tar", "x/a-0.tar.bak")
    for key in (*names, "x/a-0.tar.index.safetensors"):
        put(s3, key, b"x")
    base = Path("/")
    assert expand_shards("s3://bucket/x/a-*.tar", base) == (
        "s3://bucket/x/a-0.tar",
        "s3://bucket/x/a-1.tar",
    )
    assert expand_shards("s3://bucket/x/*[1].tar", base) == ("s3://bucket/x/b[1].tar",)
    assert expand_shards("s3://bucket/x/**/a-2.tar", base) == ("s3://bucket/x/deep/a-2.tar",)
    assert expand_shards("s3://bucket/{x/a-1,a}.tar", base) == (
        "s3://bucket/a.tar",
        "s3://bucket/x/a-1.tar",
    )
    with pytest.raises(ShardError, match=r"end in \.tar"):
        expand_shards("s3://bucket/x/a-0*", base)
    for pattern in ("s3://bucket/y-*.tar", "s3://nobucket/*.tar"):
        with pytest.raises(ShardError, match="no s"):
            expand_shards(pattern, base)


def test_what_is_missing_is_said(s3: Any) -> None:
    put(s3, "folder/a.tar", b"x")
    for url in ("s3://bucket/none.tar", "s3://nobucket/a.tar", "s3://bucket/folder"):
        with pytest.raises(ShardError, match="no such file") as caught:
            remote.revision(url)
        assert caught.value.where == url


def test_an_index_is_published_and_found(s3: Any, tmp_path: Path) -> None:
    url = put(s3, "a.tar", b"x" * 100)
    index = tmp_path / "index"
    index.write_bytes(b"index")
    assert (
        remote.publish_index(url, index) == "the index lies at s3://bucket/a.tar.index.safetensors"
    )
    place = remote.fetch_index(url, remote.revision(url))
    assert place is not None
    assert place.read_bytes() == b"index"
    sentence = remote.publish_index("s3://nobucket/a.tar", index)
    assert "stays in the local cache" in sentence
    assert "no such file" in sentence


def test_a_forked_child_reads_after_its_parent(s3: Any, make_shard: Any) -> None:
    urls = [put(s3, f"{seed}.tar", make_shard(5, seed=seed)) for seed in range(2)]
    remote.local_copy(urls[0])
    with multiprocessing.get_context("fork").Pool(1) as pool:
        copies = pool.map_async(remote.local_copy, urls).get(60)
    assert [copy.read_bytes() for copy in copies] == [make_shard(5, seed=s) for s in range(2)]


def test_the_store_may_be_silent_when_a_module_is_imported() -> None:
    code = "import sys, loretta_framework.shards.remote.copies, loretta_framework.shards.patterns; "
    code += "print({'fsspec', 's3fs', 'aiohttp', 'botocore'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = importlib.import_module("fsspec.registry")  # `fsspec.registry` is a mapping too
    for scheme, package in (("s3", "s3fs"), ("gs", "gcsfs")):
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.delitem(registry._registry, scheme, raising=False)
        with pytest.raises(MissingDependencyError) as caught:
            remote.revision(f"{scheme}://bucket/a.tar")
        assert caught.value.fix == f"pip install 'loretta-framework[{scheme}]'"


# The same client against a server that fails.


@pytest.fixture
def faulty(web: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.base)
    return web


@pytest.mark.parametrize(
    "faults",
    [
        [("drop", 1000)],
        [("drop", 0), ("drop", 50_000)],
        [("status", 500), ("status", 503)],
        [("stall", 1000)],
    ],
)
def test_faults_that_pass(faults: list[Any], faulty: Any, make_shard: Any) -> None:
    data = make_shard(20)
    faulty.put("/bucket/a.tar", data, *faults)
    faulty.probe_faults["/bucket/a.tar"].append(("status", 503))
    assert remote.local_copy("s3://bucket/a.tar").read_bytes() == data


@pytest.mark.parametrize("fault", [("drop", 0), ("status", 500), ("stall", 0), "no-range"], ids=str)
def test_faults_that_stay_are_ours(
    fault: Any, faulty: Any, make_shard: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "PART_BYTES", 30_000)
    faulty.put("/bucket/a.tar", make_shard(20), *[fault] * 40)
    with pytest.raises(StorageError):
        remote.local_copy("s3://bucket/a.tar")
    assert not [path for path in cache.glob("*/*") if path.name != "lock"]


def test_refusals_and_dead_servers_are_ours(faulty: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty.put("/bucket/a.tar", b"x")
    faulty.always["/bucket/a.tar"] = ("status", 403)
    with pytest.raises(ShardError, match="access is refused"):
        remote.revision("s3://bucket/a.tar")
    forget()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(ShardError, match="access is refused") as caught:
        remote.revision("s3://bucket/a.tar")
    assert "AWS_PROFILE" in caught.value.fix
    forget()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    with pytest.raises(StorageError, match="cannot be reached"):
        remote.revision("s3://bucket/a.tar")
    with pytest.raises(StorageError, match="cannot be listed"):
        expand_shards("s3://bucket/*.tar", Path("/"))


def test_content_that_changes_under_way_is_fetched_anew(
    faulty: Any, make_shard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "PART_BYTES", 30_000)
    other = make_shard(20, seed=7)
    faulty.put("/bucket/a.tar", make_shard(20), ("swap", 30_000, other))
    assert remote.local_copy("s3://bucket/a.tar").read_bytes() == other
