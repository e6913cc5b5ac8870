"""Real malformed and unusual media: each through lint and through the loader's path, in a child
process with limits. The verdicts are golden; LORETTA_WRITE_GOLDEN=1 writes them anew.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import resource
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parent / "golden" / "odd_media.json"
DATA = os.environ.get("LORETTA_TEST_DATA")
GIBIBYTE = 1 << 30
SECONDS = 60

needs_data = pytest.mark.skipif(DATA is None, reason="LORETTA_TEST_DATA is unset")


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    assert DATA is not None
    folder = tmp_path_factory.mktemp("odd")
    done = subprocess.run(
        [sys.executable, __file__, DATA, str(folder)],
        capture_output=True,
        text=True,
        timeout=10 * SECONDS,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@needs_data
def test_every_file_has_its_verdict_and_none_is_too_large(verdicts: dict[str, Any]) -> None:
    peak = verdicts.pop("peak_bytes")
    assert peak < GIBIBYTE
    if os.environ.get("LORETTA_WRITE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        aside = GOLDEN.with_suffix(".tmp")
        aside.write_text(json.dumps(verdicts, indent=1, sort_keys=True) + "\n")
        os.replace(aside, GOLDEN)
    golden = json.loads(GOLDEN.read_text())
    assert verdicts["lint"] == golden["lint"]
    for shard, members in golden["loader"].items():
        assert verdicts["loader"][shard] == members, shard
    assert verdicts["loader"].keys() == golden["loader"].keys()


def test_the_golden_file_lists_every_file() -> None:
    """Counted by hand from the data's own tables: 92 + 28 images, 22 + 67 sounds, one film."""
    golden = json.loads(GOLDEN.read_text())
    members = {shard: len(found) for shard, found in golden["loader"].items()}
    assert members == {
        "odd_media/audio_containers_mediafile.tar": 67,
        "odd_media/images_malformed_pillow.tar": 92,
        "odd_media/images_valid_unusual_pillow.tar": 28,
        "odd_media/sync_test.mp4": 1,
        "odd_media/wav_edge_cases_scipy.tar": 22,
        "wds_shards/compressed.tar": 3,
        "wds_shards/mpdata.tar": 100,
        "wds_shards/sample.tgz": 180,
        "wds_shards/tendata.tar": 100,
    }
    assert golden["lint"].keys() == golden["loader"].keys()
    counts = Counter(
        verdict
        for found in golden["loader"].values()
        for by_modality in found.values()
        for verdict in by_modality.values()
    )
    assert set(counts) <= {"read", "unreadable-media", "out-of-range", "not-finite"}
    assert counts["read"] > 100
    assert counts["unreadable-media"] > 200


# What follows runs in the child.


def _limit() -> None:
    """Address space bounds resident memory from above."""
    resource.setrlimit(resource.RLIMIT_AS, (GIBIBYTE, GIBIBYTE))
    resource.setrlimit(resource.RLIMIT_CPU, (5 * SECONDS, 5 * SECONDS))


def _sources(data: Path) -> Iterator[Path]:
    for name in ("odd_media", "wds_shards"):
        for path in sorted((data / name).iterdir()):
            if path.suffix in (".tar", ".tgz", ".mp4"):
                yield path


def _members(path: Path, folder: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix == ".mp4":
        yield path.name, path.read_bytes()
        return
    if path.suffix == ".tgz":
        plain = folder / f"{path.stem}.tar"
        with gzip.open(path) as packed:
            plain.write_bytes(packed.read(64 << 20))
        path = plain
    with tarfile.open(path, "r:") as archive:
        for info in archive:
            file = archive.extractfile(info) if info.isreg() else None
            if file is not None:
                yield info.name, file.read()


def _tokenizers() -> dict[str, Any]:
    from loretta_plugin_audio.mel_codes import MelCodes
    from loretta_plugin_audio.settings import MelCodesSettings
    from loretta_plugin_image.pixels import Pixels
    from loretta_plugin_image.settings import PixelsSettings

    from loretta_framework.builtin.settings import TextBytesSettings
    from loretta_framework.builtin.text_bytes import TextBytes

    return {
        "image": Pixels(PixelsSettings(height=16, width=16, channels=3)),
        "speech": MelCodes(MelCodesSettings()),
        "text": TextBytes(TextBytesSettings()),
    }


def _loaded(path: Path, folder: Path) -> dict[str, dict[str, str]]:
    """Member -> modality -> verdict. Each member is written as every kind of modality."""
    from loretta_framework.data.linting.decode_check import DecodeCheck
    from loretta_framework.recipe.plan import SetPlan
    from loretta_framework.sequence.vocabulary import Vocabulary
    from loretta_framework.shards.writing import ShardWriter

    tokenizers = _tokenizers()
    names = {}
    with ShardWriter(folder, re.sub(r"\W", "_", path.name)) as writer:
        for number, (name, data) in enumerate(_members(path, folder)):
            extension = re.sub(r"[^a-z0-9]", "", name.rpartition(".")[2].lower())[:8] or "bin"
            names[f"{number:04d}"] = name
            writer.write(f"{number:04d}", {f"{kind}.{extension}": data for kind in tokenizers})
    shards = tuple(str(shard.resolve()) for shard in writer.shards)
    plan = SetPlan("odd", "test", shards, tuple(tokenizers), 1.0, "keep", None, 0, (), None)
    bounds = {
        "image": tokenizers["image"]._settings.bounds(),
        "speech": tokenizers["speech"]._settings.bounds(),
        "text": tokenizers["text"]._settings.bounds(),
    }
    vocabulary = Vocabulary.build(bounds)
    check = DecodeCheck(((plan, None),), tokenizers, vocabulary, frozenset({"speech"}), {})
    answer = check.start()
    found = {}
    for row, name in enumerate(names.values()):
        faults = {modality: code for code, modality, _ in answer(row)}
        found[name] = {kind: faults.get(kind, "read") for kind in tokenizers}
    return found


def _main(data: Path, folder: Path) -> None:
    import warnings

    from loretta_framework.shards.linting.lint import lint_shards
    from loretta_framework.testing.damaged_media import peak_mb

    warnings.simplefilter("ignore")  # of Pillow, on damaged tags
    told: dict[str, Any] = {"lint": {}, "loader": {}}
    for path in _sources(data):
        name = f"{path.parent.name}/{path.name}"
        found = list(lint_shards([str(path)]))
        told["loader"][name] = _loaded(path, folder)
        if path.suffix == ".tgz":
            found += lint_shards([str(folder / f"{path.stem}.tar")])  # unpacked just now
        told["lint"][name] = [[f.severity, f.code, f.key, f.member] for f in found]
    told["peak_bytes"] = peak_mb() * 2**20
    print(json.dumps(told))


if __name__ == "__main__":
    _limit()
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
