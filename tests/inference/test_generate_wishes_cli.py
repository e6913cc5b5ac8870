"""The finer options of `loretta generate`."""

from __future__ import annotations

from pathlib import Path

import pytest

from loretta_framework.cli import generate as module
from loretta_framework.cli.main import main
from loretta_framework.inference import LoadedModel

ASKED = ("--from", "english=two cat", "--to", "roman")


@pytest.fixture(autouse=True)
def _loaded_once(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loretta_framework.inference.load", lambda *_, **__: loaded)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["generate", "run", *[str(argument) for argument in arguments]])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_all_options_reach_the_model(
    loaded: LoadedModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(
        capsys, *ASKED, "--out", tmp_path / "a.txt", "--via", "figures", "--keep-ancestors",
        "--top-p", 0.9, "--min-p", 0.01, "--top-k", 50, "--guidance", 1.5, "--best-of", 3,
        "--temperature", "roman=0.7", "--temperature", "figures=0.5", "--seed", 4,
    )  # fmt: skip
    assert (code, err) == (0, "")
    expected = loaded.generate(
        {"english": "two cat"}, "roman", 1, {"roman": 0.7, "figures": 0.5}, 50, 4, top_p=0.9,
        min_p=0.01, guidance=1.5, via=["figures"], keep_ancestors=True, best_of=3,
    )  # fmt: skip
    assert (tmp_path / "a.txt").read_bytes().decode() == expected[0]
    code, _, err = run(capsys, *ASKED, "--out", tmp_path / "b.txt", "--guidance", "english=2")
    expected = loaded.generate({"english": "two cat"}, "roman", guidance={"english": 2.0})
    assert (tmp_path / "b.txt").read_bytes().decode() == expected[0]


def test_a_stream_prints_the_text_piece_by_piece(
    loaded: LoadedModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[str] = []
    echo = module.click.echo

    def watch(message: str = "", **how: object) -> None:
        pieces.append(message)
        echo(message, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(module.click, "echo", watch)
    code, printed, _ = run(capsys, *ASKED, "--stream", "--seed", 5)
    expected = loaded.generate({"english": "two cat"}, "roman", seed=5)[0]
    assert (code, printed) == (0, f"{expected}\n")
    assert "".join(pieces) == expected
    assert len(pieces) > 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "there must be a place for what is generated"),
        (("--stream", "--out", "x"), "--stream prints the text and writes no file"),
        (("--stream", "--num-samples", "2"), "--stream prints one sample as it is made"),
        (("--stream", "--best-of", "2"), "--stream prints one sample as it is made"),
        (
            ("--out", "x", "--temperature", "hot"),
            "--temperature must be a number or MODALITY=NUMBER",
        ),
        (("--out", "x", "--temperature", "=1"), "must be a number or MODALITY=NUMBER, but is '=1'"),
        (
            ("--out", "x", "--temperature", "1", "--temperature", "2"),
            "must be one number, or one per",
        ),
        (
            ("--out", "x", "--guidance", "1", "--guidance", "english=2"),
            "must be one number, or one",
        ),
        (("--out", "x", "--temperature", "-1"), "temperature must be finite and 0 or more"),
        (("--out", "x", "--temperature", "english=1"), "must be of a modality that is generated"),
        (("--out", "x", "--top-p", "0"), "top-p"),
        (("--out", "x", "--min-p", "2"), "min-p"),
        (("--out", "x", "--best-of", "0"), "best-of"),
        (("--out", "x", "--via", "figurs"), "did you mean 'figures'"),
        (("--out", "x", "--guidance", "figures=2"), "guidance must name sources, but 'figures'"),
    ],
)
def test_mistakes_exit_2(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed, err = run(capsys, *ASKED, *arguments)
    assert (code, printed) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


def test_only_texts_are_streamed(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = LoadedModel(
        loaded.plan, loaded.model, loaded.tokenizers, {**loaded.extensions, "roman": ("png",)}
    )
    monkeypatch.setattr("loretta_framework.inference.load", lambda *_, **__: pictures)
    code, printed, err = run(capsys, *ASKED, "--stream")
    assert (code, printed) == (2, "")
    assert "--stream prints texts, but 'roman' is none" in err
    assert "generate english or figures" in err
