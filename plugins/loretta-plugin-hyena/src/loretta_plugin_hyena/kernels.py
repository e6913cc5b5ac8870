"""Optional CUDA kernel of Hyena: flash-fft-conv for the long convolutions.

C channels, N lines, L tokens of a line.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from loretta_framework.api import MissingDependencyError, UserError
from loretta_plugin_hyena.convolution import convolve
from loretta_plugin_hyena.settings import HyenaSettings

PACKAGE = "flashfftconv"
_SOURCE = "git+https://github.com/HazyResearch/flash-fft-conv.git"
INSTALL = (
    "pip install --no-build-isolation einops "
    f"'{_SOURCE}#subdirectory=csrc/flashfftconv' '{_SOURCE}'"
)
KEY = "backbone.settings.kernel"

SMALLEST_FFT, LARGEST_FFT = 256, 4_194_304
"""Powers of two that the kernel knows."""

WIDE_FFT = 32_768
"""Above this size it takes channels in sixteens."""

Convolve: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""As `convolution.convolve`, on inputs of any floating dtype; float32 results."""

Note: TypeAlias = Callable[[str, str, str], None]


def takes(x: Tensor) -> bool:
    """Whether compiled kernels can compute with a tensor, told by where it lies."""
    return x.is_cuda


def plain_convolve(v_CNL: Tensor, h_CL: Tensor) -> Tensor:
    """In plain torch and float32."""
    return convolve(v_CNL.float(), h_CL)


