from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.api.errors import LorettaError, ShardError, StorageError
from loretta_framework.shards.remote import copies as remote

SIZE = 3_000


@pytest.fixture
def data(make_shard: Any) -> bytes:
    content: bytes = make_shard(20)
    return content


def tars(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/*.tar"))


def leftovers(cache: Path) -> list[Path]:
    """What a failed fetch must not leave."""
    return [path for path in cache.glob("*/*") if path.name != "lock"]


def test_a_shard_is_fetched_once_and_equals_its_source(web: Any, data: bytes, cache: Path) -> None:
    url = web.put("/a.tar", data)
    first = remote.local_copy(url)
    assert first.read_bytes() == data
    assert remote.local_copy(url) == first
    assert len(web.content_requests("/a.tar")) == 1
    assert tars(cache) == [first]


def test_the_revision_is_size_and_mark(web: Any, data: bytes) -> None:
    url = web.put("/a.tar", data)
    size, tag = remote.revision(url)
    assert (size, remote.revision(url)) == (len(data), (size, tag))
    web.put("/a.tar", data[:-1] + b"x")
    changed = remote.revision(url)
    assert changed[0] == size
    assert changed[1] != tag
    assert remote.revision(web.put("/empty.tar", b"")).size == 0


def test_many_revisions_come_in_order(web: Any) -> None:
    urls = [web.put(f"/{number}.tar", bytes(number + 1)) for number in range(40)]
    assert [found.size for found in remote.at_once(remote.revision, urls)] == list(range(1, 41))
    with pytest.raises(ShardError, match="no such file"):
        remote.at_once(remote.revision, [*urls, f"{web.base}/none.tar"])


def test_dropped_connections_are_resumed_where_they_stopped(web: Any, data: bytes) -> None:
    url = web.put("/a.tar", data, ("drop", 1000), ("drop", 2000), ("drop", 0), ("drop", 5000))
    assert remote.local_copy(url).read_bytes() == data
    assert web.content_requests("/a.tar") == [
        None,
        "bytes=1000-",
        "bytes=3000-",
        "bytes=3000-",
        "bytes=8000-",
    ]


def test_drops_at_every_place_give_the_same_bytes(web: Any, data: bytes) -> None:
    for place in (1, 511, 512, 513, len(data) // 2, len(data) - 1, len(data)):
        url = web.put(f"/{place}.tar", data, ("drop", place))
        assert remote.local_copy(url).read_bytes() == data


def test_a_server_that_ignores_ranges_sends_all_again(web: Any, data: bytes) -> None:
    url = web.put("/a.tar", data, ("drop", 1000), "no-range")
    assert remote.local_copy(url).read_bytes() == data
    assert web.content_requests("/a.tar") == [None, "bytes=1000-"]


def test_a_server_without_ranges_or_marks_is_read_from_the_start(web: Any, data: bytes) -> None:
    url = web.put("/a.tar", data, ("drop", 1000))
    web.probe_faults["/a.tar"].extend(["no-range"] * 2)
    assert remote.local_copy(url).read_bytes() == data
    bare = web.put("/b.tar", data)
    web.always["/b.tar"] = "no-tag"
    assert remote.revision(bare) == (len(data), "")
    assert remote.local_copy(bare).read_bytes() == data


def test_errors_that_pass_are_tried_again(web: Any, data: bytes) -> None:
    url = web.put("/a.tar", data, ("status", 500), ("status", 503), "ok")
    web.probe_faults["/a.tar"].extend([("status", 429), ("status", 502)])
    assert remote.local_copy(url).read_bytes() == data


def test_a_stall_counts_as_a_lost_connection(web: Any, data: bytes) -> None:
    url = web.put("/a.tar", data, ("stall", 4000))
    assert remote.local_copy(url).read_bytes() == data
    assert web.content_requests("/a.tar")[0] is None
    assert len(web.content_requests("/a.tar")) == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (("status", 500), "status 500"),
        (("drop", 0), "closed early"),
        (("stall", 0), "silent for 0.5 s"),
        (("range-at", 3), "byte 3 came"),
    ],
)
def test_a_fault_that_stays_ends_with_what_was_got(
    fault: Any, said: str, web: Any, data: bytes, cache: Path
) -> None:
    url = web.put("/a.tar", data, ("drop", 1000), *[fault] * 20)
    with pytest.raises(StorageError) as caught:
        remote.local_copy(url)
    assert caught.value.exit_code == 1
    assert f"after 1000 of {len(data)} bytes" in str(caught.value)
    assert url in str(caught.value)
    assert said in str(caught.value)
    assert "5 times in a row" in str(caught.value)
    assert len(web.content_requests("/a.tar")) == 5
    assert not leftovers(cache)


