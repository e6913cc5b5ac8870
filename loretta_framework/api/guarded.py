"""Imports torchvision and torchaudio also beside a torch for which their binaries were not built.

Both packages load compiled extensions when they are imported, and fail as a whole when those need
CUDA libraries that are absent, though nearly all of their Python code would work. An unguarded
import of either also breaks every package that tries to import it on the side.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from loretta_framework.api.errors import MissingDependencyError

_guarded: set[str] = set()
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
    try:
        for package in ("torchvision", "torchaudio"):
            if package not in _guarded | set(sys.modules) and importlib.util.find_spec(package):
                _GUARDS[package]()
                _guarded.add(package)
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        package = name.partition(".")[0]
        absent = isinstance(error, ModuleNotFoundError) and error.name == package
        what = "is not installed" if absent else f"cannot be imported: {error}"
        raise MissingDependencyError(f"'{package}' {what}", fix=install) from error


def _torchvision() -> None:
    """Declare the operators that its Python code names; it must happen before the first import."""
    import torch

    library: Any = torch.library.Library  # torch leaves these untyped
    load: Any = torch.ops.load_library
    spec = importlib.util.find_spec("torchvision")
    assert spec is not None
    places = spec.submodule_search_locations or []
    for file in [file for place in places for file in sorted(Path(place).glob("_C*.so"))]:
        try:
            load(str(file))
            return
        except OSError:
            continue
    operators = library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        operators.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(operators)


def _torchaudio() -> None:
    """Import it; where its extension cannot be loaded, put a module in its place that says so."""
    try:
        importlib.import_module("torchaudio")
        return
    except OSError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
    absent = ModuleType("torchaudio._extension")
    absent.__dict__.update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _check_cuda_version=lambda: None,
        fail_if_no_align=_without_align,
    )
    sys.modules["torchaudio._extension"] = absent


def _without_align(function: Any) -> Any:
    def fail(*args: Any, **options: Any) -> Any:
        raise RuntimeError(f"{function.__name__} needs torchaudio's compiled extension")

    return fail


_GUARDS = {"torchvision": _torchvision, "torchaudio": _torchaudio}