class FlashConvolution:
    """flash-fft-conv in the place of `plain_convolve`; one of its modules for each size in use.

    Args:
        module: its `FlashFFTConv`.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        self._made: dict[tuple[int, torch.dtype, torch.device], Any] = {}

    def __call__(self, v_CNL: Tensor, h_CL: Tensor) -> Tensor:
        """As `plain_convolve`; v is float16 or bfloat16."""
        tokens = v_CNL.shape[-1]
        v_NCL = functional.pad(v_CNL.transpose(0, 1), (0, -tokens % 4)).contiguous()
        convolved_NCL: Tensor = self._sized(v_CNL)(v_NCL, h_CL.contiguous())
        return convolved_NCL[..., :tokens].transpose(0, 1).float()

    def _sized(self, v_CNL: Tensor) -> Any:
        size = _size(v_CNL.shape[-1])
        key = (size, v_CNL.dtype, v_CNL.device)
        if key not in self._made:
            self._made[key] = self._module(size, dtype=v_CNL.dtype).to(v_CNL.device)
        return self._made[key]


def _size(tokens: int) -> int:
    """The power of two that the kernel is given for such lines, padded to fours."""
    return max(SMALLEST_FFT, 1 << (2 * (tokens + 3) - 1).bit_length())


def _fits(v_CNL: Tensor) -> bool:
    """Whether the kernel knows such a size and precision."""
    size = _size(v_CNL.shape[-1])
    short = v_CNL.dtype in (torch.float16, torch.bfloat16)
    return short and size <= LARGEST_FFT and (size <= WIDE_FFT or len(v_CNL) % 16 == 0)


@dataclass(frozen=True, slots=True)
class Kernels:
    """What whole sequences are convolved with; steps with a cache always take the plain form.

    A model moves between devices and precisions, so each call looks at its tensor.

    Attributes:
        flash: on CUDA tensors in a short precision; None: in plain torch.
        asked: the recipe names flash-fft-conv, so training takes it or fails.
        missing: why it cannot be imported, where it is asked for.
    """

    flash: Convolve | None = None
    asked: bool = False
    missing: str = ""

    def convolve_for(self, v_CNL: Tensor, training: bool) -> Convolve:
        """The long convolution for such an input.

        Raises:
            MissingDependencyError: a model is trained that asks for flash-fft-conv, which is absent.
            UserError: likewise, on another device, or in a precision or size it does not know.
        """
        if self.asked and training:
            self._require(v_CNL)
        taken = self.flash if self.flash and takes(v_CNL) and _fits(v_CNL) else None
        return taken or plain_convolve

    def _require(self, v_CNL: Tensor) -> None:
        if self.flash is None:
            raise MissingDependencyError(
                f"kernel 'flash_fft_conv' needs {PACKAGE}, which cannot be imported: "
                f"{self.missing}",
                where=KEY,
                fix=f"{INSTALL}, or use kernel: auto",
            )
        what = ""
        if not takes(v_CNL):
            what = f"trains on a CUDA device, but the model lies on {v_CNL.device}"
        elif not _fits(v_CNL):
            what = (
                f"takes bfloat16 or float16, FFTs of at most {LARGEST_FFT} and, above {WIDE_FFT}, "
                f"channels in sixteens; these are {v_CNL.dtype}, {_size(v_CNL.shape[-1])} and "
                f"{len(v_CNL)}"
            )
        if what:
            raise UserError(
                f"kernel 'flash_fft_conv' {what}",
                where=KEY,
                fix="use kernel: auto, which takes plain torch where the kernel does not fit",
            )


PLAIN = Kernels()


def choose_kernels(settings: HyenaSettings, note: Note) -> Kernels:
    """The kernel that the settings ask for, or that is there; the choice is noted with its reason.

    A run that was trained with it is used on any machine, so what is absent is no error here.
    """
    if settings.kernel == "reference":
        note(KEY, "reference", "asked for in the recipe")
        return PLAIN
    if settings.kernel == "flash_fft_conv":
        flash, missing = _asked()
        why = f"; it cannot train here: {missing}" if missing else ""
        note(KEY, "flash_fft_conv", f"asked for in the recipe{why}")
        return Kernels(flash, True, missing)
    flash, why = _found()
    note(KEY, "flash_fft_conv" if flash else "reference", why)
    return Kernels(flash)


def _asked() -> tuple[Convolve | None, str]:
    try:
        return _import_flash(), ""
    except (ImportError, OSError, RuntimeError) as error:
        return None, str(error)


def _found() -> tuple[Convolve | None, str]:
    if not torch.cuda.is_available():
        return None, f"{PACKAGE} needs a CUDA device, and there is none"
    try:
        flash = _import_flash()
    except (ImportError, OSError, RuntimeError) as error:
        return None, f"{PACKAGE} cannot be imported ({error}); to have it: {INSTALL}"
    try:
        require_convolution(flash, "cuda")
    except (RuntimeError, AssertionError) as error:  # it states its demands by assertions
        return None, f"{PACKAGE} is installed, but not taken: {error}"
    return flash, f"{PACKAGE} is installed and agrees with plain torch; for bf16 on a CUDA device"


def _import_flash() -> Convolve:
    return FlashConvolution(importlib.import_module(PACKAGE).FlashFFTConv)


def probe_flash_fft_conv() -> str:
    """Run flash-fft-conv forward and backward on the CUDA device; a sentence on what works.

    Raises:
        ImportError: it is absent.
        RuntimeError: there is no CUDA device, or the kernel fails or is wrong on it.
    """
    flash = _import_flash()
    if not torch.cuda.is_available():
        raise RuntimeError("it needs a CUDA device, and there is none")
    require_convolution(flash, "cuda")
    device = torch.cuda.get_device_name()
    return f"{PACKAGE} {metadata.version(PACKAGE)} works, forward and backward, on {device}"


def require_convolution(flash: Convolve, device: str) -> None:
    """Compare a convolution with plain torch, forward and gradient, for odd and even lengths.

    Raises:
        RuntimeError: outputs or gradients differ.
    """
    draw = partial(torch.randn, generator=torch.Generator(device).manual_seed(0), device=device)
    for tokens in (50, 150, 250, 501, 1200):
        fading_L = torch.exp(-torch.arange(tokens, device=device) / 40)
        leaves = [draw(16, 3, tokens).bfloat16(), draw(16, tokens) * fading_L]
        results = []
        for form in (flash, plain_convolve):
            given = [leaf.clone().requires_grad_() for leaf in leaves]
            out_CNL = form(*given)
            results.append([out_CNL, *torch.autograd.grad(out_CNL.square().mean(), given)])
        for got, wanted in zip(*results, strict=True):
            error = (got.float() - wanted.float()).detach().square().mean().sqrt()
            # 3 % in the mean square: inputs, transforms and filters are rounded to 8 bits each.
            if not float(error) <= 0.03 * float(wanted.detach().float().square().mean().sqrt()):
                raise RuntimeError(f"its results differ from plain torch for {tokens} tokens")
