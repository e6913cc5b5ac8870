"""`loretta evaluate` from the command's door: the file, its hashes, labels, arms, faults."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from loretta_framework.api.errors import PluginError
from loretta_framework.cli.main import main
from loretta_framework.evaluate.report import Collected, edge_entries
from loretta_framework.evaluate.samples import SampleReader
from loretta_framework.inference import load
from loretta_framework.shards.writing import ShardWriter
from loretta_framework.testing.small_runs import SETS, write_small_run

EVALUATE = [
    {"kind": "likelihood", "settings": {"resamples": 20}},
    {"kind": "retrieval", "settings": {"candidates": 12, "resamples": 20}},
    {"kind": "class_consistency", "settings": {"generations": 24, "resamples": 20}},
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`run`, and `oracle` that also saw english with roman; both only read by tests."""
    root = tmp_path_factory.mktemp("runs")
    write_small_run(root, evaluate=EVALUATE)
    sets = [
        {"name": name, "shards": f"shards/{name}-*.tar", "modalities": list(SETS[name])}
        for name in ("pages", "clocks", "reserved", "triples")
    ]
    data = {"train": sets[:3], "test": [{**sets[3], "label": "meta.number"}]}
    write_small_run(root, "oracle", evaluate=EVALUATE, data=data)
    return root


@pytest.fixture(scope="module")
def evaluated(runs: Path) -> dict[str, Any]:
    assert main(["evaluate", str(runs / "run")]) == 0
    assert main(["evaluate", str(runs / "oracle")]) == 0
    content: dict[str, Any] = json.loads((runs / "run" / "evaluation.json").read_text())
    return content


def edge(content: dict[str, Any], source: str, target: str) -> dict[str, Any]:
    (found,) = [e for e in content["edges"] if (e["source"], e["target"]) == (source, target)]
    return dict(found)


def test_the_file_has_every_edge_with_its_figures(evaluated: dict[str, Any]) -> None:
    assert len(evaluated["edges"]) == 9
    seen, unseen = edge(evaluated, "english", "figures"), edge(evaluated, "english", "roman")
    assert seen["observed"] is True
    assert unseen["observed"] is False
    for metric in ("nats_per_sample", "nats_per_token", "class_accuracy", "retrieval_at_1"):
        low, high = unseen[metric]["interval"]
        assert low <= unseen[metric]["value"] <= high
    assert "retrieval_at_1" not in seen
    assert "chained_class_accuracy" in unseen
    assert evaluated["gap_closed"] is None
    assert len(evaluated["data_hash"]) == 64
    assert evaluated["versions"]["loretta-framework"]
    assert evaluated["samples"] == 24


def test_the_judge_learned_real_training_texts_with_the_label_of_the_test_set(
    evaluated: dict[str, Any],
) -> None:
    judge = evaluated["judges"]["roman"]
    assert judge["classes"] == ["1", "2", "3"]
    assert judge["training_samples"] == 24
    assert judge["judge_accuracy"]["value"] > 0.9
    notes = {note["key"]: note["choice"] for note in evaluated["notes"]}
    assert notes["label of clocks"] == "meta.number"


def test_training_samples_of_a_judge_come_from_training_sets_only(runs: Path) -> None:
    reader = SampleReader(load(runs / "run"), {}, None, lambda *parts: None)
    test_keys = {sample.key for sample in reader.test().samples}
    for modality, sets in (("english", {"pages"}), ("figures", {"pages", "clocks"})):
        found = reader.training(modality, 1000)
        assert {sample.key.partition("/")[0] for sample in found} == sets
        assert not {sample.key for sample in found} & test_keys
        assert all(sample.tokens.modalities == {modality} for sample in found)
        assert len(reader.training(modality, 10)) == 10


