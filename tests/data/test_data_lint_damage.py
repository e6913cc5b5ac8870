"""`loretta data lint --recipe` where a shard was damaged behind its index's back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loretta_framework.cli.main import main
from loretta_framework.shards.writing import ShardWriter

RECIPE = """
schema_version: 1
name: damaged
modalities:
  text: {kind: text_bytes, settings: {max_tokens: 8}}
data:
  train:
    - {name: words, shards: "words-*.tar", modalities: [text]}
"""


def test_the_command_that_is_named_mends_the_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ShardWriter(tmp_path, "words") as writer:
        writer.write("a", {"text.txt": b"hello"})
        writer.write("b", {"text.txt": b"again"})
    recipe, shard = tmp_path / "r.yaml", tmp_path / "words-000000.tar"
    recipe.write_text(RECIPE)
    assert main(["data", "index", str(shard)]) == 0
    status, content = shard.stat(), shard.read_bytes()
    shard.write_bytes(content.replace(b"hello", b"hallo"))
    os.utime(shard, ns=(status.st_atime_ns, status.st_mtime_ns))
    capsys.readouterr()
    assert main(["data", "lint", "--recipe", str(recipe)]) == 2
    lines = capsys.readouterr().out.splitlines()
    for code in ("changed-since-index", "damaged-member"):
        (line,) = [line for line in lines if code in line]
        assert line.endswith(f": loretta data index --anew {shard}")
    assert main(["data", "index", "--anew", str(shard)]) == 0
    assert main(["data", "lint", "--recipe", str(recipe)]) == 0
