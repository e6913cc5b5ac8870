"""What a CUDA graph would record, run on the CPU; and how graphs are kept, with stand-ins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from loretta_framework.api import random
from loretta_framework.generation import graphs
from loretta_framework.generation.block import Draw
from loretta_framework.generation.decode import generate
from loretta_framework.generation.guidance import variants_of
from loretta_framework.generation.sampling import Sampling
from loretta_framework.generation.steps import steps_of
from loretta_framework.model.any_to_any import AnyToAny
from loretta_framework.sequence.rows import Segment, TokenRow, build_row
from loretta_framework.testing.small_models import small_model, small_prompts


def uniforms(count: int) -> np.ndarray:
    return np.stack([random.generator(6, "graphs", i).random(9) for i in range(count)])


def rows_of(model: AnyToAny, given: list[list[Segment]], draw: Draw) -> list[TokenRow]:
    return [
        build_row(model.vocabulary, variant.of(prompt), open_target=draw.steps.target)
        for variant in draw.variants
        for prompt in given
    ]


def draw_of(model: AnyToAny, guidance: float | None = None, **how: Any) -> Draw:
    return Draw(steps_of(model.vocabulary, "image"), Sampling(**how), variants_of(guidance))


@pytest.mark.parametrize("count", [1, 5, 13])
@pytest.mark.parametrize("guidance", [None, 2.5])
@pytest.mark.parametrize("how", [{}, {"temperature": 0.0}, {"top_k": 3, "top_p": 0.9}])
@torch.no_grad()
def test_the_block_of_fixed_shapes_gives_the_ordinary_tokens(
    count: int, guidance: float | None, how: dict[str, Any]
) -> None:
    model = small_model().eval()
    given, numbers = small_prompts(count, "text", "speech"), uniforms(count)
    wanted = generate(model, given, "image", numbers, sampling=Sampling(**how), guidance=guidance)
    draw = draw_of(model, guidance, **how)
    numbers_TB = torch.from_numpy(numbers[:, :4].T.copy())
    inputs = graphs.block_inputs(rows_of(model, given, draw), len(draw.variants), numbers_TB)
    assert inputs.ids_RT.shape[1] % graphs.PROMPT_STEP == 0
    assert inputs.uniforms_TB.shape[1] == graphs.row_size(count)
    made = graphs.whole_block(model, inputs, draw).T[:count]
    assert made.tolist() == [ids.tolist() for ids in wanted]


def test_row_sizes_waste_little() -> None:
    sizes = sorted({graphs.row_size(rows) for rows in range(1, 257)})
    assert sizes[:10] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert len(sizes) <= 48
    assert all(rows <= graphs.row_size(rows) <= max(8, 1.125 * rows) for rows in range(1, 1000))


def test_why_a_block_is_not_of_fixed_shapes() -> None:
    model = small_model()
    draw = draw_of(model)
    rows = rows_of(model, small_prompts(2, "text"), draw)
    assert graphs.why_not(model, rows, draw) == "the model lies on cpu, and only CUDA has graphs"
    on_gpu: Any = SimpleNamespace(
        embedding=SimpleNamespace(weight=SimpleNamespace(device=torch.device("cuda")))
    )
    assert graphs.why_not(on_gpu, rows, draw) is None
    varying = Draw(steps_of(model.vocabulary, "text"), Sampling())
    assert graphs.why_not(on_gpu, rows, varying) == "the length of 'text' varies"
    continuous: Any = [SimpleNamespace(features=(("wave", np.zeros(1)),))]
    assert graphs.why_not(on_gpu, continuous, draw) == "a source is continuous"


class Replayer:
    """Stands for a CUDA graph: replaying it computes from the addresses it was captured with."""

    replays = 0

    def __init__(self, model: AnyToAny, inputs: graphs.BlockInputs, draw: Draw) -> None:
        self.work = (model, inputs, draw)
        self.tokens_TB = graphs.whole_block(*self.work)

    def replay(self) -> None:
        Replayer.replays += 1
        self.tokens_TB.copy_(graphs.whole_block(*self.work))

    def pool(self) -> str:
        return "pool"


@pytest.fixture
def as_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    def capture(model: AnyToAny, inputs: graphs.BlockInputs, draw: Draw, pool: Any) -> Any:
        graph = Replayer(model, inputs, draw)
        return graphs.Captured(graph, inputs, graph.tokens_TB)

    Replayer.replays = 0
    monkeypatch.setattr(graphs, "capture", capture)
    monkeypatch.setattr(graphs, "why_not", lambda model, rows, draw: None)


@pytest.mark.usefixtures("as_on_cuda")
def test_the_second_block_of_its_shapes_is_captured_and_later_ones_replayed() -> None:
    model = small_model()
    wanted = {
        start: generate(
            model, small_prompts(start + 5, "text")[start:], "image", uniforms(5), graphs=False
        )
        for start in range(4)
    }
    for start, tokens in wanted.items():
        found = generate(model, small_prompts(start + 5, "text")[start:], "image", uniforms(5))
        assert [x.tolist() for x in found] == [x.tolist() for x in tokens]
        assert graphs.captured_blocks(model) == int(start > 0)
    assert Replayer.replays == 3
    with torch.no_grad():  # live weights are read where they lie
        model.embedding.weight.add_(0.3)
    plain = generate(model, small_prompts(5, "text"), "image", uniforms(5), graphs=False)
    again = generate(model, small_prompts(5, "text"), "image", uniforms(5))
    assert [x.tolist() for x in again] == [x.tolist() for x in plain]
    assert Replayer.replays == 4


@pytest.mark.usefixtures("as_on_cuda")
def test_weights_that_lie_elsewhere_have_a_graph_of_their_own() -> None:
    model = small_model()
    for _ in range(3):
        generate(model, small_prompts(2, "text"), "image", uniforms(2))
    model.embedding.weight.data = model.embedding.weight.data * 0.5
    for _ in range(3):
        found = generate(model, small_prompts(2, "text"), "image", uniforms(2))
    plain = generate(model, small_prompts(2, "text"), "image", uniforms(2), graphs=False)
    assert [x.tolist() for x in found] == [x.tolist() for x in plain]
    assert graphs.captured_blocks(model) == 2


@pytest.mark.usefixtures("as_on_cuda")
def test_few_graphs_are_kept_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "KEPT", 2)
    model = small_model()
    for count in (1, 2, 3):
        for _ in range(2):
            generate(model, small_prompts(count, "text"), "image", uniforms(count))
    assert graphs.captured_blocks(model) == 2
    assert graphs.captured_blocks(small_model()) == 0


def test_what_cannot_be_captured_is_told_once_and_runs_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def capture(*_: Any) -> Any:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(graphs, "capture", capture)
    monkeypatch.setattr(graphs, "why_not", lambda model, rows, draw: None)
    model = small_model()
    first = generate(model, small_prompts(3, "text"), "image", uniforms(3))
    with pytest.warns(
        UserWarning, match="'image' is generated without a CUDA graph: operation not"
    ):
        second = generate(model, small_prompts(3, "text"), "image", uniforms(3))
    third = generate(model, small_prompts(3, "text"), "image", uniforms(3))
    assert (
        [x.tolist() for x in first] == [x.tolist() for x in second] == [x.tolist() for x in third]
    )
