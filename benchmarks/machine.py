"""What a result was measured on: processor, its instructions, versions, commit."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16")
"""Instructions that decide which precision is fast; those the processor lacks are left out."""
PACKAGES = ("loretta-framework", "torch", "numpy")


def describe_machine(cpuinfo: str | None = None) -> dict[str, Any]:
    """Processor, cores and those of `FLAGS` that it has.

    Args:
        cpuinfo: text of /proc/cpuinfo; None reads it, where there is one.
    """
    file = Path("/proc/cpuinfo")
    if cpuinfo is None:
        cpuinfo = file.read_text() if file.is_file() else ""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    held = set(fields.get("flags", "").split())
    return {
        "processor": fields.get("model name") or platform.machine(),
        "cores": os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in held],
        "system": platform.system(),
        "python": platform.python_version(),
    }


def multiplies_bf16(flags: Sequence[str] | None = None) -> bool:
    """Whether the processor multiplies bfloat16; without, bf16 takes 10 to 50 times as long."""
    held = describe_machine()["flags"] if flags is None else flags
    return bool({"amx_bf16", "avx512_bf16"} & set(held))


def versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Those of the packages that are installed here."""
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit measured, with "+changes" when files differ from it; "unknown" without git."""
    try:
        asked = ["git", "-C", str(ROOT)]
        name = subprocess.run([*asked, "rev-parse", "--short=12", "HEAD"], capture_output=True)
        state = subprocess.run([*asked, "status", "--porcelain"], capture_output=True)
    except OSError:
        return "unknown"
    if name.returncode:
        return "unknown"
    return name.stdout.decode().strip() + ("+changes" if state.stdout.strip() else "")


def today() -> str:
    """The date that names a result, UTC."""
    return f"{datetime.now(UTC):%Y-%m-%d}"
