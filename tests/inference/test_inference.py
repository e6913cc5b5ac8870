"""The loaded model against hand computations over its own vocabulary and backbone."""

from __future__ import annotations

import json
import math
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from loretta_framework.api.errors import CheckpointError, InputError, RunDirectoryError
from loretta_framework.inference import LoadedModel, load
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.rows import build_row


def test_a_run_becomes_a_model_with_its_modalities(loaded: LoadedModel) -> None:
    assert loaded.modalities == ("english", "figures", "roman")
    assert loaded.extensions["roman"] == ("txt",)
    assert not loaded.model.training
    assert loaded.plan.missing_pairs == (("english", "roman"),)


def test_generations_are_decoded_values_that_depend_on_seed_and_index_only(
    loaded: LoadedModel,
) -> None:
    four = loaded.generate({"english": "two cat"}, to="figures", num_samples=4, seed=3)
    assert len(four) == 4
    assert all(isinstance(value, str) for value in four)
    assert len(set(four)) > 1
    assert loaded.generate({"english": "two cat"}, to="figures", num_samples=2, seed=3) == four[:2]
    assert loaded.generate({"english": "two cat"}, to="figures", num_samples=4, seed=4) != four


def test_greedy_generations_are_all_the_same(loaded: LoadedModel) -> None:
    sources = {"figures": "1 1"}
    greedy = loaded.generate(sources, "roman", num_samples=3, temperature=0.0)
    assert len(set(greedy)) == 1
    assert loaded.generate(sources, "roman", num_samples=1, top_k=1, seed=9) == greedy[:1]


def test_sources_may_be_an_ordered_list_with_several_of_a_kind(loaded: LoadedModel) -> None:
    ordered = [("english", "one dog"), ("figures", "1"), ("english", "two")]
    assert len(loaded.generate(ordered, to="roman")) == 1
    swapped = [ordered[2], ordered[1], ordered[0]]
    target = {"roman": "ii"}
    assert loaded.score(ordered, target) != loaded.score(swapped, target)
    assert [s.modality for s in loaded.segments(ordered)] == ["english", "figures", "english"]


