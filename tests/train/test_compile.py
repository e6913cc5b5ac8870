"""`train.compile`: chosen from the size of the work, kept on resume, and without effect on results."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from loretta_framework.api.errors import UserError
from loretta_framework.backbones.settings import TransformerSettings
from loretta_framework.backbones.transformer import Transformer
from loretta_framework.checkpoint.run_directory import RunDirectory
from loretta_framework.checkpoint.store import load_checkpoint
from loretta_framework.recipe.load import load_recipe
from loretta_framework.sequence.batch import collate
from loretta_framework.sequence.rows import Segment, TokenRow, build_row
from loretta_framework.testing.small_models import small_sample, small_vocabulary
from loretta_framework.train import compiling
from loretta_framework.train.compiling import choose_compile, compile_blocks, compiler
from loretta_framework.train.numerics import Numerics
from loretta_framework.train.run import FinishedRun

Runner = Callable[..., FinishedRun]
CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C++ compiler here")


class Stack(nn.Module):
    """Of 1000 parameters."""

    def __init__(self, blocks: bool = True) -> None:
        super().__init__()
        layer = nn.Linear(100, 10, bias=False)
        self.blocks = nn.ModuleList([layer]) if blocks else layer


def chosen(
    world: Path, backbone: nn.Module, *overrides: str, tokens: int = 10**6, declared: bool = True
) -> tuple[bool, list[tuple[str, str, str]]]:
    told: list[tuple[str, str, str]] = []
    recipe = load_recipe(world / "small.yaml", overrides).recipe
    on = choose_compile(
        recipe, backbone, CPU, tokens, lambda *reason: told.append(reason), declared
    )
    return on, told


@needs_compiler
def test_the_choice_follows_the_size_of_the_work(world: Path) -> None:
    work = "6 x 1,000 parameters x 1000000 tokens x {} steps = {} FLOP "
    long = chosen(world, Stack(), "train.steps=17000")
    why = work.format(17000, "1.0e+14") + ">= 1.0e+14 repay it"
    assert long == (True, [("train.compile", "on", why)])
    short = chosen(world, Stack(), "train.steps=16000")
    why = work.format(16000, "9.6e+13") + "< 1.0e+14: it would not be repaid"
    assert short == (False, [("train.compile", "off", why)])
    assert chosen(world, Stack(), "train.steps=17000", "train.compile=off") == (False, [])
    assert chosen(world, Stack(), "train.compile=on") == (True, [])


@needs_compiler
def test_a_backbone_that_declares_no_gain_is_compiled_only_when_asked(world: Path) -> None:
    long = chosen(world, Stack(), "train.steps=17000", declared=False)
    why = "the backbone does not declare that its blocks gain by it"
    assert long == (False, [("train.compile", "off", why)])
    assert chosen(world, Stack(), "train.compile=on", declared=False) == (True, [])


@pytest.mark.parametrize(
    ("lacking", "what", "fix"),
    [
        ("compiler", "there is no C++ compiler", r"install g\+\+ or clang\+\+"),
        ("headers", "the headers of Python are missing", "install python3-dev"),
        ("blocks", "the backbone names no `blocks`", "use a backbone that has them"),
    ],
)
def test_what_is_lacking_is_named(
    world: Path, monkeypatch: pytest.MonkeyPatch, lacking: str, what: str, fix: str
) -> None:
    monkeypatch.setattr(
        compiling, "compiler", lambda: None if lacking == "compiler" else "/bin/true"
    )
    if lacking == "headers":
        monkeypatch.setattr(compiling.sysconfig, "get_path", lambda _: str(world))
    backbone = Stack(blocks=lacking != "blocks")
    assert chosen(world, backbone, "train.steps=17000") == (False, [("train.compile", "off", what)])
    with pytest.raises(UserError, match=re.escape(what)) as caught:
        chosen(world, backbone, "train.compile=on")
    assert caught.value.exit_code == 2
    assert caught.match(fix)
    assert caught.match("set train.compile=off")


def test_a_compiler_is_that_of_the_environment_else_the_first_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert compiler() is None
    for name in ("clang++", "mine"):
        (tmp_path / name).touch(mode=0o755)
    assert compiler() == str(tmp_path / "clang++")
    monkeypatch.setenv("CXX", "mine")
    assert compiler() == str(tmp_path / "mine")
    monkeypatch.setenv("CXX", "absent")
    assert compiler() is None


def test_blocks_are_compiled_for_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def compile_(forward: Callable[..., object], *, dynamic: bool) -> Callable[..., object]:
        assert dynamic
        return lambda *given: (calls.append("compiled"), forward(*given))[1]

    monkeypatch.setattr(torch, "compile", compile_)
    settings = TransformerSettings(width=32, depth=1, heads=2)
    backbone = Transformer(settings, "sdpa").eval()
    numerics = Numerics(CPU, bf16=False, threads=1, workers=0, form="packed")
    compile_blocks(backbone, numerics, (2, 6))
    assert calls == ["compiled"] * 2  # with lines of one document and of two, before any step
    assert backbone.training
    assert all(parameter.grad is None for parameter in backbone.parameters())
    batch = collate(rows_of_small_samples())
    x_BTD = torch.ones(*batch.ids_BT.shape, 32)
    calls.clear()
    trained = backbone(x_BTD, batch.layout)
    assert calls == ["compiled"]
    with torch.no_grad():
        backbone(x_BTD, batch.layout)
        cache = backbone.new_cache(*batch.ids_BT.shape)
        backbone.extend(x_BTD, batch.layout, cache)
    torch.testing.assert_close(backbone.eval()(x_BTD, batch.layout), trained)
    assert calls == ["compiled"]


@pytest.mark.parametrize("form", ["sdpa", "matmul"])
@pytest.mark.parametrize("settings", [{}, {"window": 3, "kv_heads": 1, "qk_norm": True}])
def test_a_block_is_one_graph(
    monkeypatch: pytest.MonkeyPatch, form: str, settings: dict[str, Any]
) -> None:
    # A block that falls apart is compiled without complaint, and as slow as it was before.
    traced: list[str] = []

    def kept(module: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        traced.append(form)
        return module.forward

    def compile_(forward: Callable[..., object], *, dynamic: bool) -> Callable[..., object]:
        return compiled(forward, dynamic=dynamic, fullgraph=True, backend=kept)

    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", compile_)
    torch._dynamo.reset()
    backbone = Transformer(TransformerSettings(width=32, depth=2, heads=2, **settings), form)
    numerics = Numerics(CPU, bf16=False, threads=1, workers=0, form="packed")
    compile_blocks(backbone, numerics, (3, 6))
    assert len(traced) == 2  # for lines of one document and of several; all blocks share them


def rows_of_small_samples() -> list[TokenRow]:
    vocabulary = small_vocabulary()
    samples = [small_sample(number, "text", "image") for number in range(3)]
    return [build_row(vocabulary, [Segment(*part) for part in s.parts], s.key) for s in samples]


def test_a_resumed_run_keeps_the_choice(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run("one").directory
    (kept,) = [r for r in RunDirectory.open(folder).read_plan().reasons if r.key == "train.compile"]
    assert kept.choice == "off"
    shutil.rmtree(folder / "checkpoints" / "step-00000016")
    monkeypatch.setitem(compiling.REPAID_FLOP, "cpu", 0.0)
    told: list[str] = []
    run("one", resume=True, say=told.append)
    assert not any("bit for bit" in text for text in told)
    state = load_checkpoint(folder / "checkpoints" / "step-00000016").state
    assert state["numerics"]["train.compile"] == "off"


@needs_compiler
@pytest.mark.soak
def test_a_compiled_run_has_the_losses_of_an_eager_one_and_resumes_bit_for_bit(
    run: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ("backbone.settings.dropout=0.0",)
    eager = losses(run("eager", *plain).directory)
    monkeypatch.setitem(compiling.REPAID_FLOP, "cpu", 0.0)
    whole = run("whole", *plain).directory
    assert losses(whole) == pytest.approx(eager, rel=2e-3)
    resumed = whole.parent / "resumed"
    shutil.copytree(whole, resumed)
    for step in (15, 16):
        shutil.rmtree(resumed / "checkpoints" / f"step-{step:08d}")
    torch._dynamo.reset()  # as a new process begins, and with a batch of another shape
    told: list[str] = []
    run("resumed", *plain, resume=True, say=told.append)
    assert any("train.compile = on (chosen when the run started)" in text for text in told)
    saved = [
        load_checkpoint(folder / "checkpoints" / "step-00000016").tensors
        for folder in (whole, resumed)
    ]
    for group, tensors in saved[0].items():
        for name, tensor in tensors.items():
            assert torch.equal(tensor, saved[1][group][name]), f"{group}/{name}"


def losses(directory: Path) -> list[float]:
    text = (directory / "metrics.jsonl").read_text()
    return [json.loads(line)["loss"] for line in text.splitlines()]
