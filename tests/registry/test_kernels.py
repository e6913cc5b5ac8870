"""Optional kernels: absent, present and broken, crashing, and working are told apart."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch

from loretta_framework.api.specs import Kernel
from loretta_framework.backbones.kernels import probe_flash_attention, require_attention
from loretta_framework.registry.doctor import examine
from loretta_framework.registry.kernels import try_kernel
from loretta_framework.registry.records import KernelRecord, installed
from loretta_framework.registry.verdicts import recall
from loretta_framework.testing.broken_plugins import SOUND, write_plugin

KERNEL = """
        kernels=(Kernel(package="fast-thing", probe="{package}:probe",
                        install="pip install fast-thing", without="A loop in Python is used."),),"""

PROBE = """

def probe():
    import fast_thing
    return fast_thing.run()
"""

SOURCE = (
    SOUND.replace("import ModalitySpec", "import Kernel, ModalitySpec").replace(
        "version=1,", "version=1," + KERNEL
    )
    + PROBE
)


def install(site: Path, source: str) -> None:
    """A package "fast-thing" whose module has this source."""
    (site / "fast_thing.py").write_text(source)
    info = site / "fast_thing-2.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fast-thing\nVersion: 2.1\n")


def tried(site: Path, timeout_s: float = 60) -> KernelRecord:
    """The kernel of a plugin, tried."""
    write_plugin(site, "odd", SOURCE)
    kernel = Kernel(
        "fast-thing", "loretta_plugin_odd:probe", "pip install fast-thing", "A loop is used."
    )
    return try_kernel("odd", "odd.thing", 0, kernel, timeout_s)


def test_an_absent_kernel_is_no_fault_and_is_remembered(site: Path) -> None:
    write_plugin(site, "odd", SOURCE)
    (record,) = examine(["odd"], timeout_s=60)
    assert (record.status, record.note) == ("ok", "")
    expected = "it is not installed. A loop in Python is used."
    assert record.kernels == (
        KernelRecord("odd.thing", "fast-thing", "absent", expected, "pip install fast-thing"),
    )
    (remembered,) = [r for r in recall(installed()) if r.name == "odd"]
    assert remembered == record


@pytest.mark.parametrize(
    ("source", "status", "text"),
    [
        ("def run():\n    return 'fast-thing 2.1 works'\n", "ok", "fast-thing 2.1 works"),
        (
            "raise ImportError('fast.so: undefined symbol: _ZN3c104cuda9SetDeviceEi')",
            "broken",
            "it is installed (2.1), but cannot be imported: fast.so: undefined symbol: "
            "_ZN3c104cuda9SetDeviceEi. A loop is used.",
        ),
        ("import triton_of_nobody", "broken", "but cannot be imported: No module named 'triton"),
        ("raise OSError('libcudart.so.12: not found')", "broken", "libcudart.so.12: not found"),
        ("def run():\n    raise RuntimeError('no CUDA')", "broken", "but does not work: no CUDA"),
        ("def run():\n    return 1 / 0", "broken", "its probe raised ZeroDivisionError"),
        ("import os\nos.abort()", "crashed", "it crashed the interpreter with SIGABRT"),
        ("import os\nos._exit(4)", "broken", "it ended the interpreter with exit code 4"),
    ],
)
def test_a_present_kernel_is_told_as_it_is(site: Path, source: str, status: str, text: str) -> None:
    install(site, source)
    kernel = tried(site)
    assert kernel.status == status
    assert text in kernel.text


def test_a_kernel_that_hangs(site: Path) -> None:
    install(site, "import time\ntime.sleep(3600)\n")
    kernel = tried(site, timeout_s=0.5)
    assert kernel.status == "timeout"
    assert "it did not finish within 0.5 s. A loop is used." in kernel.text


def plain(*arguments: object, causal: bool) -> torch.Tensor:
    """As flash-attn's function, by plain means."""
    q, k, v, ends, *_ = arguments
    assert isinstance(ends, torch.Tensor)
    parts = []
    for start, stop in pairwise(ends):
        one = [part[start:stop].transpose(0, 1) for part in (q, k, v)]  # type: ignore[index]
        y = torch.nn.functional.scaled_dot_product_attention(*one, is_causal=causal)
        parts.append(y.transpose(0, 1))
    return torch.cat(parts)


def leaking(*arguments: object, causal: bool) -> torch.Tensor:
    """Documents see each other."""
    q, k, v, ends, *rest = arguments
    assert isinstance(ends, torch.Tensor)
    return plain(q, k, v, ends[[0, -1]], *rest, causal=causal)


def test_the_probe_of_flash_attention_tells_right_from_wrong() -> None:
    require_attention(plain, "cpu")
    with pytest.raises(RuntimeError, match="differ from those of plain attention"):
        require_attention(leaking, "cpu")


def test_without_a_device_the_probe_says_so(site: Path) -> None:
    with pytest.raises(ImportError, match="flash_attn"):
        probe_flash_attention()
    (site / "flash_attn.py").write_text("")
    with pytest.raises(RuntimeError, match="it needs a CUDA device, and there is none"):
        probe_flash_attention()
