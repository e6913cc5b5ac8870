from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.index import expand_paths, expand_shards
from loretta_framework.shards.remote.locations import checked_url, is_url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = tmp_path / "has [brackets]"
    base.mkdir()
    for name in ("a-00.tar", "a-01.tar", "a-02.tar", "b.tar", "a-00.tar.index.safetensors"):
        (base / name).write_bytes(b"x")
    (base / "a-00.tar.index.json").write_bytes(b"of an earlier version")
    return base


def names(found: tuple[str, ...]) -> list[str]:
    assert all(Path(path).is_absolute() for path in found)
    return [Path(path).name for path in found]


def test_stars_ranges_and_choices_expand_sorted_and_once(folder: Path) -> None:
    assert names(expand_shards("a-*.tar", folder)) == ["a-00.tar", "a-01.tar", "a-02.tar"]
    assert names(expand_shards("a-{00..02}.tar", folder)) == ["a-00.tar", "a-01.tar", "a-02.tar"]
    assert names(expand_shards("{b,a-01}.tar", folder)) == ["a-01.tar", "b.tar"]
    assert names(expand_shards(["b.tar", "*.tar"], folder))[-1] == "b.tar"
    assert len(expand_shards(["b.tar", "*.tar"], folder)) == 4
    assert names(expand_shards(str(folder / "b.tar"), Path("/"))) == ["b.tar"]
    assert names(expand_shards(str(folder / "b*.tar"), Path("/"))) == ["b.tar"]


def test_the_index_beside_a_shard_is_no_shard(folder: Path) -> None:
    assert names(expand_shards("a-00*", folder)) == ["a-00.tar"]


@pytest.mark.parametrize("pattern", ["c-*.tar", "a-{00..03}.tar", "c.tar"])
def test_a_pattern_that_matches_nothing_names_itself_and_the_folder(
    pattern: str, folder: Path
) -> None:
    with pytest.raises(ShardError) as caught:
        expand_shards(pattern, folder)
    assert pattern in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    [
        "pipe:cat x.tar",
        "PIPE:cat x.tar",
        "file:x.tar",
        "file:///etc/x.tar",
        "ftp://host/x.tar",
        "ssh://host/x.tar",
        "sftp://host/x.tar",
        "data:application/x-tar;base64,AAAA",
        "hf://datasets/x.tar",
        "gopher://host/x.tar",
        "simplecache::s3://bucket/x.tar",
        "filecache::https://host/x.tar",
        "zip://x.tar::https://host/x.zip",
        "s3://bucket/x.tar::https://host/x.tar",
        "s3:bucket/x.tar",
        "https:/host/x.tar",
    ],
)
def test_other_schemes_chains_and_commands_are_refused(pattern: str, folder: Path) -> None:
    with pytest.raises(ShardError) as caught:
        expand_shards(pattern, folder)
    assert "local path or at an http://, https://, s3:// or gs:// URL" in caught.value.fix


@pytest.mark.parametrize("url", ["http://[::1/x.tar", "https://h:99999/x.tar", "http://h:x/x.tar"])
def test_hosts_that_no_request_can_name_are_refused(url: str, folder: Path) -> None:
    with pytest.raises(ShardError, match="cannot be used") as caught:
        expand_shards(url, folder)
    assert url in caught.value.what


def test_a_link_is_a_shard_of_its_own_name(folder: Path) -> None:
    links = [folder / "one.tar", folder / "two.tar"]
    for link in links:
        link.symlink_to(folder / "b.tar")
    assert expand_shards(["one.tar", "two.tar"], folder) == tuple(map(str, links))
    assert expand_paths([str(folder)], folder)[-2:] == tuple(map(str, links))
    assert names(expand_shards(["./b.tar", f"../{folder.name}/b.tar"], folder)) == ["b.tar"]


def test_dots_behind_a_link_lead_where_the_system_says(folder: Path) -> None:
    far = folder / "far" / "away"
    far.mkdir(parents=True)
    (folder / "far" / "b.tar").write_bytes(b"y")
    (folder / "near").symlink_to(far)
    assert expand_shards("near/../b.tar", folder) == (str(folder / "far" / "b.tar"),)


def test_what_exists_is_taken_by_its_name(folder: Path) -> None:
    for name in ("d{1}", "e{0..1}"):
        (folder / name).mkdir()
        (folder / name / "x{y}.tar").write_bytes(b"x")
        for paths in ([name], [f"{name}/"], [f"{name}/x{{y}}.tar"]):
            assert expand_paths(paths, folder) == (str(folder / name / "x{y}.tar"),)
    assert expand_shards("d{1}/x{y}.tar", folder) == (str(folder / "d{1}" / "x{y}.tar"),)
    names_of_many = "{" + ",".join(f"a-{n:02d}" for n in range(100)) + "}.tar"
    with pytest.raises(ShardError, match="is missing"):
        expand_paths([names_of_many], folder)  # longer than a file's name may be


