"""Which kernels are taken, with stand-ins for packages that need a GPU."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from loretta_plugin_mamba import kernels
from loretta_plugin_mamba.kernels import PLAIN, choose_kernels, require_convolution, require_scan
from loretta_plugin_mamba.mamba2 import Mamba2, build_mamba2
from loretta_plugin_mamba.settings import TRIAL, Mamba2Settings
from loretta_plugin_mamba.ssd import ssd
from torch import Tensor
from torch.nn import functional

import loretta_framework as loretta
from loretta_framework.api import MissingDependencyError, SequenceLayout, UserError
from loretta_framework.testing.toy_worlds import write_bijection_world, write_recipe

SCAN, CONVOLUTION = "mamba_ssm.ops.triton.ssd_combined", "causal_conv1d"
calls: list[str] = []


class Notes:
    """A context that keeps what it is told."""

    def __init__(self) -> None:
        self.told: dict[str, tuple[str, str]] = {}

    def note(self, key: str, choice: str, reason: str) -> None:
        self.told[key] = (choice, reason)


def mamba_chunk_scan_combined(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, chunk_size: int, D: Any = None,
    z: Any = None, dt_bias: Any = None, initial_states: Any = None, seq_idx: Any = None,
    cu_seqlens: Any = None, dt_softplus: bool = False, dt_limit: Any = (0.0, float("inf")),
    return_final_states: bool = False, return_varlen_states: bool = False,
) -> Any:  # fmt: skip
    """Signature and shapes of mamba-ssm 2.3; what it computes is the plain form's."""
    calls.append("scan")
    assert seq_idx.dtype == torch.int32
    assert B.shape == C.shape == (*x.shape[:2], 1, B.shape[-1])
    assert chunk_size >= 16
    assert chunk_size & (chunk_size - 1) == 0
    assert return_final_states
    assert not dt_softplus
    y, state = ssd(x, dt, A, B[:, :, 0], C[:, :, 0], seq_idx.long(), initial_states, chunk_size)
    return y.to(x.dtype), state


def causal_conv1d_fn(
    x: Tensor, weight: Tensor, bias: Any = None, seq_idx: Any = None, initial_states: Any = None,
    return_final_states: bool = False, final_states_out: Any = None, activation: Any = None,
) -> Tensor:  # fmt: skip
    """Signature and demands of causal-conv1d 1.5 on x (B, E, T) where `seq_idx` is given."""
    calls.append("convolution")
    assert x.stride(1) == 1
    assert seq_idx.dtype == torch.int32
    assert activation == "silu"
    out = torch.zeros_like(x)
    for back in range(weight.shape[1]):
        shifted = functional.pad(x, (back, 0))[..., : x.shape[2]]
        owner = functional.pad(seq_idx, (back, 0), value=-1)[:, : x.shape[2]]
        out = out + weight[:, -1 - back, None] * shifted * (owner == seq_idx)[:, None]
    return functional.silu(out + bias[:, None])


def refuses(*given: Tensor, **options: Any) -> Any:
    """A kernel that is given what does not lie on a CUDA device, as it meets it."""
    raise ValueError("Expected a CUDA tensor, but got one on the CPU")


