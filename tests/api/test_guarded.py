"""Guarded imports: real packages in child processes where they are there, imitations everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loretta_framework.api import MissingDependencyError, import_guarded

EXTRAS = Path(os.environ.get("LORETTA_EXTRAS") or Path(__file__).parents[2] / ".extras")
needs_extras = pytest.mark.skipif(
    not all((EXTRAS / name).is_dir() for name in ("torchvision", "torchaudio", "timm")),
    reason="LORETTA_EXTRAS names no folder that holds torchvision, torchaudio and timm",
)

START = """
import sys, torch
from loretta_framework.api import MissingDependencyError, import_guarded
def fails(function, *values):
    try:
        function(*values)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    raise AssertionError("it did not fail")
"""


def in_child(code: str, folder: Path) -> str:
    """What the code prints, with the folder's packages importable."""
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", START + code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_an_absent_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(MissingDependencyError) as raised:
        import_guarded("no_such_package.models", "pip install no-such-package")
    assert str(raised.value) == (
        "'no_such_package' is not installed\n  -> pip install no-such-package"
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import also_absent", "No module named 'also_absent'"),
        ("raise OSError('libx.so.1: cannot open shared object file')", "libx.so.1: cannot open"),
        ("raise RuntimeError('operator a::b does not exist')", "operator a::b does not exist"),
        ("raise ValueError('numpy.dtype size changed')", "numpy.dtype size changed"),
        ("raise AttributeError", "AttributeError"),
        ("def", "invalid syntax"),
    ],
)
def test_a_package_that_fails_for_its_own_reason_tells_it(
    source: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(write(tmp_path, {"faulty_package/__init__.py": source}))
    with pytest.raises(MissingDependencyError) as raised:
        import_guarded("faulty_package", "pip install faulty")
    assert "'faulty_package' cannot be imported: " in str(raised.value)
    assert reason in str(raised.value)
    assert str(raised.value).endswith("-> pip install faulty")
    assert "faulty_package" not in sys.modules


def test_a_submodule_that_is_not_there_is_not_taken_for_an_absent_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(write(tmp_path, {"present_package/__init__.py": ""}))
    with pytest.raises(MissingDependencyError, match=r"cannot be .* named 'present_package\.new'"):
        import_guarded("present_package.new", "pip install -U present")
    del sys.modules["present_package"]


NATIVE = {
    "torchvision/__init__.py": "import torch\nhere = True\n",
    "torchaudio/__init__.py": "from . import _extension\nhere = True\n",
    "torchaudio/_extension/__init__.py": "own = True\n",
}

UNTOUCHED = """
vision = import_guarded("torchvision", "x")
audio = import_guarded("torchaudio", "x")
assert vision.here and audio.here and audio._extension.own
assert vision is sys.modules["torchvision"] and audio is sys.modules["torchaudio"]
assert not hasattr(torch.ops.torchvision, "nms")
assert not hasattr(torch.ops.torchaudio, "rnnt_loss_forward")
"""


def test_packages_without_extensions_are_left_alone(tmp_path: Path) -> None:
    in_child(UNTOUCHED, write(tmp_path, NATIVE))


def test_packages_whose_extensions_load_are_left_alone(tmp_path: Path) -> None:
    import torch

    write(tmp_path, {**NATIVE, "torchaudio/lib/__init__.py": ""})
    loads = Path(torch.__file__).parent / "lib" / "libtorch_python.so"
    for name in ("torchvision/_C.so", "torchaudio/lib/_torchaudio.abi3.so"):
        (tmp_path / name).symlink_to(loads)
    in_child(UNTOUCHED, tmp_path)


BROKEN = {
    "torchvision/__init__.py": """
import torch
@torch.library.register_fake("torchvision::nms")
def nms(dets, scores, threshold): ...
""",
    "torchvision/_C.so": b"no library",
    "torchaudio/__init__.py": """
from . import _extension
@_extension.fail_if_no_align
def forced_align(): ...
""",
    "torchaudio/_extension/__init__.py": """
import torch, pathlib
torch.ops.load_library(pathlib.Path(__file__).parents[1] / "lib/_torchaudio.so")
""",
    "torchaudio/lib/_torchaudio.so": b"no library",
    "on_the_side/__init__.py": "import torchvision, torchaudio\nhere = True\n",
}


def test_extensions_that_do_not_load_are_replaced(tmp_path: Path) -> None:
    write(tmp_path, BROKEN)
    printed = in_child(
        "assert 'does not exist' in fails(__import__, 'torchvision')\n"
        "assert fails(__import__, 'torchaudio').startswith('OSError')\n"
        "assert import_guarded('on_the_side', 'x').here\n"
        "audio = import_guarded('torchaudio', 'x')\n"
        "print(fails(audio.forced_align))\n"
        "print(fails(torch.ops.torchaudio.rnnt_loss_forward))\n",
        tmp_path,
    )
    assert "RuntimeError: 'forced_align' needs torchaudio's compiled extension" in printed
    assert "RuntimeError: 'rnnt_loss' needs torchaudio's compiled extension" in printed
    assert printed.count("_torchaudio.so") == 2  # the reason


def test_what_others_declared_or_broke_is_left_alone(tmp_path: Path) -> None:
    files = {
        **BROKEN,
        "torchaudio/__init__.py": "raise RuntimeError('built for another CUDA')",
        "on_the_side/__init__.py": "import torchvision\nhere = True\n",
    }
    code = """
library = torch.library.Library("torchvision", "FRAGMENT")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
assert import_guarded("on_the_side", "x").here
assert hasattr(torch.ops.torchvision, "qnms")
assert "built for another CUDA" in fails(import_guarded, "torchaudio", "x")
"""
    in_child(code, write(tmp_path, files))


_WORKS = """
def look(name):
    first = import_guarded(name, "pip install it")
    assert first is import_guarded(name, "pip install it") is sys.modules[name]
    return first
for name in NAMES:
    look(name)
assert "transformers" not in sys.modules
if "torchaudio" in NAMES:
    wave = torch.sin(torch.arange(800) / 9)
    audio = look("torchaudio.transforms")
    assert audio.MelSpectrogram(8000, n_fft=256, n_mels=20)(wave).shape == (20, 7)
if "timm" in NAMES:
    model = look("timm").create_model("test_vit", pretrained=False, num_classes=0)
    assert model(torch.zeros(1, 3, 160, 160)).shape == (1, 64)
    picture = look("torchvision.transforms").Resize(4)(torch.rand(3, 8, 8))
    assert picture.shape == (3, 4, 4)
"""


@needs_extras
@pytest.mark.parametrize("names", ["torchaudio, timm", "timm, torchaudio"])
def test_the_real_packages_work_in_any_order(names: str) -> None:
    in_child(f"NAMES = {names.split(', ')}\n" + _WORKS, EXTRAS)


@needs_extras
def test_a_failed_import_before_the_guard_spoils_nothing() -> None:
    code = """
for name in ("torchvision", "torchaudio"):
    try:
        __import__(name)
    except (OSError, RuntimeError):
        pass
NAMES = ["torchvision", "torchaudio", "timm"]
"""
    in_child(code + _WORKS, EXTRAS)


@needs_extras
def test_what_needs_an_extension_says_so_where_it_is_absent() -> None:
    """On a machine where the extensions load, these functions work, and nothing is to be said."""
    code = """
vision, audio = import_guarded("torchvision", "x"), import_guarded("torchaudio", "x")
boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1]])
calls = {
    "nms": lambda: vision.ops.nms(boxes, torch.ones(2), 0.5),
    "image": lambda: vision.io.encode_jpeg(torch.zeros(3, 4, 4, dtype=torch.uint8)),
    "align": lambda: audio.functional.forced_align(
        torch.zeros(1, 4, 3).log_softmax(-1), torch.ones(1, 1, dtype=torch.int32)
    ),
    "rnnt": lambda: audio.functional.rnnt_loss(
        torch.zeros(1, 2, 2, 3), torch.ones(1, 1, dtype=torch.int32),
        torch.tensor([2], dtype=torch.int32), torch.tensor([1], dtype=torch.int32),
    ),
}
for name, call in calls.items():
    try:
        call()
        print(name, "works")
    except RuntimeError as error:
        print(name, "RuntimeError", str(error).replace("\\n", " "))
"""
    told = dict(line.split(" ", 1) for line in in_child(code, EXTRAS).splitlines())
    words = {
        "nms": "load custom C++ ops",
        "image": "load the image extension",
        "align": "'forced_align' needs torchaudio's compiled extension",
        "rnnt": "'rnnt_loss' needs torchaudio's compiled extension",
    }
    for name, text in words.items():
        assert told[name] == "works" or text in told[name], told[name]
