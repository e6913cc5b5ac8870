"""Recipe and shards to a Plan."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from loretta_framework.api.errors import GraphError, RecipeError, ShardError, UserError
from loretta_framework.recipe.engine import make_plan
from loretta_framework.recipe.load import load_recipe
from loretta_framework.recipe.plan import Plan


def plan_of(path: Path, *overrides: str) -> Plan:
    return make_plan(load_recipe(path, overrides))


def refusal(kind: type[UserError], path: Path, *overrides: str) -> str:
    with pytest.raises(kind) as caught:
        plan_of(path, *overrides)
    return str(caught.value)


def reasons(plan: Plan) -> str:
    return "\n".join(f"{item.key}: {item.choice}: {item.why}" for item in plan.reasons)


def test_the_plan_of_a_chain(workshop: Any) -> None:
    plan = plan_of(workshop.recipe())
    assert (plan.name, plan.seed, plan.steps, plan.batch_tokens) == ("toys", 7, 100, 256)
    assert plan.vocabulary.modalities == ("image", "text", "speech")
    assert [item.fitted for item in plan.modalities] == [False, True, False]
    assert plan.graph.observed == ((("image", "text"), 10), (("text", "speech"), 8))
    assert plan.missing_pairs == (("image", "speech"),)
    assert plan.bridges[0].paths == (("image", "text", "speech"),)
    assert plan.components == (("image", "text", "speech"),)
    captions, readings, triples = plan.sets
    assert captions.combinations == ((("image", "text"), 10), (("image",), 2))
    assert [Path(shard).name for shard in captions.shards] == ["captions-0.tar", "captions-1.tar"]
    assert all(Path(shard).is_absolute() for shard in captions.shards)
    assert (captions.share, readings.share, triples.share) == (0.5, 0.5, 1.0)
    assert (captions.samples, readings.samples) == (12, 9)
    assert (triples.split, triples.label) == ("test", "meta.digit")
    assert plan.versions["loretta-plugin-toy"] == "0.4"
    assert set(plan.versions) >= {"loretta-framework", "torch", "python", "numpy"}


def test_the_plan_survives_json_and_is_deterministic(workshop: Any) -> None:
    path = workshop.recipe()
    plan = plan_of(path)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert plan_of(path) == plan
    assert plan_of(path, "train.seed=8").hash != plan.hash


def test_tasks_share_the_token_budget(workshop: Any) -> None:
    causal, transitive = plan_of(workshop.recipe()).tasks
    # image 6 + 1, text 5 + 2, speech 4 + 1; sets of 14 and 12 tokens at equal shares
    assert causal.sequence_tokens == pytest.approx(13)
    assert transitive.sequence_tokens == pytest.approx(12)  # image + speech
    assert causal.samples_per_step == 9  # 128 / 13
    assert transitive.samples_per_step == 10
    assert (transitive.start_step, transitive.every) == (50, 4)
    assert causal.extra_samples == ((50, 9),)
    assert transitive.extra_samples == ()


def test_set_shares_weigh_the_expected_length(workshop: Any) -> None:
    plan = plan_of(workshop.recipe(), "data.train.captions.share=3")
    assert [item.share for item in plan.split("train")] == [0.75, 0.25]
    assert plan.tasks[0].sequence_tokens == pytest.approx(0.75 * 14 + 0.25 * 12)
    assert "data.train.readings.share: 0.25" in reasons(plan)
    assert "data.train.captions.share" not in reasons(plan)


def test_shares_are_normalised(workshop: Any) -> None:
    plan = plan_of(workshop.recipe(), "objectives.causal.share=3", "objectives.transitive.share=1")
    assert [task.share for task in plan.tasks] == [0.75, 0.25]
    assert "objectives.causal.share: 0.75: shares are normalised to 1" in reasons(plan)


def test_several_late_tasks_fall_back_to_the_first_causal(workshop: Any) -> None:
    objectives = (
        "objectives=[{kind: causal_masked, share: 1}, {kind: causal, share: 1}, {kind: causal, name: c2},"
        "{kind: transitive, settings: {start: 0.5}, share: 1}, {kind: toy.late, share: 2}]"
    )
    plan = plan_of(workshop.recipe(), objectives)
    tasks = {task.name: task for task in plan.tasks}
    share = 256 / 6
    assert tasks["causal"].extra_samples == ((25, int(2 * share / 13)), (50, int(share / 13)))
    assert tasks["toy.late"].start_step == 25
    assert tasks["toy.late"].every == 2
    assert all(not t.extra_samples for name, t in tasks.items() if name != "causal")
    assert "until then 'causal' gets its samples" in reasons(plan)


def test_transitive_without_missing_pairs_gives_its_share_to_causal(workshop: Any) -> None:
    path = workshop.recipe()
    plan = plan_of(
        path,
        "data.train.readings.shards=data/triples.tar",
        "data.train.readings.modalities=[image, text, speech]",
    )
    assert plan.bridges == ()
    assert [(task.name, task.share, task.extra_samples) for task in plan.tasks] == [
        ("causal", 1.0, ())
    ]
    assert "objectives.transitive: left out; its share goes to 'causal'" in reasons(plan)
    text = refusal(
        RecipeError,
        path,
        "data.train.readings.shards=data/triples.tar",
        "data.train.readings.modalities=[image, text, speech]",
        "objectives=[{kind: transitive}, {kind: causal_masked}]",
    )
    assert (
        "'transitive' has no work without a missing pair, and there is no 'causal' objective"
        in text
    )


def test_a_late_task_needs_causal(workshop: Any) -> None:
    text = refusal(RecipeError, workshop.recipe(), "objectives=[{kind: transitive}]")
    assert "'transitive' has no work before step 50" in text
    assert "objectives.transitive" in text
    text = refusal(RecipeError, workshop.recipe(), "objectives.causal.share=0")
    assert "no 'causal' objective with a share" in text


def test_objectives_without_a_share_are_left_out(workshop: Any) -> None:
    plan = plan_of(workshop.recipe(), "objectives.transitive.share=0")
    assert [task.name for task in plan.tasks] == ["causal"]
    assert "objectives.transitive: left out: its share is 0" in reasons(plan)
    text = refusal(
        RecipeError, workshop.recipe(), "objectives.transitive.share=0", "objectives.causal.share=0"
    )
    assert "at least one objective must have a share above 0" in text


def test_missing_policies(workshop: Any) -> None:
    path = workshop.recipe()
    plan = plan_of(path, "data.train.captions.missing=skip")
    assert plan.sets[0].combinations == ((("image", "text"), 10),)
    assert plan.sets[0].samples == 10
    text = refusal(ShardError, path, "data.train.captions.missing=error")
    assert "sample '0006' lacks text (it has: image.png)" in text
    assert "data.train.captions" in text
    assert "captions-0.tar" in text


def test_a_set_of_which_nothing_is_left(workshop: Any) -> None:
    workshop.shard("data/odd.tar", {"img.png": 2, "text.txt": 1})
    text = refusal(
        ShardError,
        workshop.recipe(),
        "data.test.triples.shards=data/odd.tar",
        "data.test.triples.missing=skip",
    )
    assert (
        "no sample of 'triples' has all of image, text, speech; its members are: img.png, text.txt"
        in text
    )
    workshop.shard("data/odd.tar", {"img.png": 2})
    text = refusal(ShardError, workshop.recipe(), "data.train.captions.shards=data/odd.tar")
    assert "no sample of 'captions' has any of image, text; its members are: img.png" in text


def test_a_modality_that_never_occurs(workshop: Any) -> None:
    workshop.shard("data/readings.tar", {"text.txt speach.wav": 3})
    path = workshop.recipe()
    text = refusal(RecipeError, path)
    assert (
        f"{path}:7: modalities.speech: the modality 'speech' never occurs in a training sample"
        in text
    )
    assert "'readings' hold: text.txt, speach.wav" in text
    text = refusal(RecipeError, path, "modalities.extra={kind: toy.symbols}")
    assert "modalities.extra: the modality 'extra' never occurs" in text
    assert "no training set declares it" in text


def test_a_modality_that_one_set_lacks_is_a_reason(workshop: Any) -> None:
    plan = plan_of(workshop.recipe(), "data.train.captions.modalities=[image, text, speech]")
    assert "data.train.captions.modalities: speech is absent" in reasons(plan)


def test_a_source_maps_member_names(workshop: Any) -> None:
    workshop.shard("data/readings.tar", {"txt wav": 3})
    source = (
        "data.train.readings.source={kind: toy.rename, settings: {names: {txt: text, wav: speech}}}"
    )
    plan = plan_of(workshop.recipe(), source)
    assert plan.sets[1].combinations == ((("text", "speech"), 3),)
    assert plan.sets[1].source is not None
    assert plan.sets[1].source.kind == "toy.rename"


def test_several_instances_count_once(workshop: Any) -> None:
    workshop.shard(
        "data/readings.tar", {"text.txt speech.wav speech.1.wav speech.2.wav sequence.json": 3}
    )
    assert plan_of(workshop.recipe()).sets[1].combinations == ((("text", "speech"), 3),)


def test_a_disconnected_graph(workshop: Any) -> None:
    workshop.shard("data/readings.tar", {"speech.wav": 3})
    path = workshop.recipe()
    text = refusal(GraphError, path)
    assert f"{path}:12: data.train: the modality graph must be connected" in text
    assert "{image, text}; {speech}" in text
    plan = plan_of(path, "allow_disconnected=true")
    assert plan.components == (("image", "text"), ("speech",))
    assert "2 components are trained side by side" in reasons(plan)
    assert [task.name for task in plan.tasks] == ["causal"]


def test_a_budget_below_the_longest_sequence(workshop: Any) -> None:
    text = refusal(RecipeError, workshop.recipe(), "train.batch_tokens=13")
    assert "train.batch_tokens: must be at least 14, but is 13" in text
    assert "(set 'captions') has 14 tokens" in text
    assert plan_of(workshop.recipe(), "train.batch_tokens=14").tasks[0].samples_per_step == 1


def test_a_backbone_that_is_too_short(workshop: Any) -> None:
    text = refusal(RecipeError, workshop.recipe(), "backbone.kind=toy.short")
    assert (
        "backbone: takes sequences of at most 8 tokens, but the longest expected sequence" in text
    )


def test_missing_shards_name_the_set(workshop: Any) -> None:
    path = workshop.recipe()
    text = refusal(ShardError, path, "data.test.triples.shards=data/nope-*.tar")
    assert "data.test.triples.shards" in text
    assert "no shard matches 'data/nope-*.tar'" in text
    (workshop.directory / "data" / "empty.tar").write_bytes(b"")
    text = refusal(ShardError, path, "data.test.triples.shards=data/empty.tar")
    assert "empty.tar" in text


def test_a_base_in_another_directory_finds_its_data(workshop: Any) -> None:
    workshop.recipe()
    path = workshop.recipe("base: ../../toys.yaml\nname: arm\n", "deep/arms/arm.yaml")
    plan, original = plan_of(path), plan_of(workshop.directory / "toys.yaml")
    assert [item.shards for item in plan.sets] == [item.shards for item in original.sets]


def test_an_earlier_vocabulary_is_kept(workshop: Any) -> None:
    path = workshop.recipe()
    text = path.read_text(encoding="utf-8")
    first = plan_of(path)
    extra = text.replace("modalities:\n", "modalities:\n  depth: {kind: toy.symbols}\n", 1)
    extra = extra.replace("modalities: [image, text]}", "modalities: [depth, image, text]}", 1)
    workshop.shard("data/captions-1.tar", {"image.png text.txt depth.npy": 4})
    loaded = load_recipe(workshop.recipe(extra))
    assert make_plan(loaded).vocabulary.modalities == ("depth", "image", "text", "speech")
    grown = make_plan(loaded, previous_vocabulary=first.vocabulary)
    assert grown.vocabulary.blocks[:3] == first.vocabulary.blocks
    assert grown.vocabulary.modalities == ("image", "text", "speech", "depth")
    assert "ids of the earlier run are kept" in reasons(grown)


def test_hashes_do_not_depend_on_where_files_lie(workshop: Any, tmp_path: Path) -> None:
    plan = plan_of(workshop.recipe())
    moved = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(workshop.directory, moved)
    again = plan_of(moved / "toys.yaml")
    assert (again.recipe_hash, again.data_hash) == (plan.recipe_hash, plan.data_hash)


def test_the_recipe_hash_sees_values_and_not_their_spelling(workshop: Any) -> None:
    path = workshop.recipe()
    plan = plan_of(path)
    same = plan_of(path, "modalities.speech.settings.length=4", "evaluate=[{kind: likelihood}]")
    assert same.recipe_hash == plan.recipe_hash
    watched = plan_of(path, "callbacks=[]")
    assert watched.recipe_hash == plan.recipe_hash
    for change in (
        "train.steps=99",
        "modalities.image.settings.size=11",
        "objectives.causal.weight=2",
    ):
        assert plan_of(path, change).recipe_hash != plan.recipe_hash


def test_the_data_hash_sees_contents_and_set_names(workshop: Any) -> None:
    path = workshop.recipe()
    plan = plan_of(path)
    assert plan_of(path, "train.steps=3").data_hash == plan.data_hash
    assert plan_of(path, "data.train.captions.name=pictures").data_hash != plan.data_hash
    workshop.shard("data/triples.tar", {"image.png text.txt speech.wav": 4})
    assert plan_of(path).data_hash != plan.data_hash


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    counts=st.dictionaries(
        st.sampled_from(["image", "text", "speech", "image text", "text speech", "image speech"]),
        st.integers(1, 4),
        min_size=1,
    ),
    budget=st.integers(1, 400),
    share=st.floats(0, 3, allow_subnormal=False),
)
def test_any_data_gives_a_consistent_plan_or_a_named_mistake(
    workshop: Any, counts: dict[str, int], budget: int, share: float
) -> None:
    names = {combo: " ".join(f"{part}.x" for part in combo.split()) for combo in counts}
    workshop.shard("data/any.tar", {names[combo]: count for combo, count in counts.items()})
    everything = "data.train=[{name: all, shards: data/any.tar, modalities: [image, text, speech]}]"
    overrides = [
        everything,
        f"train.batch_tokens={budget}",
        f"objectives.transitive.share={share!r}",
    ]
    try:
        plan = plan_of(workshop.recipe(), *overrides, "allow_disconnected=true")
    except UserError:
        return
    assert sum(task.share for task in plan.tasks) == pytest.approx(1)
    assert plan.sets[0].samples == sum(counts.values())
    observed = {frozenset(pair) for pair, _ in plan.graph.observed}
    assert observed.isdisjoint({frozenset(pair) for pair in plan.missing_pairs})
    for task in plan.tasks:
        assert task.samples_per_step >= 1
        assert (
            task.samples_per_step * task.sequence_tokens
            <= max(budget * task.share, task.sequence_tokens) + 1e-6
        )
    plan.vocabulary.require_disjoint()
