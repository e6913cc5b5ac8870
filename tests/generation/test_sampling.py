"""Which ids are kept, and that a draw is of them alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from loretta_framework.generation.sampling import Sampling, kept, sample

INF = float("inf")
LOGITS = arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(1, 12)),
    elements=st.floats(-8, 8, width=32),
)
SAMPLINGS = st.builds(
    Sampling,
    temperature=st.floats(0.05, 5),
    top_k=st.none() | st.integers(1, 14),
    top_p=st.none() | st.floats(0.01, 1),
    min_p=st.none() | st.floats(0, 1),
)


def slow_kept(logits_G: np.ndarray, how: Sampling) -> set[int]:
    """The definitions, one after the other, in Python's own floats."""
    chances = {
        i: float(np.exp(np.float64(x - logits_G.max()) / how.temperature))
        for i, x in enumerate(logits_G)
    }
    if how.top_k is not None:
        least = sorted(chances.values(), reverse=True)[: how.top_k][-1]
        chances = {i: p for i, p in chances.items() if p >= least}
    if how.top_p is not None:
        total, so_far, left = sum(chances.values()), 0.0, {}
        for i in sorted(chances, key=lambda i: (-chances[i], i)):
            if so_far >= how.top_p * total and left:
                break
            left[i] = chances[i]
            so_far += chances[i]
        chances = left
    if how.min_p is not None:
        top = max(chances.values())
        chances = {i: p for i, p in chances.items() if p >= how.min_p * top}
    return set(chances)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_the_ids_kept_are_those_of_the_definitions(data: st.DataObject) -> None:
    # Whole numbers, far from the ties and the borders at which rounding decides.
    count = data.draw(st.integers(1, 12))
    logits_G = np.array(data.draw(st.permutations(range(count))), np.float32) * 0.7
    how = data.draw(
        st.builds(
            Sampling,
            temperature=st.sampled_from([0.5, 1.0, 2.5]),
            top_k=st.none() | st.integers(1, 14),
            top_p=st.none() | st.sampled_from([0.013, 0.31, 0.52, 0.77, 0.93, 0.999]),
            min_p=st.none() | st.sampled_from([0.0, 0.011, 0.13, 0.37, 0.9]),
        )
    )
    found = kept(torch.from_numpy(logits_G)[None], how)[0]
    assert {i for i, x in enumerate(found.tolist()) if x > -INF} == slow_kept(logits_G, how)
    left = found > -INF
    scaled = torch.from_numpy(logits_G).double() / how.temperature
    assert torch.allclose(found[left], scaled[left], rtol=1e-12)  # so that softmax renormalises


@settings(deadline=None, max_examples=150)
@given(LOGITS, SAMPLINGS, st.data())
def test_one_id_stays_and_a_forbidden_one_never_comes(
    logits_NG: np.ndarray, how: Sampling, data: st.DataObject
) -> None:
    logits = torch.from_numpy(logits_NG)
    count, ids = logits.shape
    forbidden = data.draw(st.sets(st.integers(0, ids - 1), max_size=ids - 1))
    logits[:, sorted(forbidden)] = -INF
    numbers = data.draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=count, max_size=count))
    uniforms = torch.tensor(numbers, dtype=torch.float64)
    stays = kept(logits, how) > -INF
    assert stays.any(dim=1).all()
    assert stays.gather(1, logits.argmax(1, keepdim=True)).all()
    drawn = sample(logits, uniforms, how)
    assert stays.gather(1, drawn[:, None]).all()
    assert not forbidden & set(drawn.tolist())
    alone = [int(sample(logits[i : i + 1], uniforms[i : i + 1], how)) for i in range(count)]
    assert drawn.tolist() == alone


@settings(deadline=None, max_examples=60)
@given(LOGITS, st.floats(0.05, 5))
def test_top_p_of_one_min_p_of_zero_and_a_large_top_k_change_nothing(
    logits_NG: np.ndarray, temperature: float
) -> None:
    logits = torch.from_numpy(logits_NG)
    plain = kept(logits, Sampling(temperature))
    idle = Sampling(temperature, top_k=logits.shape[1], top_p=1.0, min_p=0.0)
    assert torch.equal(kept(logits, idle), plain)


def test_draws_have_the_renormalised_frequencies() -> None:
    logits = torch.log(torch.tensor([[0.4, 0.1, 0.3, 0.15, 0.05]]))
    numbers = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    drawn = sample(logits.expand(1000, -1), numbers, Sampling(top_p=0.6))
    counts = torch.bincount(drawn, minlength=5).tolist()
    assert counts == pytest.approx([571, 0, 429, 0, 0], abs=1)


def test_the_order_is_top_k_then_top_p_then_min_p() -> None:
    logits = torch.log(torch.tensor([[0.4, 0.3, 0.2, 0.1]]))

    def stay(how: Sampling) -> list[int]:
        return (kept(logits, how)[0] > -INF).nonzero().flatten().tolist()

    assert stay(Sampling(top_p=0.65)) == [0, 1]
    assert stay(Sampling(top_k=2, top_p=0.55)) == [0]  # 0.4 of the 0.7 left is enough
    assert stay(Sampling(min_p=0.45)) == [0, 1, 2]
    assert stay(Sampling(top_p=0.65, min_p=0.8)) == [0]
    assert stay(Sampling(temperature=0.5, top_p=0.65)) == [0, 1]  # 16/30, then 9/30


def test_of_equally_likely_ids_top_p_keeps_the_lower() -> None:
    found = kept(torch.zeros(1, 4), Sampling(top_p=0.5))[0]
    assert found.tolist() == [0.0, 0.0, -INF, -INF]


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"temperature": -1.0}, "temperature must be finite and 0 or more, but is -1.0"),
        ({"temperature": INF}, "temperature must be finite and 0 or more, but is inf"),
        ({"top_k": 0}, "top_k must be 1 or more, but is 0"),
        ({"top_p": 0.0}, "top_p must be above 0 and at most 1, but is 0.0"),
        ({"top_p": 1.5}, "top_p must be above 0 and at most 1, but is 1.5"),
        ({"min_p": -0.1}, "min_p must be between 0 and 1, but is -0.1"),
        ({"min_p": float("nan")}, "min_p must be between 0 and 1, but is nan"),
    ],
)
def test_numbers_out_of_range_are_refused(how: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Sampling(**how)  # type: ignore[arg-type]