def test_training_sets_without_classes_leave_the_judge_without_a_figure_not_the_run(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "shards", tmp_path / "shards")
    for shard in (tmp_path / "shards").glob("pages-*"):
        shard.unlink()
    with ShardWriter(tmp_path / "shards", "pages") as writer:
        for index in range(12):
            writer.write(f"p{index}", {"english.txt": b"one dog", "figures.txt": b"1"})
    run = write_small_run(tmp_path, evaluate=EVALUATE)
    for label in ([], ["--label", "meta.number"]):
        assert main(["evaluate", str(run), "--json", *label]) == 0
        content = json.loads(capsys.readouterr().out)
        figures = edge(content, "roman", "english")
        assert figures["class_accuracy"] is None
        assert "give the training sets a label" in figures["class_accuracy_reason"]
        assert edge(content, "english", "roman")["class_accuracy"]["value"] >= 0
        notes = {note["key"]: note for note in content["notes"]}
        assert notes["label of pages"]["choice"] == "none"
        assert "meta.number" in notes["label of pages"]["why"]


def test_json_is_pure_and_equal_to_the_file(
    runs: Path, evaluated: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["evaluate", str(runs / "run"), "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == json.loads((runs / "run" / "evaluation.json").read_text())
    assert json.loads(captured.out) == evaluated
    assert "likelihood on 24 test samples" in captured.err


def test_the_table_names_edges_figures_and_judges(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(runs / "oracle")]) == 0
    printed = capsys.readouterr().out
    for text in ("english -> roman", "(nothing) -> roman", "class accuracy", "judge of roman", "["):
        assert text in printed
    assert "*" not in printed


def test_gap_closed_reads_the_arms_and_records_them(
    runs: Path, evaluated: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = {}
    for name, value in (("baseline", 0.1), ("oracle", 0.9)):
        arms[name] = tmp_path / name
        shutil.copytree(runs / ("run" if name == "baseline" else "oracle"), arms[name])
        file = arms[name] / "evaluation.json"
        content = json.loads(file.read_text())
        edge_of = next(
            e for e in content["edges"] if (e["source"], e["target"]) == ("english", "roman")
        )
        edge_of["retrieval_at_1"] = {"value": value, "interval": [value - 0.05, value + 0.05]}
        file.write_text(json.dumps(content))
    named = ["--baseline", str(arms["baseline"]), "--oracle", str(arms["oracle"])]
    code = main(["evaluate", str(runs / "run"), "--json", *named])
    content = json.loads(capsys.readouterr().out)
    assert code == 0
    gap = edge(content["gap_closed"], "english", "roman")["retrieval_at_1"]
    measured = edge(content, "english", "roman")["retrieval_at_1"]["value"]
    assert gap["value"] == pytest.approx((measured - 0.1) / 0.8)
    assert content["gap_closed"]["oracle"] == str(arms["oracle"])


def test_arms_of_one_study_share_the_hash_of_their_test_data(
    runs: Path, evaluated: dict[str, Any]
) -> None:
    oracle = json.loads((runs / "oracle" / "evaluation.json").read_text())
    assert oracle["data_hash"] == evaluated["data_hash"]
    assert oracle["recipe_hash"] != evaluated["recipe_hash"]
    assert edge(oracle, "english", "roman")["observed"] is True
    assert edge(oracle, "english", "roman")["retrieval_at_1"]["value"] >= 0


def copy_of(run: Path, target: Path) -> Path:
    shutil.copytree(run, target)
    return target


def test_other_shards_and_labels(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copy_of(runs / "run", tmp_path / "run")
    monkeypatch.chdir(runs)
    data = ["--data", "shards/reserved-*.tar", "--data", "shards/clocks-000000.tar", "--json"]
    assert main(["evaluate", str(run), *data]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["samples"] == 48
    assert edge(content, "english", "roman")["class_accuracy"]["value"] >= 0
    hashes = [content["data_hash"]]
    assert main(["evaluate", str(run), *data, "--label", "meta.number"]) == 0
    hashes.append(json.loads(capsys.readouterr().out)["data_hash"])
    assert main(["evaluate", str(run), *data[:2], "--json"]) == 0
    hashes.append(json.loads(capsys.readouterr().out)["data_hash"])
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "shards/none-*.tar"], "no shard matches"),
        (["--label", "meta.nothing"], "'nothing' is not there"),
        (["--baseline", "oracle"], "both --baseline RUN and --oracle RUN"),
        (["--baseline", "oracle", "--oracle", "./oracle"], "must be two runs"),
        (["--baseline", "oracle", "--oracle", "fresh"], "run: loretta evaluate fresh"),
        (["--baseline", "oracle", "--oracle", "broken"], "cannot be read"),
        (["--baseline", "oracle", "--oracle", "other"], "must be evaluated on the same data"),
        (["--baseline", "oracle", "--oracle", "absent"], "no such run directory"),
        (["--device", "warp"], "device 'warp' cannot be used"),
    ],
)
def test_mistakes_exit_2_before_any_work(
    runs: Path,
    evaluated: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(runs)
    for name in ("fresh", "broken", "other"):
        if not Path(name).exists():
            copy_of(runs / "run", Path(name))
    Path("fresh/evaluation.json").unlink(missing_ok=True)
    Path("broken/evaluation.json").write_text("[1]")
    Path("other/evaluation.json").write_text(json.dumps({**evaluated, "data_hash": "0" * 64}))
    before = Path("run/evaluation.json").read_bytes()
    capsys.readouterr()
    assert main(["evaluate", "run", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "likelihood on" not in captured.err
    assert captured.out == ""
    assert Path("run/evaluation.json").read_bytes() == before


def test_a_run_without_test_sets_needs_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = {"name": "pages", "shards": "shards/pages-*.tar", "modalities": ["english", "figures"]}
    text = {"kind": "text_bytes", "settings": {"max_tokens": 12}}
    run = write_small_run(
        tmp_path,
        evaluate=["class_consistency", "retrieval", "likelihood"],
        data={"train": [pages]},
        modalities={"english": text, "figures": text},
    )
    assert main(["evaluate", str(run)]) == 2
    assert "no test set" in capsys.readouterr().err
    shards = str(tmp_path / "shards" / "triples-*.tar")
    assert main(["evaluate", str(run), "--data", shards, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    figures = edge(content, "english", "figures")
    assert figures["class_accuracy"] is None
    assert "carry no label" in figures["class_accuracy_reason"]
    assert figures["nats_per_sample"]["value"] > 0
    assert main(["evaluate", str(run), "--data", shards]) == 0
    printed = capsys.readouterr().out
    assert "carry no label" in printed


def test_a_wrong_setting_of_the_last_evaluator_costs_no_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_small_run(tmp_path, evaluate=["likelihood", "retrieval"])
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("- retrieval", "- retrival"))
    assert main(["evaluate", str(run)]) == 2
    captured = capsys.readouterr()
    assert "retrival" in captured.err
    assert "likelihood on" not in captured.err
    assert not (run / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("findings", "message"),
    [
        ({"edges": {"a->b": {"x": float("nan")}}}, "must be finite"),
        ({"edges": {"no arrow": {"x": 1}}}, "an edge must be"),
        ({"edges": [1]}, "no usable figures"),
        ({"edges": {}, "data_hash": "x"}, "must not return 'data_hash'"),
    ],
)
def test_a_plugin_with_unusable_figures_is_named(findings: Any, message: str) -> None:
    with pytest.raises(PluginError, match=r"the evaluator 'toy\.one'") as caught:
        Collected().add("toy.one", findings)
    assert message in str(caught.value)


def test_findings_of_several_evaluators_meet_in_one_entry_in_the_plans_order(runs: Path) -> None:
    plan = load(runs / "run").plan
    collected = Collected()
    collected.add("a", {"edges": {"english+figures->roman": {"x": 1}, "roman->english": {"x": 2}}})
    collected.add("b", {"edges": {"roman->english": {"y": 3}, "->roman": {"x": 4}}, "section": {}})
    entries = edge_entries(plan, collected.edges)
    assert [(e["source"], e["target"]) for e in entries] == [
        ("", "roman"),
        ("roman", "english"),
        ("english+figures", "roman"),
    ]
    assert entries[1] == {
        "source": "roman", "target": "english", "observed": False, "x": 2, "y": 3,
    }  # fmt: skip
    assert entries[2]["observed"] is False
    assert collected.sections == {"section": {}}
