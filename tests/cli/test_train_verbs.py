"""The verbs of a run as a user types them: what is printed, what is written, how mistakes end."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
import torch

from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.cli.main import main
from loretta_framework.testing.toy_worlds import (
    write_bijection_world,
    write_recipe,
    write_text_shard,
)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    write_bijection_world(tmp_path, count=40)
    recipe(tmp_path)
    return tmp_path


def recipe(world: Path, **sections: object) -> Path:
    return write_recipe(
        world / "small.yaml",
        lengths={"a": 4, "b": 4, "c": 4},
        train={"ab": ["a", "b"], "bc": ["b", "c"]},
        objectives=[
            {"kind": "causal", "share": 0.5},
            {"kind": "transitive", "share": 0.5, "settings": {"every": 2}},
        ],
        steps=4,
        batch_tokens=120,
        **{
            "backbone": {"kind": "transformer", "settings": {"width": 32, "depth": 1, "heads": 2}},
            **sections,
        },
    )


def failed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a command that ends with the user's mistake, and with no traceback."""
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err + captured.out
    return captured.err


def edited(world: Path, old: str, new: str) -> None:
    text = (world / "small.yaml").read_text()
    assert old in text
    (world / "small.yaml").write_text(text.replace(old, new, 1))


def test_train_evaluate_generate_score(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "small.yaml", "--set", "train.threads=1"]) == 0
    captured = capsys.readouterr()
    assert "4 steps done; the run is in" in captured.out
    assert "next: loretta evaluate" in captured.out
    assert "train.layout = packed" in captured.err
    assert sorted(p.name for p in (world / "runs" / "small").iterdir()) == [
        "checkpoints",
        "metrics.jsonl",
        "plan.json",
        "rates.json",
        "recipe.yaml",
        "run.lock",
    ]
    assert main(["evaluate", "runs/small", "--json"]) == 0
    evaluation = json.loads(capsys.readouterr().out)
    assert evaluation == json.loads((world / "runs/small/evaluation.json").read_text())
    edges = {(e["source"], e["target"]): e["observed"] for e in evaluation["edges"] if e["source"]}
    assert edges == {
        ("a", "b"): True, ("b", "a"): True, ("b", "c"): True, ("c", "b"): True,
        ("a", "c"): False, ("c", "a"): False,
    }  # fmt: skip
    arguments = [
        "generate",
        "runs/small",
        "--from",
        "a=abcd",
        "--to",
        "c",
        "--out",
        "made",
        "--num-samples",
        "3",
    ]
    assert main(arguments) == 0
    first = sorted((p.name, p.read_text()) for p in (world / "made").iterdir())
    assert len(first) == 3
    assert all(len(text) == 4 for _, text in first)
    capsys.readouterr()
    assert main(["score", "runs/small", "--from", "a=abcd", "--to", "c=abcd", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_tiny_runs_ten_steps_and_fit_says_that_nothing_learns(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "small.yaml", "--tiny"]) == 0
    assert "10 steps done" in capsys.readouterr().out
    assert (world / "runs/small-tiny/plan.json").exists()
    assert not (world / "runs/small").exists()
    assert (
        main(["train", "small.yaml", "--tiny", "--set", "train.steps=3", "--run-dir", "own"]) == 0
    )
    assert "3 steps done" in capsys.readouterr().out
    assert main(["fit", "small.yaml"]) == 0
    assert "no tokenizer of this recipe learns" in capsys.readouterr().out


def test_unknown_key(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited(world, '"batch_tokens"', '"batch_tokns"')
    said = failed(capsys, "train", "small.yaml")
    assert "train.batch_tokns" in said
    assert "did you mean 'batch_tokens'?" in said
    assert "small.yaml:" in said


def test_wrong_type(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = failed(capsys, "train", "small.yaml", "--set", "train.steps=many")
    assert "train.steps" in said
    assert "'many'" in said


def test_duplicate_key_names_both_lines(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (world / "small.yaml").read_text()
    line = next(n for n, t in enumerate(text.splitlines(), 1) if '"name": "small"' in t)
    edited(world, ' "name": "small",', ' "name": "small",\n "name": "again",')
    said = failed(capsys, "train", "small.yaml")
    assert "name" in said
    assert f"{line}" in said
    assert f"{line + 1}" in said


def test_unknown_component(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited(world, '"kind": "transformer"', '"kind": "transfomer"')
    assert "did you mean 'transformer'?" in failed(capsys, "train", "small.yaml")
    recipe(world, backbone={"kind": "diffusion.unet", "settings": {}})
    assert "pip install loretta-plugin-diffusion" in failed(capsys, "train", "small.yaml")


def test_a_plugin_that_fails_to_import_tells_its_own_cause(
    world: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from loretta_framework.testing.broken_plugins import write_plugin

    site = world / "site"
    site.mkdir()
    write_plugin(site, "sick", "import a_package_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(site))
    recipe(world, backbone={"kind": "sick.backbone", "settings": {}})
    said = failed(capsys, "train", "small.yaml")
    assert "a_package_that_is_not_there" in said
    assert "sick" in said


def test_missing_and_empty_shards(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (world / "ab-0.tar").unlink()
    assert "ab-0.tar" in failed(capsys, "train", "small.yaml")
    with tarfile.open(world / "ab-0.tar", "w"):
        pass
    said = failed(capsys, "train", "small.yaml")
    assert "ab-0.tar" in said
    assert "empty" in said or "no sample" in said


def test_samples_that_decode_to_nothing(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    samples = [{"a": "abc" if n % 2 else "abcd", "b": "abcd"} for n in range(40)]  # too short
    write_text_shard(world / "ab-0.tar", samples)
    said = failed(capsys, "train", "small.yaml", "--set", "train.threads=1")
    assert "ab-0.tar" in said or "'ab'" in said
    assert "at least 4 bytes" in said
    lines = (world / "runs/small/quarantine.jsonl").read_text().splitlines()
    assert {json.loads(line)["modality"] for line in lines} == {"a"}


def test_a_modality_that_is_never_present(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_text_shard(world / "bc-0.tar", [{"b": "abcd"} for _ in range(9)])
    said = failed(capsys, "train", "small.yaml")
    assert "'c'" in said
    assert "b.txt" in said or "b" in said


def test_a_disconnected_graph_names_its_components(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_text_shard(world / "bc-0.tar", [{"c": "abcd"} for _ in range(9)])
    said = failed(capsys, "train", "small.yaml")
    assert "{a, b}; {c}" in said
    assert "allow_disconnected" in said


def test_changes_under_resume(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "small.yaml", "--set", "train.threads=1"]) == 0
    capsys.readouterr()
    said = failed(
        capsys,
        "train",
        "small.yaml",
        "--resume",
        "--set",
        "train.seed=7",
        "--set",
        "train.threads=1",
    )
    assert "train.seed: must stay 0, but is 7" in said


def test_a_run_directory_in_use(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "small.yaml", "--set", "train.threads=1"]) == 0
    said = failed(capsys, "train", "small.yaml", "--set", "train.threads=1")
    assert "already holds a run" in said
    with RunDirectory.open(world / "runs/small").acquire():
        said = failed(capsys, "train", "small.yaml", "--resume", "--set", "train.threads=1")
    assert "in use" in said or "process" in said


def test_resuming_what_is_no_run(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = failed(capsys, "train", "small.yaml", "--resume", "--run-dir", "nowhere")
    assert "no such run directory" in said