def test_a_body_shorter_than_announced_never_becomes_a_shard(
    web: Any, data: bytes, cache: Path
) -> None:
    """The server says more than it has, and always sends what it has."""
    url = web.put("/a.tar", data)
    web.always["/a.tar"] = ("length", 100)
    web.probe_faults["/a.tar"].extend(["no-length"] * 9)
    with pytest.raises(LorettaError):
        remote.local_copy(url)
    assert not leftovers(cache)


def test_more_than_announced_is_refused(web: Any, data: bytes, cache: Path) -> None:
    url = web.put("/a.tar", data, ("more", 700))
    with pytest.raises(StorageError, match=f"more than the {len(data)} bytes"):
        remote.local_copy(url)
    assert not leftovers(cache)


@pytest.mark.parametrize(
    ("status", "said"),
    [(404, "no such file"), (410, "no such file"), (403, "access is refused"), (401, "refused")],
)
def test_what_is_not_there_or_not_allowed_is_not_tried_again(
    status: int, said: str, web: Any, data: bytes
) -> None:
    url = web.put("/a.tar", data)
    web.always["/a.tar"] = ("status", status)
    with pytest.raises(ShardError, match=said) as caught:
        remote.revision(url)
    assert caught.value.exit_code == 2
    assert len(web.log) == 1


def test_other_refusals_and_a_dead_host_are_said(web: Any, data: bytes) -> None:
    url = web.put("/a.tar", data)
    web.always["/a.tar"] = ("status", 418)
    with pytest.raises(ShardError, match="status 418"):
        remote.revision(url)
    with pytest.raises(StorageError, match="cannot be reached after 5 tries"):
        remote.revision("http://127.0.0.1:9/a.tar")
    with pytest.raises(ShardError, match="cannot be used"):
        remote.revision("http://127.0.0.1:port/a.tar")


def test_a_server_must_give_the_size_and_send_plain_bytes(web: Any, data: bytes) -> None:
    url = web.put("/a.tar", data)
    web.probe_faults["/a.tar"].extend(["bare-206", "gzip"])
    with pytest.raises(ShardError, match="without saying how large"):
        remote.revision(url)
    with pytest.raises(ShardError, match="compresses"):
        remote.revision(url)