def install(monkeypatch: pytest.MonkeyPatch, scan: Any, convolution: Any) -> None:
    """Put stand-ins where the packages would be, and pretend that there is a CUDA device."""
    for name in ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.triton", SCAN, CONVOLUTION):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules[SCAN], "mamba_chunk_scan_combined", scan, raising=False)
    monkeypatch.setattr(sys.modules[CONVOLUTION], "causal_conv1d_fn", convolution, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def settings(**changes: Any) -> Mamba2Settings:
    return Mamba2Settings(**{**TRIAL.settings, **changes})


@pytest.fixture
def packed() -> SequenceLayout:
    documents_BT = torch.tensor([[0] * 9 + [1] * 14, [2] * 20 + [-1] * 3])
    positions_BT = torch.tensor([[*range(9), *range(14)], [*range(20), 0, 0, 0]])
    ends = torch.tensor([0, 9, 23, 43], dtype=torch.int32)
    return SequenceLayout(documents_BT, positions_BT, ends, 20, packed=True)


@pytest.mark.parametrize("asked", ["auto", "mamba_ssm"])
def test_kernels_that_are_there_are_taken_and_compute_the_same(
    asked: str, packed: SequenceLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, mamba_chunk_scan_combined, causal_conv1d_fn)
    monkeypatch.setattr(kernels, "takes", lambda x: True)
    context = Notes()
    torch.manual_seed(0)
    fast = build_mamba2(settings(kernel=asked), context)  # type: ignore[arg-type]
    assert context.told["backbone.settings.kernel"][0] == "mamba_ssm"
    assert context.told["backbone.convolution"][0] == "causal_conv1d"
    slow = Mamba2(settings(), PLAIN)
    slow.load_state_dict(fast.state_dict())
    calls.clear()
    results = []
    real = packed.documents_BT >= 0
    for model in (fast, slow):
        x_BTD = torch.linspace(-2, 2, 2 * 23 * 16).view(2, 23, 16).sin().requires_grad_()
        out = model(x_BTD, packed)[real]
        leaves = [x_BTD, *model.parameters()]
        weights = torch.linspace(-1, 1, out.numel()).view_as(out)
        results.append([out, *torch.autograd.grad((out * weights).sum(), leaves)])
    assert sorted(calls) == ["convolution"] * 2 + ["scan"] * 2
    for one, other in zip(*results, strict=True):
        scale = float(other.detach().abs().max())
        torch.testing.assert_close(one, other, rtol=0, atol=3e-6 * scale)
    calls.clear()
    cache = fast.new_cache(2, 23)
    assert fast.extend(x_BTD.detach(), packed, cache).isfinite().all()
    assert calls == []


def test_without_a_device_auto_takes_plain_torch_and_says_why() -> None:
    context = Notes()
    assert choose_kernels(settings(), context.note) == PLAIN
    assert context.told == {
        "backbone.settings.kernel": (
            "reference",
            "mamba-ssm needs a CUDA device, and there is none",
        ),
        "backbone.convolution": ("torch", "causal-conv1d needs a CUDA device, and there is none"),
    }


def test_with_a_device_and_without_packages_auto_names_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, None, None)
    for name in ("mamba_ssm", SCAN, CONVOLUTION):
        monkeypatch.setitem(sys.modules, name, None)
    context = Notes()
    assert choose_kernels(settings(), context.note) == PLAIN
    for package, key in (
        ("mamba-ssm", "backbone.settings.kernel"),
        ("causal-conv1d", "backbone.convolution"),
    ):
        reason = context.told[key][1]
        assert reason.startswith(f"{package} cannot be imported (")
        assert reason.endswith(f"to have it: {kernels.INSTALL}")


def test_a_convolution_that_the_kernel_cannot_do_stays_in_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, mamba_chunk_scan_combined, causal_conv1d_fn)
    context = Notes()
    chosen = choose_kernels(settings(conv=6), context.note)
    assert chosen.convolve is None
    assert "takes 2 to 4 taps" in context.told["backbone.convolution"][1]


def test_plain_torch_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, mamba_chunk_scan_combined, causal_conv1d_fn)
    context = Notes()
    assert choose_kernels(settings(kernel="reference"), context.note) == PLAIN
    assert context.told == {"backbone.settings.kernel": ("reference", "asked for in the recipe")}


@pytest.mark.parametrize("asked", ["auto", "mamba_ssm"])
def test_a_model_on_the_cpu_of_a_cuda_machine_is_computed_in_plain_torch(
    asked: str, packed: SequenceLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, refuses, refuses)
    torch.manual_seed(0)
    model = build_mamba2(settings(kernel=asked), Notes()).eval()  # type: ignore[arg-type]
    slow = Mamba2(settings(), PLAIN).eval()
    slow.load_state_dict(model.state_dict())
    x_BTD = torch.randn(2, 23, 16)
    assert torch.equal(model(x_BTD, packed), slow(x_BTD, packed))
    assert model.extend(x_BTD, packed, model.new_cache(2, 23)).isfinite().all()
    monkeypatch.setattr(kernels, "takes", lambda x: True)
    with pytest.raises(ValueError, match="Expected a CUDA tensor"):
        model(x_BTD, packed)


