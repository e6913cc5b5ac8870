"""The doctor tells what is wrong with each build of flash-attn that is installed and broken."""

from __future__ import annotations

from pathlib import Path

import pytest

from loretta_framework.registry.doctor import examine
from loretta_framework.registry.records import KernelRecord

BUILDS = {
    "flash-attn": "flash_attn/__init__.py",
    "flash-attn-3": "flash_attn_interface.py",
    "flash-attn-4": "flash_attn/cute.py",
}
SYMBOL = "undefined symbol: _ZN3c104cuda9SetDeviceEi"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("LORETTA_CACHE", str(tmp_path / "cache"))
    return tmp_path


def install(site: Path, package: str, source: str) -> None:
    file = site / BUILDS[package]
    file.parent.mkdir(exist_ok=True)
    file.write_text(source)
    info = site / f"{package.replace('-', '_')}-4.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 4.0\n")


def told() -> dict[str, KernelRecord]:
    (record,) = examine(["builtin"], timeout_s=120)
    return {kernel.package: kernel for kernel in record.kernels}


def test_broken_builds_show_the_text_of_their_import_error(site: Path) -> None:
    install(site, "flash-attn-3", f"raise ImportError('flash_3.so: {SYMBOL}')\n")
    install(site, "flash-attn-4", f"raise ImportError('cute.so: {SYMBOL}')\n")
    (site / "flash_attn" / "__init__.py").write_text("")
    kernels = told()
    assert list(kernels) == list(BUILDS)
    for package, file in (("flash-attn-3", "flash_3.so"), ("flash-attn-4", "cute.so")):
        kernel = kernels[package]
        assert (kernel.component, kernel.status) == ("transformer", "broken")
        wanted = f"it is installed (4.0), but cannot be imported: {file}: {SYMBOL}."
        assert kernel.text.startswith(wanted)


def test_absent_builds_are_no_fault_and_sound_ones_ask_for_a_device(site: Path) -> None:
    install(site, "flash-attn-3", "")
    kernels = told()
    for package in ("flash-attn", "flash-attn-4"):
        assert kernels[package].status == "absent"
        assert kernels[package].text.startswith("it is not installed. Attention")
    assert kernels["flash-attn-3"].status == "broken"
    assert "it needs a CUDA device, and there is none" in kernels["flash-attn-3"].text