@pytest.mark.parametrize("pattern", ["https://", "https://host", "https://host/", "s3://bucket"])
def test_a_url_must_name_a_file(pattern: str, folder: Path) -> None:
    with pytest.raises(ShardError, match="names no file"):
        expand_shards(pattern, folder)


def test_urls_expand_as_paths_do(folder: Path) -> None:
    assert expand_shards("https://host/a-{08..10}.tar", folder) == (
        "https://host/a-08.tar",
        "https://host/a-09.tar",
        "https://host/a-10.tar",
    )
    assert expand_shards("s3://bucket/{b,a}/x.tar", folder) == (
        "s3://bucket/a/x.tar",
        "s3://bucket/b/x.tar",
    )
    mixed = expand_shards(["https://host/x.tar", "b.tar", "HTTPS://host/x.tar"], folder)
    assert mixed == (str(folder / "b.tar"), "https://host/x.tar")


def test_one_name_for_one_url(folder: Path) -> None:
    assert expand_shards(["gs://b/x.tar", "gcs://b/x.tar"], folder) == ("gs://b/x.tar",)
    assert expand_shards("http://[::1]:80/ü x.tar#part", folder) == (
        "http://[::1]:80/%C3%BC%20x.tar",
    )
    assert expand_shards("s3://b/x?y=1&[z] #.tar", folder) == ("s3://b/x?y=1&[z] #.tar",)


def test_a_presigned_url_keeps_its_query_and_shows_none(folder: Path) -> None:
    url = "https://host/x.tar?X-Amz-Signature=SECRET%2F*"
    assert expand_shards(url, folder) == (url,)
    for pattern in (
        "https://host/x.zip?key=SECRET",
        "https://host/x*.tar?key=SECRET",
        "https://host/{0..}.tar?key=SECRET",
        "https://host/{0..999999}.tar?key=SECRET",
        "https://host?key=SECRET",
        "https://host/x\n.tar?key=SECRET",
    ):
        with pytest.raises(ShardError) as caught:
            expand_shards(pattern, folder)
        assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("start", ["https", "s3", "gs", "ftp"])
def test_credentials_in_a_url_are_refused_and_not_shown(start: str, folder: Path) -> None:
    with pytest.raises(ShardError) as caught:
        expand_shards(f"{start}://user:PASSWORD@host/x.tar", folder)
    assert "PASSWORD" not in str(caught.value)
    assert f"{start}://host/x.tar" in str(caught.value)


def test_stars_need_a_listing(folder: Path) -> None:
    with pytest.raises(ShardError, match="web server has no listing") as caught:
        expand_shards("https://host/a-*.tar", folder)
    assert "braces" in caught.value.fix


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz"])
def test_a_compressed_tar_at_a_url_is_refused_with_the_command(name: str, folder: Path) -> None:
    for start in ("https://host/d/", "s3://bucket/d/"):
        with pytest.raises(ShardError, match="uncompressed") as caught:
            expand_shards(f"{start}{name}", folder)
        assert caught.value.where == f"{start}{name}"
        assert caught.value.fix.endswith(f"gzip -dc {name} > x.tar")
    with pytest.raises(ShardError, match=r"end in \.tar"):
        expand_shards("https://host/x.zip?name=x.tar", folder)


@given(st.text(max_size=40))
def test_any_text_is_a_path_a_url_or_refused(text: str) -> None:
    for start in ("", "http://", "s3://", "s3://b/"):
        try:
            remote = is_url(start + text)
        except ShardError:
            continue
        assert remote == bool(start) or (start + text).startswith(("http", "s3:", "gs:", "gcs:"))
        assert not remote or checked_url(checked_url(start + text)) == checked_url(start + text)


@pytest.mark.parametrize("pattern", ["{0..1000000000}.tar", "{0..999}{0..999}{0..999}.tar"])
def test_expansion_is_bounded(pattern: str, folder: Path) -> None:
    with pytest.raises(ShardError, match="at most 100000"):
        expand_shards(pattern, folder)


@pytest.mark.parametrize("pattern", ["{9..0}.tar", "{a..c}.tar", "{}.tar", "{x}.tar"])
def test_malformed_braces_are_refused(pattern: str, folder: Path) -> None:
    with pytest.raises(ShardError, match="braces must be"):
        expand_shards(pattern, folder)


@pytest.mark.parametrize(
    ("name", "command"),
    [("z.tar.gz", "gzip -dc"), ("z.tgz", "gzip -dc"), ("z.tar.zst", "zstd -dc")],
)
def test_a_compressed_tar_is_refused_with_the_command(
    name: str, command: str, folder: Path
) -> None:
    (folder / name).write_bytes(b"x")
    with pytest.raises(ShardError) as caught:
        expand_shards(name, folder)
    assert command in caught.value.fix
    assert caught.value.fix.endswith("z.tar")


def test_other_files_are_refused(folder: Path) -> None:
    (folder / "notes.md").write_bytes(b"x")
    with pytest.raises(ShardError, match=r"end in \.tar"):
        expand_shards("*", folder)
