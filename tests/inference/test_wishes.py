"""Chains, candidates, guidance and streams of the loaded model."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from loretta_framework.api.errors import InputError
from loretta_framework.generation.decode import generate as decode
from loretta_framework.generation.sampling import Sampling
from loretta_framework.generation.score import score_rows
from loretta_framework.inference import LoadedModel
from loretta_framework.inference.chain import draws, walk
from loretta_framework.inference.wish import Wish
from loretta_framework.sequence.rows import Segment, build_row

TWO = {"english": "two cat"}


def wish(path: tuple[str, ...], **more: Any) -> Wish:
    chosen: dict[str, Any] = {"guidance": None, "keep_ancestors": False, "best_of": 1, "seed": 0}
    return Wish(path, dict.fromkeys(path, Sampling()), **{**chosen, **more})


def made_alone(
    loaded: LoadedModel, prompt: list[Segment], asked: Wish, sample: int, candidate: int
) -> tuple[list[Segment], float]:
    """One chain by itself, segment by segment, and what it costs in nats."""
    chain: list[Segment] = []
    nats = 0.0
    for hop, target in enumerate(asked.path):
        given = prompt if not chain else [chain[-1]]
        if asked.keep_ancestors:
            given = [*prompt, *chain]
        numbers = draws(asked, hop, sample, candidate, 12)[None]
        (ids,) = decode(loaded.model, [given], target, numbers, sampling=asked.sampling[target])
        chain.append(Segment(target, ids))
        row = build_row(
            loaded.model.vocabulary,
            [*(Segment(s.modality, s.content, 0.0) for s in given), chain[-1]],
        )
        nats += score_rows(loaded.model, [row])[0].nats
    return chain, nats


def ids_of(chains: list[list[Segment]]) -> list[list[tuple[str, list[int]]]]:
    return [[(s.modality, s.content.tolist()) for s in chain] for chain in chains]


@pytest.mark.parametrize("keep", [False, True])
def test_a_chain_conditions_each_hop_on_the_one_before_or_on_all(
    loaded: LoadedModel, keep: bool
) -> None:
    prompt = loaded.segments(TWO)
    asked = wish(("figures", "english", "roman"), keep_ancestors=keep)
    wanted = [made_alone(loaded, prompt, asked, i, 0)[0] for i in range(3)]
    assert ids_of(walk(loaded, prompt, asked, 3)) == ids_of(wanted)


def test_ancestors_are_given_on_request(loaded: LoadedModel) -> None:
    how: dict[str, Any] = {"seed": 3, "via": ["figures"]}
    chains = loaded.generate(TWO, "roman", 5, return_ancestors=True, **how)
    assert [[name for name, _ in chain] for chain in chains] == [["figures", "roman"]] * 5
    assert [chain[-1][1] for chain in chains] == loaded.generate(TWO, "roman", 5, **how)
    assert [chain[0][1] for chain in chains] == loaded.generate(TWO, "figures", 5, seed=3)
    kept = loaded.generate(TWO, "roman", 5, return_ancestors=True, keep_ancestors=True, **how)
    assert [chain[0] for chain in kept] == [chain[0] for chain in chains]
    assert [chain[1] for chain in kept] != [chain[1] for chain in chains]


def test_a_modality_may_come_twice_with_draws_of_its_own() -> None:
    twice = wish(("english", "english"))
    assert draws(twice, 0, 0, 0, 12).tolist() != draws(twice, 1, 0, 0, 12).tolist()


@pytest.mark.parametrize("path", [("roman",), ("figures", "roman")])
def test_the_likeliest_candidate_wins(loaded: LoadedModel, path: tuple[str, ...]) -> None:
    prompt, asked = loaded.segments(TWO), wish(path, best_of=4)
    wanted = []
    for sample in range(2):
        candidates = [made_alone(loaded, prompt, asked, sample, c) for c in range(4)]
        wanted.append(min(candidates, key=lambda made: made[1])[0])
    assert ids_of(walk(loaded, prompt, asked, 2)) == ids_of(wanted)
    assert ids_of(walk(loaded, prompt, asked, 1)) == ids_of(wanted[:1])
    first = [made_alone(loaded, prompt, asked, sample, 0)[0] for sample in range(2)]
    assert ids_of(walk(loaded, prompt, wish(path), 2)) == ids_of(first)  # the plain sample
    assert ids_of(wanted) != ids_of(first)


def test_temperatures_hold_for_their_modality(loaded: LoadedModel) -> None:
    how: dict[str, Any] = {"via": ["figures"], "return_ancestors": True}
    made = loaded.generate(TWO, "roman", 6, temperature={"figures": 0}, **how)
    assert len({chain[0][1] for chain in made}) == 1
    assert len({chain[1][1] for chain in made}) > 1
    other = loaded.generate(TWO, "roman", 6, temperature={"roman": 0.0}, **how)
    assert len({chain[0][1] for chain in other}) > 1


def test_narrow_sampling_is_greedy(loaded: LoadedModel) -> None:
    greedy = loaded.generate(TWO, "roman", temperature=0)
    assert loaded.generate(TWO, "roman", top_p=1e-9, seed=4) == greedy
    assert loaded.generate(TWO, "roman", min_p=1.0, seed=4) == greedy


def test_guidance_reaches_the_model(loaded: LoadedModel) -> None:
    plain = loaded.generate(TWO, "roman", 6)
    assert loaded.generate(TWO, "roman", 6, guidance=1.0) == plain
    assert loaded.generate(TWO, "roman", 6, guidance=0.0) == loaded.generate({}, "roman", 6)
    both = [*TWO.items(), ("figures", "2 2")]
    weighted = loaded.generate(both, "roman", 6, guidance={"english": 3.0, "figures": -1.0})
    assert weighted != loaded.generate(both, "roman", 6)
    # Along a chain a weight holds where its modality is a condition.
    how: dict[str, Any] = {"via": ["figures"], "return_ancestors": True, "seed": 2}
    weighted = loaded.generate(TWO, "roman", 4, guidance={"figures": 0.0}, **how)
    unweighted = loaded.generate(TWO, "roman", 4, **how)
    assert [c[0] for c in weighted] == [c[0] for c in unweighted]
    assert [c[1] for c in weighted] != [c[1] for c in unweighted]


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_a_stream_grows_into_the_first_sample(loaded: LoadedModel, chunk: int) -> None:
    for seed in range(4):
        how: dict[str, Any] = {"seed": seed, "via": ["figures"], "temperature": 0.8}
        told = list(loaded.stream(TWO, "roman", chunk=chunk, **how))
        assert [progress.done for progress in told] == [False] * (len(told) - 1) + [True]
        assert [told[-1].value] == loaded.generate(TWO, "roman", **how)
        for before, after in pairwise(told):
            assert after.value.startswith(before.value)
            assert after.tokens[: len(before.tokens)].tolist() == before.tokens.tolist()
            assert 0 <= len(after.tokens) - len(before.tokens) <= chunk


def test_a_stream_leaves_the_callers_mode_alone(loaded: LoadedModel) -> None:
    import torch

    loaded.model.train()
    try:
        for _ in loaded.stream(TWO, "roman", chunk=2):
            assert loaded.model.training
            assert torch.is_grad_enabled()
    finally:
        loaded.model.eval()


def test_an_unfinished_character_is_held_back_and_other_modalities_wait(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    from loretta_framework.inference import streaming

    word = np.frombuffer("aä€".encode(), np.uint8).astype(np.int64)
    shown = [streaming._value(loaded, "roman", word[:n], n == 6) for n in range(7)]
    assert shown == ["", "a", "a", "aä", "aä", "aä", "aä€"]
    other = LoadedModel(loaded.plan, loaded.model, loaded.tokenizers, {"roman": ("png",)})
    told = list(other.stream(TWO, "roman", chunk=2))
    assert [progress.value for progress in told[:-1]] == [None] * (len(told) - 1)
    assert [told[-1].value] == loaded.generate(TWO, "roman")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, but is 0.0"),
        ({"min_p": 2.0}, "min_p must be between 0 and 1, but is 2.0"),
        ({"best_of": 0}, "best_of must be 1 or more, but is 0"),
        ({"via": "figures"}, "via must be a list of modalities, but is 'figures'"),
        ({"via": ["figurs"]}, "did you mean 'figures'"),
        (
            {"temperature": {"english": 1.0}},
            "of a modality that is generated, but 'english' is not",
        ),
        ({"temperature": {"roman": -1.0}}, "temperature must be finite and 0 or more"),
        ({"guidance": float("nan")}, "the guidance must be finite, but is nan"),
        ({"guidance": {}}, "guidance must have a weight for at least one source"),
        ({"guidance": {"figures": 2.0}}, "guidance must name sources, but 'figures' is none"),
    ],
)
def test_wishes_that_cannot_be_met_are_told(
    loaded: LoadedModel, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        loaded.generate(TWO, "roman", **how)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2
    if "best_of" not in how:
        with pytest.raises(InputError):
            loaded.stream(TWO, "roman", **how)  # at the call, not at the first item


def test_guidance_without_a_source_and_chunks_of_nothing_are_refused(loaded: LoadedModel) -> None:
    with pytest.raises(InputError, match="guidance must have a source to be guided by"):
        loaded.generate({}, "roman", guidance=2.0)
    with pytest.raises(InputError, match="chunk must be 1 or more, but is 0"):
        loaded.stream(TWO, "roman", chunk=0)
