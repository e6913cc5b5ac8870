from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from click.testing import CliRunner
from pydantic import Field, model_validator

from loretta_framework.api.errors import InputError, ShardError
from loretta_framework.api.settings import Settings
from loretta_framework.cli.data import data
from loretta_framework.cli.main import main
from loretta_framework.shards.index import expand_shards, open_index
from loretta_framework.shards.prepare import PREPARERS, parse, prepare, preparer
from loretta_framework.shards.preparing.card import CardFacts, source_file, source_files
from loretta_framework.shards.preparing.options import option_help
from loretta_framework.shards.writing import ShardWriter


class Options(Settings):
    """Options of the data set that the tests make."""

    rows: int = Field(3, ge=1, description="Rows of the training set")
    kind: Literal["plain", "fancy"] = Field("plain", description="What is written.")
    names: tuple[str, ...] = Field((), description="Some names")
    numbers: tuple[int, ...] = Field((1, 2), description="Some numbers")
    speaker: str | None = Field(None, description="A speaker")
    extra: bool = Field(False, description="Whether there is an extra set")

    @model_validator(mode="after")
    def _together(self) -> Options:
        if self.kind == "fancy" and self.speaker is None:
            raise ValueError("fancy rows need a speaker")
        return self


Prepare = Callable[..., CardFacts]


def facts(purposes: dict[str, str], **more: Any) -> CardFacts:
    return CardFacts("Toy | set", "About it.", purposes, ("CC0 1.0: nobody's",), **more)


def write(source: Path | None, out: Path, seed: int, options: Options, say: Any) -> CardFacts:
    """Some rows lack a modality; `extra` adds a set."""
    say("working")
    with ShardWriter(out, "train", 2) as writer:
        for row in range(options.rows):
            members = {"text.txt": f"{seed} {row}".encode(), "meta.json": b"{}"}
            writer.write(f"{row}", members | ({"image.png": b"x"} if row else {}))
    purposes = {"train": "training"}
    if options.extra:
        with ShardWriter(out, "train-extra") as writer:
            writer.write("0", {"text.txt": b"more"})
        purposes["train-extra"] = "more"
    found = tuple([source_file(source / "a.csv", url="https://a.example")] if source else [])
    return facts(purposes, sources=found, citations=("A. Author",))


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Callable[[Prepare], None]:
    """`toy(function)` makes it the preparer of the data set "toy"."""
    module = types.ModuleType("loretta_framework.shards.preparers.toy")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(PREPARERS, "toy", ("toy", "A toy."))
    module.Options = Options  # type: ignore[attr-defined]

    def use(function: Prepare) -> None:
        module.prepare = function  # type: ignore[attr-defined]

    use(write)
    return use


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".index." not in path.name
    }


