"""Which kernels are taken, with stand-ins for packages that need a GPU."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from loretta_plugin_mamba import kernels, probes
from loretta_plugin_mamba.kernels import PLAIN_1, PLAIN_2, choose_kernels
from loretta_plugin_mamba.selective import selective_scan
from loretta_plugin_mamba.settings import TRIAL, TRIAL_1, Mamba1Settings, Mamba2Settings
from loretta_plugin_mamba.ssd import ssd
from torch import Tensor
from torch.nn import functional

import loretta_framework as loretta
from loretta_framework.api import MissingDependencyError, SequenceLayout, UserError
from loretta_framework.testing.toy_worlds import write_bijection_world, write_recipe

SCAN, CONVOLUTION = "mamba_ssm.ops.triton.ssd_combined", "causal_conv1d"
SELECTIVE = "mamba_ssm.ops.selective_scan_interface"
KINDS = {"mamba.mamba1": TRIAL_1.settings, "mamba.mamba2": TRIAL.settings}
calls: list[str] = []


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
    first = initial_states.permute(0, 3, 1, 2)
    given = (x, dt, A, B[:, :, 0], C[:, :, 0], D, seq_idx.long(), first, chunk_size)
    y, state = ssd(*given)
    return y.to(x.dtype), state.permute(0, 2, 3, 1)


def selective_scan_fn(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Any = None, z: Any = None,
    delta_bias: Any = None, delta_softplus: bool = False, return_last_state: bool = False,
) -> Any:  # fmt: skip
    """Signature and shapes of mamba-ssm 2.3: tokens are the last axis, and no documents are known."""
    calls.append("selective")
    assert all(part.stride(-1) == 1 for part in (u, delta, B, C))
    assert u.dtype == delta.dtype == B.dtype == C.dtype
    assert return_last_state
    assert not delta_softplus
    x, dt, b, c = (part.transpose(1, 2) for part in (u, delta, B, C))
    starts = torch.zeros(x.shape[:2], dtype=torch.bool)
    first = torch.zeros(len(x), A.shape[1], A.shape[0])
    y, state = selective_scan(x, dt.float(), A, b, c, D, starts, first, 16)
    return y.transpose(1, 2).to(u.dtype), state.transpose(1, 2)


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


def install(
    monkeypatch: pytest.MonkeyPatch, scan: Any, convolution: Any, selective: Any = selective_scan_fn
) -> None:
    """Put stand-ins where the packages would be, and pretend that there is a CUDA device."""
    for name in (
        "mamba_ssm",
        "mamba_ssm.ops",
        "mamba_ssm.ops.triton",
        SCAN,
        SELECTIVE,
        CONVOLUTION,
    ):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules[SCAN], "mamba_chunk_scan_combined", scan, raising=False)
    monkeypatch.setattr(sys.modules[SELECTIVE], "selective_scan_fn", selective, raising=False)
    monkeypatch.setattr(sys.modules[CONVOLUTION], "causal_conv1d_fn", convolution, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def settings(**changes: Any) -> Mamba2Settings:
    return Mamba2Settings(**{**TRIAL.settings, **changes})


@pytest.fixture
def packed(models: Any) -> SequenceLayout:
    layout: SequenceLayout = models.packed_layout([[9, 14], [20]])
    return layout


@pytest.fixture
def alone(models: Any) -> SequenceLayout:
    layout: SequenceLayout = models.packed_layout([[23], [20]])
    return layout


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("asked", ["auto", "mamba_ssm"])
def test_kernels_that_are_there_are_taken_and_compute_the_same(
    asked: str, kind: str, models: Any, alone: SequenceLayout, packed: SequenceLayout,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    install(monkeypatch, mamba_chunk_scan_combined, causal_conv1d_fn)
    monkeypatch.setattr(kernels, "takes", lambda x: True)
    context = models.Notes()
    fast = models.formed(kind, {**KINDS[kind], "kernel": asked}, context)
    assert context.told["backbone.settings.kernel"][0] == "mamba_ssm"
    assert context.told["backbone.convolution"][0] == "causal_conv1d"
    slow = models.formed(kind, {**KINDS[kind], "kernel": "reference"})
    layout = alone if kind == "mamba.mamba1" else packed
    calls.clear()
    results = []
    real = layout.documents_BT >= 0
    for model in (fast, slow):
        x_BTD = torch.linspace(-2, 2, 2 * 23 * 16).view(2, 23, 16).sin().requires_grad_()
        out = model(x_BTD, layout)[real]
        leaves = [x_BTD, *model.parameters()]
        weights = torch.linspace(-1, 1, out.numel()).view_as(out)
        results.append([out, *torch.autograd.grad((out * weights).sum(), leaves)])
    scan = "selective" if kind == "mamba.mamba1" else "scan"
    assert sorted(calls) == sorted(["convolution", scan] * 2)
    for one, other in zip(*results, strict=True):
        scale = float(other.detach().abs().max())
        torch.testing.assert_close(one, other, rtol=0, atol=3e-6 * scale)
    calls.clear()
    cache = fast.new_cache(2, 23)
    assert fast.extend(x_BTD.detach(), layout, cache).isfinite().all()
    assert calls == []


def test_packed_rows_of_mamba_1_are_computed_in_plain_torch(
    models: Any, packed: SequenceLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, mamba_chunk_scan_combined, causal_conv1d_fn)
    monkeypatch.setattr(kernels, "takes", lambda x: True)
    context, calls[:] = models.Notes(), []
    model = models.formed("mamba.mamba1", TRIAL_1.settings, context)
    told = context.told["backbone.settings.kernel"][1]
    assert told.endswith("; packed rows are computed in plain torch")
    x_BTD = torch.randn(2, 23, 16)
    assert model(x_BTD, packed).isfinite().all()
    assert calls == ["convolution"] * 2
    asked = models.formed("mamba.mamba1", {**TRIAL_1.settings, "kernel": "mamba_ssm"})
    with pytest.raises(UserError, match="one document a row, but the rows are packed") as caught:
        asked(x_BTD, packed)
    assert caught.value.where == "backbone.settings.kernel"
    assert "train.layout: padded, or kernel: auto" in caught.value.fix
    assert asked.eval()(x_BTD, packed).isfinite().all()


def test_without_a_device_auto_takes_plain_torch_and_says_why(models: Any) -> None:
    first = Mamba1Settings(**TRIAL_1.settings)
    assert replace(choose_kernels(first, models.Notes().note), packs=True) == PLAIN_1
    context = models.Notes()
    assert choose_kernels(settings(), context.note) == PLAIN_2
    assert context.told == {
        "backbone.settings.kernel": (
            "reference",
            "mamba-ssm needs a CUDA device, and there is none",
        ),
        "backbone.convolution": ("torch", "causal-conv1d needs a CUDA device, and there is none"),
    }


def test_with_a_device_and_without_packages_auto_names_the_command(
    models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, None, None)
    for name in ("mamba_ssm", SCAN, CONVOLUTION):
        monkeypatch.setitem(sys.modules, name, None)
    context = models.Notes()
    assert choose_kernels(settings(), context.note) == PLAIN_2
    for package, key in (
        ("mamba-ssm", "backbone.settings.kernel"),
        ("causal-conv1d", "backbone.convolution"),
    ):
        reason = context.told[key][1]
        assert reason.startswith(f"{package} cannot be imported (")
        assert reason.endswith(f"to have it: {kernels.INSTALL}")


def test_a_convolution_that_the_kernel_cannot_do_stays_in_torch(
    models: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, mamba_chunk_scan_combined, causal_conv1d_fn)
    context = models.Notes()
    chosen = choose_kernels(settings(conv=6), context.note)
    assert chosen.convolve is None
    assert "takes 2 to 4 taps" in context.told["backbone.convolution"][1]


def test_plain_torch_can_be_asked_for(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, mamba_chunk_scan_combined, causal_conv1d_fn)
    context = models.Notes()
    assert choose_kernels(settings(kernel="reference"), context.note) == PLAIN_2
    assert context.told == {"backbone.settings.kernel": ("reference", "asked for in the recipe")}


@pytest.mark.parametrize("asked", ["auto", "mamba_ssm"])
def test_a_model_on_the_cpu_of_a_cuda_machine_is_computed_in_plain_torch(
    asked: str, models: Any, packed: SequenceLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, refuses, refuses)
    model = models.formed("mamba.mamba2", {**TRIAL.settings, "kernel": asked}).eval()
    slow = models.formed("mamba.mamba2", {**TRIAL.settings, "kernel": "reference"}).eval()
    x_BTD = torch.randn(2, 23, 16)
    assert torch.equal(model(x_BTD, packed), slow(x_BTD, packed))
    assert model.extend(x_BTD, packed, model.new_cache(2, 23)).isfinite().all()
    monkeypatch.setattr(kernels, "takes", lambda x: True)
    with pytest.raises(ValueError, match="Expected a CUDA tensor"):
        model(x_BTD, packed)


def test_auto_trains_on_the_cpu_of_a_cuda_machine(
    models: Any, packed: SequenceLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, refuses, refuses)
    model = models.formed("mamba.mamba2", TRIAL.settings)
    assert model.training
    assert model(torch.randn(2, 23, 16), packed).isfinite().all()


def test_an_absent_kernel_asked_for_by_name_is_an_error_in_training(
    models: Any, packed: SequenceLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)
    context, x_BTD = models.Notes(), torch.randn(2, 23, 16)
    model = models.formed("mamba.mamba2", {**TRIAL.settings, "kernel": "mamba_ssm"}, context)
    choice, why = context.told["backbone.settings.kernel"]
    assert choice == "mamba_ssm"
    assert why.startswith("asked for in the recipe; it cannot train here: ")
    with pytest.raises(MissingDependencyError, match="needs mamba-ssm") as caught:
        model(x_BTD, packed)
    assert caught.value.where == "backbone.settings.kernel"
    assert "pip install --no-build-isolation 'loretta-plugin-mamba[kernels]'" in caught.value.fix
    assert model.eval()(x_BTD, packed).isfinite().all()


def test_a_kernel_asked_for_by_name_does_not_train_on_the_cpu(
    models: Any, packed: SequenceLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, refuses, refuses)
    model = models.formed("mamba.mamba2", {**TRIAL.settings, "kernel": "mamba_ssm"})
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


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_that_stay_float32_are_float32_whatever_the_default(
    kind: str, models: Any
) -> None:
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = models.formed(kind, KINDS[kind])
    finally:
        torch.set_default_dtype(default)
    mixer = model.blocks[0].mixer
    assert mixer.inward.weight.dtype == torch.bfloat16
    assert {p.dtype for p in (mixer.A_log, mixer.dt_bias, mixer.D)} == {torch.float32}


def test_the_probes_compare_with_plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, mamba_chunk_scan_combined, causal_conv1d_fn)
    probes.require_scan(kernels.load_scan(), "cpu")
    probes.require_selective(kernels.load_selective(), "cpu")
    probes.require_convolution(kernels.load_convolution(), "cpu")

    def leaking_scan(*given: Any, seq_idx: Any, **options: Any) -> Any:
        return mamba_chunk_scan_combined(*given, seq_idx=torch.ones_like(seq_idx), **options)

    def leaking_convolution(*given: Any, seq_idx: Any, **options: Any) -> Any:
        return causal_conv1d_fn(*given, seq_idx=torch.ones_like(seq_idx), **options)

    def doubled_scan(*given: Any, D: Any, **options: Any) -> Any:
        return selective_scan_fn(*given, D=2 * D, **options)

    install(monkeypatch, leaking_scan, leaking_convolution, doubled_scan)
    with pytest.raises(RuntimeError, match="the scan: its results differ"):
        probes.require_scan(kernels.load_scan(), "cpu")
    with pytest.raises(RuntimeError, match="the scan: its results differ"):
        probes.require_selective(kernels.load_selective(), "cpu")
    with pytest.raises(RuntimeError, match="convolution: its results differ"):
        probes.require_convolution(kernels.load_convolution(), "cpu")


def test_probes_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    every = (probes.probe_mamba_ssm, probes.probe_selective_scan, probes.probe_causal_conv1d)
    install(monkeypatch, mamba_chunk_scan_combined, causal_conv1d_fn)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for probe in every:
        with pytest.raises(RuntimeError, match="it needs a CUDA device, and there is none"):
            probe()
    for name in (SCAN, SELECTIVE, CONVOLUTION):
        monkeypatch.setitem(sys.modules, name, None)
    for probe in every:
        with pytest.raises(ImportError):
            probe()
