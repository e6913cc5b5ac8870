"""Whether flash-fft-conv is taken, with a stand-in for what needs a GPU."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from loretta_plugin_hyena import kernels
from loretta_plugin_hyena.convolution import convolve
from loretta_plugin_hyena.hyena import Hyena, build_hyena
from loretta_plugin_hyena.kernels import (
    INSTALL,
    PLAIN,
    FlashConvolution,
    Kernels,
    choose_kernels,
    require_convolution,
)
from loretta_plugin_hyena.settings import TRIAL, HyenaSettings
from torch import Tensor, nn

import loretta_framework as loretta
from loretta_framework.api import MissingDependencyError, SequenceLayout, UserError
from loretta_framework.registry import Registry
from loretta_framework.testing.toy_worlds import write_bijection_world, write_recipe

NAME = "flashfftconv"
sizes: list[int] = []


class FlashFFTConv(nn.Module):
    """Signature and demands of flash-fft-conv; what it computes is the plain form's."""

    def __init__(
        self, seqlen: int, dtype: torch.dtype = torch.float16, use_32_butterfly: bool = True
    ) -> None:
        super().__init__()
        assert dtype in (torch.bfloat16, torch.float16)
        assert 256 <= seqlen <= 4_194_304
        assert seqlen & (seqlen - 1) == 0
        self.seqlen, self.dtype = seqlen, dtype

    def forward(self, u: Tensor, k: Tensor, pregate: Any = None, postgate: Any = None) -> Tensor:
        sizes.append(self.seqlen)
        assert u.is_contiguous()
        assert k.is_contiguous()
        assert u.dtype == self.dtype
        assert k.dtype == torch.float32
        _, channels, tokens = u.shape
        assert tokens % (4 if self.seqlen in (512, 2048) else 2) == 0
        assert channels % 16 == 0 or self.seqlen <= 32_768
        assert self.seqlen >= tokens + k.shape[-1]
        wide = torch.nn.functional.pad(k, (0, tokens - k.shape[-1]))
        return convolve(u.transpose(0, 1).float(), wide).transpose(0, 1).to(u.dtype)


class Late(FlashFFTConv):
    """Wrong: its results come one token late."""

    def forward(self, u: Tensor, k: Tensor, pregate: Any = None, postgate: Any = None) -> Tensor:
        return super().forward(u, k).roll(1, -1)


class Notes:
    """A context that keeps what it is told."""

    def __init__(self) -> None:
        self.told: dict[str, tuple[str, str]] = {}

    def note(self, key: str, choice: str, reason: str) -> None:
        self.told[key] = (choice, reason)


def install(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    """Put a stand-in where the package would be, and pretend that there is a CUDA device."""
    monkeypatch.setitem(sys.modules, NAME, ModuleType(NAME))
    monkeypatch.setattr(sys.modules[NAME], "FlashFFTConv", module, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    compare = require_convolution
    monkeypatch.setattr(kernels, "require_convolution", lambda flash, _: compare(flash, "cpu"))


def settings(**changes: Any) -> HyenaSettings:
    return HyenaSettings(**{**TRIAL.settings, **changes})


def alone(tokens: int) -> SequenceLayout:
    """Two rows of one document each."""
    documents_BT = torch.tensor([[0], [1]]).expand(2, tokens)
    positions_BT = torch.arange(tokens).expand(2, tokens)
    ends = torch.tensor([0, tokens, 2 * tokens], dtype=torch.int32)
    return SequenceLayout(documents_BT, positions_BT, ends, tokens, packed=False)


@pytest.mark.parametrize("asked", ["auto", "flash_fft_conv"])
@pytest.mark.parametrize(("tokens", "size"), [(23, 256), (125, 256), (126, 512), (300, 1024)])
def test_the_kernel_that_is_there_is_taken_and_computes_the_same(
    asked: str, tokens: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FlashFFTConv)
    monkeypatch.setattr(kernels, "takes", lambda x: True)
    context = Notes()
    torch.manual_seed(0)
    fast = build_hyena(settings(kernel=asked), context)  # type: ignore[arg-type]
    assert context.told["backbone.settings.kernel"][0] == "flash_fft_conv"
    slow = Hyena(settings(), PLAIN)
    slow.load_state_dict(fast.state_dict())
    sizes.clear()
    results = []
    for model in (fast, slow):
        x_BTD = torch.linspace(-2, 2, 2 * tokens * 16).view(2, tokens, 16).sin().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            out = model(x_BTD, alone(tokens))
        leaves = [x_BTD, *model.parameters()]
        weights = torch.linspace(-1, 1, out.numel()).view_as(out)
        results.append([out, *torch.autograd.grad((out * weights).sum(), leaves)])
    assert sizes == [size] * 4
    for one, other in zip(*results, strict=True):
        error = (one - other).detach().square().mean().sqrt()
        assert float(error) <= 0.03 * float(other.detach().square().mean().sqrt())
    sizes.clear()
    cache = fast.new_cache(2, tokens)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert fast.extend(x_BTD, alone(tokens), cache).isfinite().all()
    assert sizes == []


def test_float32_is_computed_in_plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FlashFFTConv)
    monkeypatch.setattr(kernels, "takes", lambda x: True)
    torch.manual_seed(0)
    model = build_hyena(settings(), Notes())  # type: ignore[arg-type]
    sizes.clear()
    assert model(torch.randn(2, 9, 16), alone(9)).isfinite().all()
    assert sizes == []


def test_without_a_device_auto_takes_plain_torch_and_says_why() -> None:
    context = Notes()
    assert choose_kernels(settings(), context.note) == PLAIN
    why = "flashfftconv needs a CUDA device, and there is none"
    assert context.told == {"backbone.settings.kernel": ("reference", why)}


def test_with_a_device_and_without_the_package_auto_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, None)
    monkeypatch.setitem(sys.modules, NAME, None)
    context = Notes()
    assert choose_kernels(settings(), context.note) == PLAIN
    reason = context.told["backbone.settings.kernel"][1]
    assert reason.startswith("flashfftconv cannot be imported (")
    assert reason.endswith(f"to have it: {INSTALL}")


