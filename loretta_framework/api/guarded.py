"""Imports torchvision and torchaudio also beside a torch for which their binaries were not built.

Both packages load compiled extensions when they are imported, and fail as a whole when those need
CUDA libraries that are absent, though nearly all of their Python code would work. An unguarded
import of either also breaks every package that tries to import it on the side.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from loretta_framework.api.errors import MissingDependencyError

_prepared: set[str] = set()
_kept: list[Any] = []
"""Operator definitions live as long as the object that made them."""


def import_guarded(name: str, install: str) -> ModuleType:
    """Import a module that may import torchvision or torchaudio; natively wherever that works.

    Without their extensions, what needs compiled code raises when it is called (`nms`, `rnnt_loss`,
    reading and writing files); transforms, models and features work.

    Args:
        name: for example "torchaudio", "torchvision.transforms" or "timm".
        install: the command that installs it, for the error.

    Raises:
        MissingDependencyError: the package is not installed, or its import fails for its own reason;
            the message holds that reason.
    """
    package = name.partition(".")[0]
    try:
        for guarded, prepare in _GUARDS.items():
            if guarded not in _prepared | set(sys.modules) and importlib.util.find_spec(guarded):
                prepare()
                _prepared.add(guarded)
        return importlib.import_module(name)
    # A package that does not fit its neighbours fails in any way: numpy's ABI alone has three.
    except Exception as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == package
        reason = str(error) or type(error).__name__
        what = "is not installed" if absent else f"cannot be imported: {reason}"
        raise MissingDependencyError(f"'{package}' {what}", fix=install) from error


def _torchvision() -> None:
    """Declare the operators that its Python code names; it must happen before the first import."""
    import torch

    if _unloadable("torchvision", "_C*.so") is None:
        return
    library: Any = torch.library.Library  # torch leaves it untyped
    operators = library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            arguments = "Tensor dets, Tensor scores, float iou_threshold"
            operators.define(f"{operator}({arguments}) -> Tensor")
    _kept.append(operators)


def _torchaudio() -> None:
    """Put a module in the place of its extension's that says what is missing."""
    import torch

    operators: Any = torch.ops.torchaudio
    reason = _unloadable("torchaudio", "lib/_torchaudio*.so", "lib/libtorchaudio*.so")
    if reason is None:
        return

    def needing(function: Any) -> Any:
        @functools.wraps(function)
        def fail(*args: Any, **options: Any) -> NoReturn:
            raise RuntimeError(
                f"'{function.__name__}' needs torchaudio's compiled extension, which cannot be "
                f"loaded here: {reason}"
            )

        return fail

    def rnnt_loss() -> None: ...

    absent = ModuleType("torchaudio._extension")
    absent.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _check_cuda_version=lambda: None,
        fail_if_no_align=needing,
    )
    sys.modules["torchaudio._extension"] = absent
    operators.rnnt_loss_forward = needing(rnnt_loss)


def _unloadable(package: str, *patterns: str) -> str | None:
    """Why an extension of the package cannot be loaded; None when all load, or it has none."""
    import torch

    load: Any = torch.ops.load_library  # untyped
    spec = importlib.util.find_spec(package)
    places = (spec and spec.submodule_search_locations) or []
    files = [file for place in places for name in patterns for file in Path(place).glob(name)]
    for file in sorted(files):
        try:
            load(str(file))
        except OSError as error:
            return str(error)
    return None


_GUARDS = {"torchvision": _torchvision, "torchaudio": _torchaudio}