def test_no_size_at_all_is_refused(web: Any, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    url = web.put("/a.tar", data)
    handler = web.server.RequestHandlerClass
    monkeypatch.setattr(
        handler,
        "do_GET",
        lambda self: (self.send_response(200), self.end_headers(), self.wfile.write(data)),
    )
    with pytest.raises(ShardError, match="does not say how large"):
        remote.revision(url)


@pytest.mark.parametrize("digits", [19, 400, 5000])
def test_a_size_of_too_many_digits_is_refused(
    digits: int, web: Any, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = web.put("/a.tar", data)
    number = "9" * digits
    for status, header, value, said in (
        (200, "Content-Length", number, f"length of {digits} digits"),
        (206, "Content-Range", f"bytes 0-0/{number}", "no usable size"),
        (206, "Content-Range", f"bytes {number}-{number}/5", "no usable size"),
    ):

        def answer(self: Any, status: int = status, name: str = header, text: str = value) -> None:
            self.send_response(status)
            self.send_header(name, text)
            self.end_headers()

        monkeypatch.setattr(web.server.RequestHandlerClass, "do_GET", answer)
        with pytest.raises(ShardError, match=said):
            remote.local_copy(url)


@pytest.mark.parametrize(
    "place", ["http://[::bad/", "http://127.0.0.1:99999999999999999999/", "http://a..b/"]
)
def test_a_redirect_to_what_is_no_url_is_refused(place: str, web: Any, data: bytes) -> None:
    url = web.put("/a.tar", data)
    web.always["/a.tar"] = ("redirect", place)
    with pytest.raises(ShardError, match="cannot be used") as caught:
        remote.local_copy(url)
    assert caught.value.where == url


def test_redirects_are_followed_to_web_servers_only(web: Any, data: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "secret.tar"
    secret.write_bytes(data)
    target = web.put("/b.tar", data)
    url = web.put("/a.tar", data)
    web.always["/a.tar"] = ("redirect", target)
    assert remote.local_copy(url).read_bytes() == data
    for place in (secret.as_uri(), "ftp://127.0.0.1/x.tar", url):
        web.always["/a.tar"] = ("redirect", place)
        with pytest.raises(ShardError, match="no web server"):
            remote.revision(url)


def test_content_that_changes_under_way_is_fetched_anew(
    web: Any, data: bytes, make_shard: Any, cache: Path
) -> None:
    other = make_shard(20, seed=7)
    assert len(other) == len(data)
    url = web.put("/a.tar", data, ("swap", 9000, other))
    copy = remote.local_copy(url)
    assert copy.read_bytes() == other
    assert tars(cache) == [copy]


def test_content_that_changes_at_the_end_is_fetched_anew(
    web: Any, data: bytes, make_shard: Any
) -> None:
    longer = make_shard(25)
    url = web.put("/a.tar", data, ("after", longer))
    assert remote.local_copy(url).read_bytes() == longer


def test_content_that_never_rests_is_an_error(
    web: Any, data: bytes, make_shard: Any, cache: Path
) -> None:
    changes = [("after", make_shard(20, seed=seed)) for seed in range(1, 6)]
    url = web.put("/a.tar", data, *changes)
    with pytest.raises(StorageError, match="changed 3 times"):
        remote.local_copy(url)
    assert not leftovers(cache)


def test_a_new_revision_replaces_the_old(
    web: Any, data: bytes, make_shard: Any, cache: Path
) -> None:
    url = web.put("/a.tar", data)
    remote.local_copy(url)
    other = make_shard(20, seed=7)
    web.put("/a.tar", other)
    copy = remote.local_copy(url)
    assert copy.read_bytes() == other
    assert tars(cache) == [copy]


def test_a_pinned_revision_is_never_replaced_by_another(
    web: Any, data: bytes, make_shard: Any
) -> None:
    url = web.put("/a.tar", data)
    pinned = remote.revision(url)
    web.put("/a.tar", make_shard(20, seed=7))
    with pytest.raises(ShardError, match="two versions are not mixed"):
        remote.local_copy(url, pinned)


def test_a_pinned_copy_needs_no_network(web: Any, data: bytes) -> None:
    url = web.put("/a.tar", data)
    pinned = remote.revision(url)
    remote.local_copy(url, pinned)
    requests = len(web.log)
    descriptor = remote.open_shard(url, pinned)
    assert os.pread(descriptor, 100, 0) == data[:100]
    os.close(descriptor)
    assert len(web.log) == requests


def test_queries_are_sent_but_never_shown(web: Any, data: bytes, cache: Path) -> None:
    url = web.put("/a.tar", data) + "?signature=SECRET"
    assert remote.local_copy(url).read_bytes() == data
    web.always["/a.tar"] = ("status", 403)
    with pytest.raises(ShardError) as caught:
        remote.local_copy(url)
    assert "SECRET" not in str(caught.value)
    assert "/a.tar?..." in str(caught.value)
    assert not any("SECRET" in str(path) for path in cache.rglob("*"))


def test_the_index_beside_a_shard_is_found_checked_and_kept(web: Any, data: bytes) -> None:
    url = web.put("/a.tar", data)
    found = remote.revision(url)
    assert remote.fetch_index(url, found) is None
    web.put("/a.tar.index.safetensors", b"index", ("drop", 2))
    place = remote.fetch_index(url + "?x=1", found)
    assert place is not None
    assert place.read_bytes() == b"index"
    assert place == remote.index_location(url + "?x=1", found)
    assert not web.content_requests("/a.tar")


def test_a_web_server_takes_no_index(tmp_path: Path) -> None:
    index = tmp_path / "index"
    index.write_bytes(b"index")
    sentence = remote.publish_index("https://host/a.tar?key=SECRET", index)
    assert "a web server takes no files" in sentence
    assert "https://host/a.tar.index.safetensors?..." in sentence
    assert "SECRET" not in sentence