def test_a_path_is_read_from_its_file(loaded: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "source.TXT"
    file.write_text("two cat")
    from_file = loaded.generate({"english": file}, to="roman", seed=1)
    assert from_file == loaded.generate({"english": "two cat"}, to="roman", seed=1)


def test_generation_from_nothing(loaded: LoadedModel) -> None:
    assert len(loaded.generate({}, to="english", num_samples=2)) == 2


def test_the_score_is_the_log_probability_of_the_target_alone(loaded: LoadedModel) -> None:
    """Against a forward pass of the whole sequence, summed by hand over the target's positions."""
    segments = loaded.segments([("english", "two cat"), ("roman", "ii")])
    batch = collate([build_row(loaded.plan.vocabulary, segments)])
    block = loaded.plan.vocabulary["roman"]
    with torch.no_grad():
        x_BTD = loaded.model.embed(batch.ids_BT, batch.places_BT)
        hidden_TD = loaded.model.backbone(x_BTD, batch.layout)[0]
    table_VD = loaded.model.head.weight
    by_hand = 0.0
    for step, token in enumerate([*b"ii", None]):
        position = batch.ids_BT.shape[1] - 3 + step
        logits_G = hidden_TD[position] @ table_VD[block.targets.start : block.targets.stop].T
        index = 0 if token is None else token + 1  # the end id comes first
        by_hand += float(torch.log_softmax(logits_G, 0)[index].detach())
    assert loaded.score({"english": "two cat"}, {"roman": "ii"}) == pytest.approx(by_hand, abs=1e-4)
    cost = loaded.cost({"english": "two cat"}, {"roman": "ii"})
    assert (cost.nats, cost.tokens) == (pytest.approx(-by_hand, abs=1e-4), 3)


def test_scores_obey_the_chain_rule(loaded: LoadedModel) -> None:
    first, second = ("english", "one dog"), ("figures", "1 1")
    joint = loaded.score({}, [first, second])
    alone, then = loaded.score({}, [first]), loaded.score([first], [second])
    assert joint == pytest.approx(alone + then, abs=1e-4)
    assert joint < 0


def test_scores_of_all_one_byte_texts_sum_to_the_chance_of_that_length(loaded: LoadedModel) -> None:
    probabilities = [math.exp(loaded.score({}, {"roman": chr(byte)})) for byte in range(128)]
    assert 0 < sum(probabilities) < 1


def test_the_embedding_is_the_mean_over_the_last_segment(loaded: LoadedModel) -> None:
    sources = [("english", "two cat"), ("figures", "2 2")]
    segments = loaded.segments(sources)
    whole = build_row(loaded.plan.vocabulary, segments, open_target="roman")
    batch = collate([whole])
    with torch.no_grad():
        x_BTD = loaded.model.embed(batch.ids_BT, batch.places_BT)
        hidden_TD = loaded.model.backbone(x_BTD, batch.layout)[0]
    first, last = len("two cat") + 2, len("two cat") + 2 + len("2 2") + 2
    expected_D = hidden_TD[first:last].mean(0).numpy()
    found_D = loaded.embed(sources)
    assert found_D.dtype == np.float32
    assert found_D.shape == (16,)
    np.testing.assert_allclose(found_D, expected_D, atol=1e-5)
    assert not np.allclose(found_D, loaded.embed({"figures": "2 2"}), atol=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.generate({"english": "a"}, to="romam"), "did you mean 'roman'"),
        (lambda m: m.generate({"inglish": "a"}, to="roman"), "did you mean 'english'"),
        (lambda m: m.score({"english": "a"}, {"zzz": "b"}), "the run has english, figures, roman"),
        (lambda m: m.generate({"english": 7}, to="roman"), "must be str, but is int"),
        (lambda m: m.generate({"english": ""}, to="roman"), "at least 1 byte"),
        (lambda m: m.generate({"english": "x" * 13}, to="roman"), "at most 12 bytes"),
        (lambda m: m.generate({"english": Path("no/such.txt")}, to="roman"), "No such file"),
        (lambda m: m.generate({"english": Path("a.png")}, to="roman"), "ends in .txt"),
        (lambda m: m.generate({"english": "a"}, "roman", num_samples=0), "must be 1 or more"),
        (lambda m: m.generate({"english": "a"}, "roman", temperature=-1.0), "0 or more"),
        (lambda m: m.generate({"english": "a"}, "roman", temperature=math.nan), "finite"),
        (lambda m: m.generate({"english": "a"}, "roman", top_k=0), "top_k must be 1 or more"),
        (lambda m: m.score({"english": "a"}, {}), "at least one target"),
        (lambda m: m.embed({}), "at least one value"),
    ],
)
def test_what_cannot_be_used_is_told(loaded: LoadedModel, call: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        call(loaded)  # type: ignore[operator]
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_unreadable_file_is_named(loaded: LoadedModel, tmp_path: Path) -> None:
    file = tmp_path / "broken.txt"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"broken\.txt: it cannot be used as english.*UTF-8"):
        loaded.generate({"english": file}, to="roman")


def test_too_many_tokens_are_refused_even_when_the_tokenizer_gives_them(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(loaded.tokenizers["english"])
    for count, advice in product((13, 0), ("",)):
        monkeypatch.setattr(kind, "encode", lambda self, value, n=count: np.zeros(n, np.int64))
        with pytest.raises(InputError, match=f"1 to 12 tokens as english, but has {count}{advice}"):
            loaded.generate({"english": "a"}, to="roman")


def test_a_plugin_bug_is_not_blamed_on_the_value(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object, value: object) -> None:
        raise AttributeError("a bug")

    monkeypatch.setattr(type(loaded.tokenizers["english"]), "parse", broken)
    with pytest.raises(AttributeError, match="a bug"):
        loaded.generate({"english": "a"}, to="roman")


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="no such run"):
        load(tmp_path / "absent")
    with pytest.raises(RunDirectoryError, match="this is no run"):
        load(tmp_path)


def test_a_run_without_checkpoints_says_so(small_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small_run, copy)
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(RunDirectoryError, match="no checkpoint yet"):
        load(copy)


def test_weights_of_another_plan_are_refused(small_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small_run, copy)
    plan = json.loads((copy / "plan.json").read_text())
    plan["backbone"]["settings"]["width"] = 32
    (copy / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(CheckpointError, match="do not fit the run's plan"):
        load(copy)


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    small_run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(small_run, copy)
    newer = copy / "checkpoints" / "step-00000007"
    shutil.copytree(copy / "checkpoints" / "step-00000000", newer)
    (newer / "model.safetensors").write_bytes(b"")
    told: list[str] = []
    assert load(copy, warn=told.append).modalities
    assert len(told) == 1
    assert "step-00000007" in told[0]
