"""A loaded run with a continuous modality: what it is given counts, and it is never made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loretta_framework.api.errors import InputError
from loretta_framework.cli.main import main
from loretta_framework.inference import LoadedModel, load

PULSE = np.linspace(-1, 1, 12, dtype=np.float32)


@pytest.fixture(scope="module")
def loaded(small_run: Path) -> LoadedModel:
    return load(small_run)


def test_it_is_given_as_a_value_a_list_or_a_file(loaded: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "pulse.json").write_text(json.dumps(PULSE.tolist()))
    ways = [PULSE, PULSE.tolist(), tmp_path / "pulse.json"]
    made = [loaded.generate({"x": way}, to="a", num_samples=4) for way in ways]
    assert made[0] == made[1] == made[2]
    assert all(len(text) == 2 for text in made[0])


def test_it_conditions_scores_and_embeddings(loaded: LoadedModel) -> None:
    alone = loaded.score({}, {"a": "ab"})
    given = loaded.score({"x": PULSE}, {"a": "ab"})
    other = loaded.score({"x": -PULSE}, {"a": "ab"})
    assert len({alone, given, other}) == 3
    assert loaded.cost({"x": PULSE}, {"a": "ab"}).tokens == 2
    one, two = loaded.embed({"x": PULSE}), loaded.embed({"x": -PULSE})
    assert one.shape == (32,)
    assert not np.allclose(one, two)
    assert not np.allclose(loaded.embed([("a", "ab"), ("x", PULSE)]), one)
    behind = [loaded.embed([("x", pulse), ("a", "ab")]) for pulse in (PULSE, -PULSE)]
    assert not np.allclose(*behind)


def test_an_embedding_is_the_mean_over_class_id_and_vectors(loaded: LoadedModel) -> None:
    from loretta_framework.sequence.batch import collate
    from loretta_framework.sequence.rows import build_row

    segments = loaded.segments([("a", "ab"), ("x", PULSE)])
    row = build_row(loaded.model.vocabulary, segments)
    hidden = loaded.model(collate([row])).hidden_BTD[0].detach().numpy()
    assert len(row) == 3 + 4
    wanted = hidden[3:7].mean(axis=0)
    assert np.allclose(loaded.embed([("a", "ab"), ("x", PULSE)]), wanted, atol=1e-5)


def test_it_is_neither_generated_nor_scored(loaded: LoadedModel) -> None:
    words = "'x' is continuous: it can be given to the model, but neither generated nor scored"
    for ask in (
        lambda: loaded.generate({"a": "ab"}, to="x"),
        lambda: loaded.score({"a": "ab"}, {"x": PULSE}),
        lambda: loaded.score({}, {"a": "ab", "x": PULSE}),
    ):
        with pytest.raises(InputError, match=words) as caught:
            ask()
        assert caught.value.exit_code == 2
        assert caught.value.fix == "name a or c instead"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1.0, 2.0], "a pulse must have 12 numbers, but has shape"),
        ([float("inf")] * 12, "its features must be finite"),
    ],
)
def test_values_that_cannot_be_used_are_named(loaded: LoadedModel, value: Any, words: str) -> None:
    with pytest.raises(InputError, match="it cannot be used as x") as caught:
        loaded.generate({"x": value}, to="a")
    assert words in str(caught.value)


def test_the_commands_say_so_too(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pulse.json").write_text(json.dumps(PULSE.tolist()))
    given = ["--from", f"x={tmp_path / 'pulse.json'}"]
    out = ["--out", str(tmp_path / "made")]
    assert main(["generate", str(small_run), *given, "--to", "a", *out]) == 0
    assert (tmp_path / "made" / "a-000.txt").read_text()
    assert main(["generate", str(small_run), "--from", "a=ab", "--to", "x", *out]) == 2
    assert "neither generated nor scored" in capsys.readouterr().err


@pytest.fixture(scope="module")
def evaluated(small_run: Path) -> dict[str, Any]:
    assert main(["evaluate", str(small_run)]) == 0
    content: dict[str, Any] = json.loads((small_run / "evaluation.json").read_text())
    return content


REASON = "x is continuous: it is given to the model, and never predicted or generated"


def test_figures_of_edges_to_it_are_missing_with_the_reason(evaluated: dict[str, Any]) -> None:
    edges = {(e["source"], e["target"]): e for e in evaluated["edges"]}
    for source in ("", "a", "c"):
        entry = edges[source, "x"]
        asked = [key for key in entry if f"{key}_reason" in entry]
        assert {"nats_per_sample", "nats_per_token"} <= set(asked)
        assert all(entry[key] is None and entry[f"{key}_reason"] == REASON for key in asked)
        if source:
            assert {"retrieval_at_1", "class_accuracy"} <= set(asked)
    for source, target in (("x", "a"), ("x", "c"), ("a", "c")):
        for metric in ("nats_per_sample", "retrieval_at_1", "class_accuracy"):
            assert edges[source, target][metric]["interval"]
    assert edges["x", "a"]["observed"]
    assert not edges["a", "c"]["observed"]
    # The chain a -> x -> c would have to generate the pulse.
    assert "chained_class_accuracy" not in edges["a", "c"]
    assert "x" not in evaluated["judges"]


def test_the_gallery_shows_edges_from_it(evaluated: dict[str, Any], small_run: Path) -> None:
    shown = {entry["edge"]: entry for entry in evaluated["gallery"]}
    assert shown["a->x"]["folder"] is None
    assert shown["a->x"]["reason"] == REASON
    folder = small_run / shown["x->a"]["folder"]
    assert len(list(folder.glob("*-source.json"))) == 2
    assert len(list(folder.glob("*-source.txt"))) == 2  # what `show` makes of a pulse


def test_lint_and_preview_read_it_as_any_modality(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = small_run.parent / "pulse.yaml"
    shards = sorted(map(str, small_run.parent.glob("xa-*.tar")))
    assert main(["data", "lint", *shards, "--recipe", str(recipe)]) == 0
    assert main(["data", "preview", *shards, "--recipe", str(recipe), "--rows", "1"]) == 0
    assert "x" in capsys.readouterr().out
