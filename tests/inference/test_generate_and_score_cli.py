"""`loretta generate` and `loretta score` through the command's own door."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loretta_framework.cli.main import main
from loretta_framework.inference import LoadedModel


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_generate_writes_files_into_a_folder_and_prints_them(
    small_run: Path, loaded: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "folder"
    code, printed, _ = run(
        capsys, "generate", small_run, "--from", "english=two cat", "--to", "roman",
        "--out", out, "--num-samples", 3, "--temperature", 0.5, "--top-k", 20, "--seed", 5,
    )  # fmt: skip
    assert code == 0
    paths = [Path(line) for line in printed.splitlines()]
    assert paths == [out / f"roman-{i:03d}.txt" for i in range(3)]
    expected = loaded.generate({"english": "two cat"}, "roman", 3, 0.5, 20, 5)
    assert [path.read_bytes().decode() for path in paths] == expected


def test_one_sample_goes_to_a_file_and_replaces_what_was_there(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "answer.txt"
    out.write_text("old")
    code, printed, _ = run(capsys, "generate", small_run, "--to", "roman", "--out", out)
    assert (code, printed) == (0, f"{out}\n")
    assert out.read_bytes() != b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["answer.txt"]


def test_an_existing_folder_with_a_dot_is_a_folder(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out.d").mkdir()
    arguments = ("generate", small_run, "--to", "roman", "--out")
    assert run(capsys, *arguments, tmp_path / "out.d")[0] == 0
    assert run(capsys, *arguments, tmp_path / "v1.5")[0] == 0
    assert run(capsys, *arguments, f"{tmp_path}/other.x/")[0] == 0
    for folder in ("out.d", "v1.5", "other.x"):
        assert (tmp_path / folder / "roman-000.txt").is_file()


def test_sources_keep_their_order_and_at_reads_a_file(
    small_run: Path, loaded: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "two.txt").write_text("two cat")
    code, printed, _ = run(
        capsys, "score", small_run, "--from", "figures=2 = 2",
        "--from", f"english=@{tmp_path / 'two.txt'}", "--to", "roman=ii",
    )  # fmt: skip
    assert code == 0
    expected = loaded.score([("figures", "2 = 2"), ("english", "two cat")], {"roman": "ii"})
    assert float(printed) == pytest.approx(expected, abs=1e-3)


def test_score_prints_json(
    small_run: Path, loaded: LoadedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    code, printed, _ = run(capsys, "score", small_run, "--to", "roman=iii", "--json")
    answer = json.loads(printed)
    assert code == 0
    assert answer["log_probability"] == pytest.approx(loaded.score({}, {"roman": "iii"}))
    assert (answer["tokens"], answer["unit"]) == (4, "nats")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "english", "--to", "roman", "--out", "x"], "must be MODALITY=VALUE"),
        (["--from", "inglish=a", "--to", "roman", "--out", "x"], "did you mean 'english'"),
        (["--from", "english=a", "--to", "romn", "--out", "x"], "did you mean 'roman'"),
        (["--from", "english=@none.txt", "--to", "roman", "--out", "x"], "none.txt: the file"),
        (["--to", "roman", "--out", "x.png"], "written as .txt, but --out is 'x.png'"),
        (["--to", "roman", "--out", "x.txt", "--num-samples", "2"], "must be a folder for 2"),
        (["--to", "roman"], "give --out FOLDER"),
        (["--to", "roman", "--out", "/dev/null/x"], "cannot be written"),
        (["--to", "roman", "--out", "x", "--device", "warp"], "device"),
    ],
)
def test_mistakes_exit_2_and_write_nothing(
    small_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed, err = run(capsys, "generate", small_run, *arguments)
    assert (code, printed) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_what_is_no_run_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "score", tmp_path, "--to", "roman=i")
    assert code == 2
    assert "this is no run" in err