def test_what_was_made_is_counted_indexed_and_described(
    toy: Callable[[Prepare], None], tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(b"abc")
    out, said = tmp_path / "out", list[str]()
    report = prepare("toy", tmp_path, out, 7, parse("toy", ["rows=5"]), said.append)
    [found] = report.sets
    assert (found.name, found.samples, found.modalities) == ("train", 5, ("image", "text"))
    assert found.combinations == ((("image", "text"), 4), (("text",), 1))
    assert [shard.name for shard in found.shards] == [f"train-00000{n}.tar" for n in range(3)]
    for shard in found.shards:
        content = (out / shard.name).read_bytes()
        assert (shard.size, shard.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert list(out.glob(f"{shard.name}.index.*"))
    assert report.digest == open_index(expand_shards("*.tar", out)).digest
    assert "working" in said
    card = (out / "README.md").read_text("utf-8")
    for text in (
        "| train | image, text | 4 |",
        "|  | text | 1 |",
        "seed 7",
        "| `rows` | `5` |",
        "| `numbers` | `1,2` |",
        "| `speaker` | `null` |",
        "CC0 1.0: nobody's",
        f"| a.csv | 3 | `{hashlib.sha256(b'abc').hexdigest()}` | https://a.example |",
        "A. Author",
        f"`{found.shards[2].sha256}`",
        f"`{report.digest}`",
    ):
        assert text in card
    assert str(tmp_path) not in card
    manifest = json.loads((out / "prepared.json").read_text("utf-8"))
    assert (manifest["name"], manifest["seed"]) == ("toy", 7)
    assert manifest["options"]["rows"] == 5
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_the_same_input_gives_the_same_bytes_in_any_folder(
    toy: Callable[[Prepare], None], tmp_path: Path
) -> None:
    made = []
    for name in ("one", "two"):
        prepare("toy", None, tmp_path / name, 1)
        made.append(files(tmp_path / name))
    assert made[0] == made[1]
    prepare("toy", None, tmp_path / "two", 2)
    assert files(tmp_path / "two") != made[0]


def test_a_second_preparation_replaces_the_first_and_nothing_else(
    toy: Callable[[Prepare], None], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("kept")
    (tmp_path / "mine-000000.tar").write_text("kept")
    options = parse("toy", ["rows=5", "extra=true"])
    assert [s.name for s in prepare("toy", None, tmp_path, 0, options).sets] == [
        "train",
        "train-extra",
    ]
    told: list[str] = []
    prepare("toy", None, tmp_path, 0, say=told.append)
    assert "replacing what was prepared there before: train, train-extra" in told
    tars = sorted(path.name for path in tmp_path.glob("*.tar"))
    assert tars == ["mine-000000.tar", "train-000000.tar", "train-000001.tar"]
    assert len(list(tmp_path.glob("*.index.*"))) == 2
    assert (tmp_path / "mine.txt").read_text() == "kept"


def test_shards_of_nobodys_preparation_are_neither_lost_nor_mixed_in(
    toy: Callable[[Prepare], None], tmp_path: Path
) -> None:
    (tmp_path / "train-000009.tar").write_text("mine")
    with pytest.raises(
        InputError, match=r"'train-000009\.tar' is there, which no preparation wrote"
    ):
        prepare("toy", None, tmp_path)
    assert files(tmp_path) == {"train-000009.tar": b"mine"}


def test_what_other_sources_gave_is_not_replaced(
    toy: Callable[[Prepare], None], tmp_path: Path
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    (source / "a.csv").write_text("abc")
    prepare("toy", source, out)
    manifest = json.loads((out / "prepared.json").read_text())
    manifest["sources"][0]["name"] = "other.csv"
    (out / "prepared.json").write_text(json.dumps(manifest))
    before = files(out)
    with pytest.raises(InputError, match=r"was prepared from other\.csv, not from a\.csv"):
        prepare("toy", source, out)
    assert files(out) == before


def test_a_preparation_that_was_cut_off_is_done_again(
    toy: Callable[[Prepare], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("loretta_framework.shards.preparing.finish._survey", cut)
        with pytest.raises(KeyboardInterrupt):
            prepare("toy", None, tmp_path)
    assert not (tmp_path / "README.md").exists()
    (tmp_path / ".making-dead").mkdir()
    (tmp_path / ".making-dead" / "train-000000.tar").write_text("half")
    report = prepare("toy", None, tmp_path)
    assert report.digest == prepare("toy", None, tmp_path / "anew").digest
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_one_preparation_at_a_time(toy: Callable[[Prepare], None], tmp_path: Path) -> None:
    def inside(source: Any, out: Path, *rest: Any) -> CardFacts:
        prepare("toy", None, tmp_path)
        raise AssertionError("the second one began")

    toy(inside)
    with pytest.raises(InputError, match="another process prepares a data set there"):
        prepare("toy", None, tmp_path)


def test_a_folder_that_cannot_be_made(toy: Callable[[Prepare], None], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="the output folder cannot be written"):
        prepare("toy", None, tmp_path / "file" / "below")


def test_a_failure_leaves_what_was_there(toy: Callable[[Prepare], None], tmp_path: Path) -> None:
    prepare("toy", None, tmp_path)
    before = files(tmp_path)

    def fails(source: Any, out: Path, *rest: Any) -> CardFacts:
        (out / "train-000000.tar").write_bytes(b"half")
        raise ShardError("the source is bad")

    toy(fails)
    with pytest.raises(ShardError, match="the source is bad"):
        prepare("toy", None, tmp_path)
    assert files(tmp_path) == before


def test_shards_that_do_not_pass_the_check_stop_it(
    toy: Callable[[Prepare], None], tmp_path: Path
) -> None:
    prepare("toy", None, tmp_path)
    before = files(tmp_path)

    def bad(source: Any, out: Path, *rest: Any) -> CardFacts:
        with tarfile.open(out / "train-000000.tar", "w") as archive:
            for number in range(8):
                archive.addfile(tarfile.TarInfo(f"{number}.text.pkl"))
        return facts({"train": "training"})

    toy(bad)
    with pytest.raises(ShardError, match="did not pass the check") as caught:
        prepare("toy", None, tmp_path)
    assert "train-000000.tar" in caught.value.what
    assert "and 3 more" in caught.value.what
    assert ".making-" not in caught.value.what
    assert files(tmp_path) == before


def test_doubts_of_the_check_are_warnings(toy: Callable[[Prepare], None], tmp_path: Path) -> None:
    def empty(source: Any, out: Path, *rest: Any) -> CardFacts:
        with ShardWriter(out, "train") as writer:
            writer.write("a", {"text.txt": b""})
        return facts({"train": "training"})

    toy(empty)
    assert any("empty" in text for text in prepare("toy", None, tmp_path).warnings)
    result = CliRunner().invoke(data, ["prepare", "toy", "--out", str(tmp_path)])
    assert "warning: " in result.output


@pytest.mark.parametrize(
    ("purposes", "message"),
    [
        ({}, "belongs to no set it announced"),
        ({"trains": "training"}, "belongs to no set it announced"),
        ({"train": "training", "test": "test"}, "no sample was made for: test"),
    ],
)
def test_sets_must_be_those_announced(
    purposes: dict[str, str], message: str, toy: Callable[[Prepare], None], tmp_path: Path
) -> None:
    def wrong(source: Any, out: Path, *rest: Any) -> CardFacts:
        write(source, out, 0, Options(), lambda line: None)
        return facts(purposes)

    toy(wrong)
    with pytest.raises(ShardError, match=message):
        prepare("toy", None, tmp_path)


def test_nothing_at_all_is_an_error(toy: Callable[[Prepare], None], tmp_path: Path) -> None:
    toy(lambda *rest: facts({}))
    with pytest.raises(ShardError, match="no sample was made"):
        prepare("toy", None, tmp_path)


def test_the_folder_must_be_ours(toy: Callable[[Prepare], None], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="must be a folder"):
        prepare("toy", None, tmp_path / "file")
    (tmp_path / "README.md").write_text("# My notes")
    with pytest.raises(InputError, match=r"README\.md that no preparation wrote"):
        prepare("toy", None, tmp_path)
    assert (tmp_path / "README.md").read_text() == "# My notes"
    prepare("toy", None, tmp_path / "out")
    (tmp_path / "out" / "prepared.json").write_text(
        json.dumps({"name": "other", "sets": [{"shards": [{"name": "x.tar"}]}]})
    )
    with pytest.raises(InputError, match="holds the data set 'other'"):
        prepare("toy", None, tmp_path / "out")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"name": 1, "sets": 3}'])
def test_a_damaged_manifest_is_written_again(
    text: str, toy: Callable[[Prepare], None], tmp_path: Path
) -> None:
    (tmp_path / "prepared.json").write_text(text)
    prepare("toy", None, tmp_path)
    assert json.loads((tmp_path / "prepared.json").read_text())["name"] == "toy"


def test_options_are_read_by_their_type(toy: Callable[[Prepare], None]) -> None:
    texts = ["rows=4", "kind=fancy", "names= a, b ,c", "numbers=7", "speaker=9", "extra=true"]
    assert parse("toy", texts) == Options(
        rows=4, kind="fancy", names=("a", "b", "c"), numbers=(7,), speaker="9", extra=True
    )
    assert parse("toy", ["speaker=null", "names="]) == Options()
    assert parse("toy", ["speaker=a=b"]).model_dump()["speaker"] == "a=b"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["rows"], "must be 'key=value'"),
        (["=3"], "must be 'key=value'"),
        (["row=3"], r"no option 'row' \(did you mean 'rows'\?\)"),
        (["rows=3", "rows=4"], "'rows' is given twice"),
        (["rows=three"], "integer"),
        (["rows=0"], r"greater than or equal to 1 \(it is '0'\)"),
        (["kind=plane"], "'plain' or 'fancy'"),
        (["numbers=1,x"], "integer"),
        (["extra=perhaps"], "boolean"),
        (["kind=fancy"], "fancy rows need a speaker"),
    ],
)
def test_options_that_do_not_fit(
    texts: list[str], message: str, toy: Callable[[Prepare], None]
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse("toy", texts)
    assert caught.value.exit_code == 2
    assert caught.value.fix


def test_an_option_without_default_must_be_given(
    toy: Callable[[Prepare], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Needs(Settings):
        column: str = Field(description="The column")

    monkeypatch.setattr(sys.modules["loretta_framework.shards.preparers.toy"], "Options", Needs)
    with pytest.raises(InputError, match="'column' must be given") as caught:
        prepare("toy", None, tmp_path)
    assert "--set column=" in caught.value.fix
    assert [line.default for line in option_help(Needs)] == [""]


def test_options_are_shown(toy: Callable[[Prepare], None]) -> None:
    result = CliRunner().invoke(data, ["prepare", "toy", "--options"])
    assert result.exit_code == 0
    for text in ("rows=3", "numbers=1,2", "speaker=null", "extra=false", "one of: plain, fancy"):
        assert text in result.output
    result = CliRunner().invoke(data, ["prepare", "svl-digits", "--options"])
    assert "has no options" in result.output


def test_data_sets_are_listed() -> None:
    result = CliRunner().invoke(data, ["prepare", "--list"])
    assert result.exit_code == 0
    for name, (_, sentence) in PREPARERS.items():
        assert name in result.output
        assert sentence in result.output


@pytest.mark.parametrize(
    "arguments", [["prepare"], ["prepare", "svl-digits"], ["prepare", "svl-digitz", "--options"]]
)
def test_a_command_that_lacks_something_is_the_users_mistake(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", *arguments]) == 2
    assert capsys.readouterr().err


def test_the_command_passes_options_on(
    toy: Callable[[Prepare], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["data", "prepare", "toy", "--out", str(tmp_path), "--set", "rows=2", "--seed", "4"]
    assert main([*arguments, "--set", "extra=true"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["1", "train", "image", "+", "text"]
    assert [line.split()[:2] for line in shown[:3]] == [
        ["1", "train"],
        ["1", "train"],
        ["1", "train-extra"],
    ]
    assert main([*arguments, "--set", "row=2"]) == 2
    assert "did you mean 'rows'" in capsys.readouterr().err


@pytest.mark.parametrize("name", PREPARERS)
def test_every_preparer_keeps_the_contract(name: str) -> None:
    module = preparer(name)
    assert callable(module.prepare)
    assert issubclass(module.Options, Settings)
    for field, info in module.Options.model_fields.items():
        assert info.description, f"{name}: {field} has no description"


def test_many_source_files_are_one_entry_with_a_known_hash(tmp_path: Path) -> None:
    for name in ("b/y.wav", "a.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    entry = source_files(tmp_path.rglob("*.wav"), tmp_path, "sounds/")
    lines = "".join(
        f"{hashlib.sha256(name.encode()).hexdigest()}  {name}\n" for name in ("a.wav", "b/y.wav")
    )
    assert entry.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert (entry.files, entry.size) == (2, 12)


def test_preparing_is_found_without_torch() -> None:
    code = (
        "import sys\n"
        "from loretta_framework.shards.prepare import PREPARERS, preparer\n"
        "[preparer(name) for name in PREPARERS]\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