def test_a_kernel_that_is_wrong_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Late)
    context = Notes()
    assert choose_kernels(settings(), context.note) == PLAIN
    assert context.told["backbone.settings.kernel"] == (
        "reference",
        "flashfftconv is installed, but not taken: its results differ from plain torch for "
        "50 tokens",
    )


def test_plain_torch_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FlashFFTConv)
    context = Notes()
    assert choose_kernels(settings(kernel="reference"), context.note) == PLAIN
    assert context.told == {"backbone.settings.kernel": ("reference", "asked for in the recipe")}


def test_a_model_on_the_cpu_of_a_cuda_machine_is_computed_in_plain_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, FlashFFTConv)
    torch.manual_seed(0)
    model = build_hyena(settings(), Notes())  # type: ignore[arg-type]
    slow = Hyena(settings(), PLAIN)
    slow.load_state_dict(model.state_dict())
    sizes.clear()
    x_BTD = torch.randn(2, 23, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(x_BTD, alone(23)), slow(x_BTD, alone(23)))
    assert sizes == []


def test_an_absent_kernel_asked_for_by_name_is_an_error_in_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, NAME, None)
    context, x_BTD = Notes(), torch.randn(2, 23, 16)
    model = build_hyena(settings(kernel="flash_fft_conv"), context)  # type: ignore[arg-type]
    choice, why = context.told["backbone.settings.kernel"]
    assert choice == "flash_fft_conv"
    assert why.startswith("asked for in the recipe; it cannot train here: ")
    with pytest.raises(MissingDependencyError, match="needs flashfftconv") as caught:
        model(x_BTD, alone(23))
    assert caught.value.where == "backbone.settings.kernel"
    assert caught.value.fix == f"{INSTALL}, or use kernel: auto"
    assert model.eval()(x_BTD, alone(23)).isfinite().all()


@pytest.mark.parametrize(
    ("there", "x_CNL", "what"),
    [
        (False, torch.zeros(16, 1, 9), "trains on a CUDA device, but the model lies on cpu"),
        (True, torch.zeros(16, 1, 9), "these are torch.float32, 256 and 16"),
        (True, torch.zeros(8, 1, 20_000).bfloat16(), "these are torch.bfloat16, 65536 and 8"),
        (True, torch.zeros(16, 1, 2_100_000).bfloat16(), "torch.bfloat16, 8388608 and 16"),
    ],
    ids=["elsewhere", "float32", "channels", "too long"],
)
def test_a_kernel_asked_for_by_name_refuses_what_it_cannot_train(
    there: bool, x_CNL: Tensor, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "takes", lambda x: there)
    asked = Kernels(FlashConvolution(FlashFFTConv), asked=True)
    with pytest.raises(UserError, match=what) as caught:
        asked.convolve_for(x_CNL, training=True)
    assert caught.value.where == "backbone.settings.kernel"
    assert caught.value.fix.startswith("use kernel: auto, which takes plain torch where")
    assert asked.convolve_for(x_CNL, training=False) is kernels.plain_convolve


def test_a_run_that_was_trained_with_the_kernel_generates_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FlashFFTConv)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(kernels, "takes", lambda x: True)
    write_bijection_world(tmp_path, count=20)
    recipe = write_recipe(
        tmp_path / "small.yaml",
        lengths={"a": 4, "b": 4, "c": 4},
        train={"ab": "ab", "bc": "bc"},
        objectives=[{"kind": "causal"}],
        steps=2,
        batch_tokens=100,
        backbone={
            "kind": "hyena.hyena",
            "settings": {**TRIAL.settings, "kernel": "flash_fft_conv"},
        },
    )
    loaded = loretta.load_recipe(recipe, ["train.threads=1", "train.precision=bf16"])
    sizes.clear()
    loretta.train(loaded, run_dir=tmp_path / "run")
    assert sizes
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, NAME, None)
    model = loretta.load(tmp_path / "run")
    (text,) = model.generate({"c": "abcd"}, to="a", seed=0)
    assert isinstance(text, str)
    with pytest.raises(MissingDependencyError, match="needs flashfftconv"):
        loretta.train(loaded, run_dir=tmp_path / "second")


def test_the_probe_compares_with_plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    require_convolution(FlashConvolution(FlashFFTConv), "cpu")
    with pytest.raises(RuntimeError, match="its results differ from plain torch for 50 tokens"):
        require_convolution(FlashConvolution(Late), "cpu")
    install(monkeypatch, FlashFFTConv)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    monkeypatch.setattr(kernels.metadata, "version", lambda package: "0.0.0")
    wanted = "flashfftconv 0.0.0 works, forward and backward, on a card"
    assert kernels.probe_flash_fft_conv() == wanted


def test_the_probe_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FlashFFTConv)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match="it needs a CUDA device, and there is none"):
        kernels.probe_flash_fft_conv()
    monkeypatch.setitem(sys.modules, NAME, None)
    with pytest.raises(ImportError):
        kernels.probe_flash_fft_conv()


def test_messages_and_the_spec_give_one_command() -> None:
    (kernel,) = Registry.discover({"hyena"}).component("hyena.hyena").kernels
    assert (kernel.package, kernel.install) == (kernels.PACKAGE, INSTALL)
