from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from loretta_framework.api.errors import DamagedSampleError, InputError, ShardError
from loretta_framework.cli.data import data
from loretta_framework.shards.index import open_index
from loretta_framework.shards.linting.lint import lint_shard

Tar = Callable[..., Path]
SPEECH = Path(__file__).parents[2] / "data" / "svl-digits-speech"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(data, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_index_counts_combinations(tar: Tar) -> None:
    path = tar(
        [
            ("a.image.png", b"x"),
            ("a.text.txt", b"x"),
            ("a.meta.json", b"{}"),
            ("b.text.txt", b"x"),
            ("c.text.txt", b"x"),
        ]
    )
    lines = [line.split() for line in run("index", str(path.parent)).splitlines()]
    assert lines[:3] == [
        ["1", "shards,", "3", "samples"],
        ["2", "text"],
        ["1", "image", "+", "text"],
    ]
    assert path.with_name("x.tar.index.safetensors").exists()
    assert run("index", str(path)) == run("index", str(path.parent / "*.tar"))


def test_index_tells_what_was_read_anew(tar: Tar) -> None:
    paths = [tar([(f"{n}.text.txt", b"x")], f"{n}.tar") for n in range(3)]
    assert "1 shards read anew, 0 fresh" in run("index", str(paths[0]))
    output = run("index", str(paths[0].parent), "--jobs", "2")
    assert "3 shards, 3 samples" in output
    assert f"{3 * paths[0].stat().st_size} bytes; 2 shards read anew, 1 fresh" in output
    assert "indexed 2.tar" in output
    assert "0 shards read anew, 3 fresh" in run("index", str(paths[0].parent))


def test_index_of_nothing_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(ShardError) as caught:
        run("index", str(tmp_path))
    assert caught.value.exit_code == 2


def damage(path: Path) -> None:
    """Change a byte of the first member, and nothing that an index is compared by."""
    status, data = path.stat(), bytearray(path.read_bytes())
    data[512] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_the_command_that_damage_names_mends_it(tar: Tar) -> None:
    path = tar([("a.text.txt", b"hello"), ("b.text.txt", b"you")], "of two.tar")
    run("index", str(path))
    damage(path)
    assert "1 fresh" in run("index", str(path))
    with pytest.raises(DamagedSampleError) as caught:
        open_index([path]).read(0, 0)
    (finding,) = lint_shard(path)
    command = f"loretta data index --anew '{path}'"
    for fix in (caught.value.fix, finding.fix):
        assert fix.endswith(f": {command}")
    assert "1 shards read anew, 0 fresh" in run(*shlex.split(command)[2:])
    assert list(lint_shard(path)) == []
    assert open_index([path]).read(0, 0) == b"iello"
    assert "0 shards read anew, 1 fresh" in run("index", str(path))


def test_indexing_anew_works_in_processes_too(tar: Tar) -> None:
    paths = [tar([(f"{n}.text.txt", b"x")], f"{n}.tar") for n in range(2)]
    run("index", str(paths[0].parent))
    assert "2 shards read anew" in run("index", "--anew", "--jobs", "2", str(paths[0].parent))


def test_an_index_that_cannot_be_written_is_said(tar: Tar) -> None:
    path = tar([("a.text.txt", b"x")])
    path.with_name("x.tar.index.safetensors").mkdir()
    result = CliRunner().invoke(data, ["index", str(path)], catch_exceptions=False)
    assert result.exit_code == 0
    assert f"warning: {path}: its index cannot be written beside it" in result.stderr
    assert "warning" not in result.stdout
    assert "1 shards, 1 samples" in result.stdout


@pytest.mark.parametrize("verb", ["index", "preview"])
@pytest.mark.parametrize("name", ["y.tar.gz", "y.tgz"])
def test_a_compressed_shard_in_a_folder_is_not_passed_over(verb: str, name: str, tar: Tar) -> None:
    folder = tar([("a.text.txt", b"x")]).parent
    (folder / name).write_bytes(b"x")
    with pytest.raises(ShardError, match="uncompressed") as caught:
        run(verb, str(folder))
    assert f"gzip -dc {folder / name} > {folder / 'y.tar'}" in caught.value.fix


def test_lint_checks_what_lies_beside_a_compressed_shard(tar: Tar) -> None:
    folder = tar([("a.text.txt", b"")]).parent
    (folder / "y.tgz").write_bytes(b"x")
    result = CliRunner().invoke(data, ["lint", str(folder)], standalone_mode=False)
    assert "compressed-shard" in result.output
    assert "empty-member" in result.output


def test_a_folder_named_with_braces_is_a_folder(tmp_path: Path, tar: Tar) -> None:
    (tmp_path / "d{1}").mkdir()
    tar([("a.text.txt", b"x")], "d{1}/x.tar")
    for verb in ("index", "lint", "preview"):
        run(verb, str(tmp_path / "d{1}"))
        run(verb, str(tmp_path / "d{1}" / "x.tar"))


def test_two_names_of_one_shard_are_two_shards(tmp_path: Path, tar: Tar) -> None:
    path = tar([("a.text.txt", b"x")])
    for name in ("s-0.tar", "s-1.tar"):
        (tmp_path / name).symlink_to(path)
    assert "2 shards, 2 samples" in run("index", str(tmp_path / "s-*.tar"))
    assert {file.name for file in tmp_path.glob("*.index.safetensors")} == {
        "s-0.tar.index.safetensors",
        "s-1.tar.index.safetensors",
    }
    result = CliRunner().invoke(data, ["lint", str(tmp_path / "s-*.tar")], standalone_mode=False)
    assert "duplicate-key" in result.output


def test_prepare_writes_and_reports(tmp_path: Path) -> None:
    output = run("prepare", "svl-digits", "--source", str(SPEECH), "--out", str(tmp_path))
    assert "1000  captions" in output
    assert "297  triples" in output
    assert (tmp_path / "triples-000000.tar").exists()


def test_prepare_of_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="svl-digits"):
        run("prepare", "imagenet", "--out", str(tmp_path))
