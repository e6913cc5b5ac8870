from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from loretta_framework.api.errors import InputError, ShardError
from loretta_framework.cli.data import data

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


def test_prepare_writes_and_reports(tmp_path: Path) -> None:
    output = run("prepare", "svl-digits", "--source", str(SPEECH), "--out", str(tmp_path))
    assert "1000  captions" in output
    assert "297  triples" in output
    assert (tmp_path / "triples-000000.tar").exists()


def test_prepare_of_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="svl-digits"):
        run("prepare", "imagenet", "--out", str(tmp_path))
