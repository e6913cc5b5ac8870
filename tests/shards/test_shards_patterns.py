from __future__ import annotations

from pathlib import Path

import pytest

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.index import expand_shards


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    base = tmp_path / "has [brackets]"
    base.mkdir()
    for name in ("a-00.tar", "a-01.tar", "a-02.tar", "b.tar", "a-00.tar.index.json"):
        (base / name).write_bytes(b"x")
    return base


def names(found: tuple[Path, ...]) -> list[str]:
    assert all(path.is_absolute() for path in found)
    return [path.name for path in found]


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
    "pattern", ["pipe:cat x.tar", "s3://bucket/x.tar", "https://host/x.tar", "file:x.tar"]
)
def test_schemes_are_refused(pattern: str, folder: Path) -> None:
    with pytest.raises(ShardError, match="local path"):
        expand_shards(pattern, folder)


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