def test_auto_trains_on_the_cpu_of_a_cuda_machine(
    packed: SequenceLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, refuses, refuses)
    model = build_mamba2(settings(), Notes())  # type: ignore[arg-type]
    assert model.training
    assert model(torch.randn(2, 23, 16), packed).isfinite().all()


def test_an_absent_kernel_asked_for_by_name_is_an_error_in_training(
    packed: SequenceLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    context, x_BTD = Notes(), torch.randn(2, 23, 16)
    model = build_mamba2(settings(kernel="mamba_ssm"), context)  # type: ignore[arg-type]
    choice, why = context.told["backbone.settings.kernel"]
    assert choice == "mamba_ssm"
    assert why.startswith("asked for in the recipe; it cannot train here: ")
    with pytest.raises(MissingDependencyError, match="needs mamba-ssm") as caught:
        model(x_BTD, packed)
    assert caught.value.where == "backbone.settings.kernel"
    assert "pip install --no-build-isolation 'loretta-plugin-mamba[kernels]'" in caught.value.fix
    assert model.eval()(x_BTD, packed).isfinite().all()


def test_a_kernel_asked_for_by_name_does_not_train_on_the_cpu(
    packed: SequenceLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, refuses, refuses)
    model = build_mamba2(settings(kernel="mamba_ssm"), Notes())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="on a CUDA device, but the model lies on cpu") as caught:
        model(torch.randn(2, 23, 16), packed)
    assert caught.value.where == "backbone.settings.kernel"
    assert caught.value.fix == "use kernel: auto, which takes plain torch here"


def test_a_run_that_was_trained_with_the_kernels_generates_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, mamba_chunk_scan_combined, causal_conv1d_fn)
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
        backbone={"kind": "mamba.mamba2", "settings": {**TRIAL.settings, "kernel": "mamba_ssm"}},
    )
    loaded = loretta.load_recipe(recipe, ["train.threads=1"])
    calls.clear()
    loretta.train(loaded, run_dir=tmp_path / "run")
    assert "scan" in calls
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    model = loretta.load(tmp_path / "run")
    (text,) = model.generate({"c": "abcd"}, to="a", seed=0)
    assert isinstance(text, str)
    with pytest.raises(MissingDependencyError, match="needs mamba-ssm"):
        loretta.train(loaded, run_dir=tmp_path / "second")


def test_parameters_that_stay_float32_are_float32_whatever_the_default() -> None:
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = Mamba2(settings(), PLAIN)
    finally:
        torch.set_default_dtype(default)
    mixer = model.blocks[0].mixer
    assert mixer.inward.weight.dtype == torch.bfloat16
    assert {p.dtype for p in (mixer.A_log, mixer.dt_bias, mixer.D)} == {torch.float32}


def test_the_probes_compare_with_plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, mamba_chunk_scan_combined, causal_conv1d_fn)
    require_scan(kernels._import_scan(), "cpu")
    require_convolution(kernels._import_convolution(), "cpu")

    def leaking_scan(*given: Any, seq_idx: Any, **options: Any) -> Any:
        return mamba_chunk_scan_combined(*given, seq_idx=torch.ones_like(seq_idx), **options)

    def leaking_convolution(*given: Any, seq_idx: Any, **options: Any) -> Any:
        return causal_conv1d_fn(*given, seq_idx=torch.ones_like(seq_idx), **options)

    install(monkeypatch, leaking_scan, leaking_convolution)
    with pytest.raises(RuntimeError, match="the scan: its results differ"):
        require_scan(kernels._import_scan(), "cpu")
    with pytest.raises(RuntimeError, match="convolution: its results differ"):
        require_convolution(kernels._import_convolution(), "cpu")


def test_probes_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, mamba_chunk_scan_combined, causal_conv1d_fn)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for probe in (kernels.probe_mamba_ssm, kernels.probe_causal_conv1d):
        with pytest.raises(RuntimeError, match="it needs a CUDA device, and there is none"):
            probe()
    for name in (SCAN, CONVOLUTION):
        monkeypatch.setitem(sys.modules, name, None)
    for probe in (kernels.probe_mamba_ssm, kernels.probe_causal_conv1d):
        with pytest.raises(ImportError):
            probe()
