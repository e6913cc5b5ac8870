"""Tries an optional kernel in a child process: absent, broken, crashing, or working.

Run as a module it is that child: it loads the plugin that knows the kernel and calls its probe.
"""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from loretta_framework.api.specs import Kernel, LazyReference
from loretta_framework.registry.child import answer, run_child
from loretta_framework.registry.faults import cause_of
from loretta_framework.registry.loading import load
from loretta_framework.registry.records import KernelRecord, KernelStatus, installed


def try_kernel(
    plugin: str, component: str, index: int, kernel: Kernel, timeout_s: float
) -> KernelRecord:
    """Call a kernel's probe in a process of its own.

    Args:
        plugin: entry-point name.
        component: of that plugin, whose spec names the kernel.
        index: of the kernel in the component's spec; one package may bring several.
        kernel: what to try.
        timeout_s: seconds it may take.
    """
    ended = run_child(__spec__.name, [plugin, component, str(index)], timeout_s)
    status: KernelStatus = "broken"
    text = f"{ended.cause}. {kernel.without}"
    if ended.how == "done":
        told = json.loads(ended.answer)
        status, text = told["status"], told["text"]
        if status != "ok":
            text = f"{text}. {kernel.without}"
    elif ended.how != "failed":
        status = ended.how
    return KernelRecord(component, kernel.package, status, text, kernel.install)


def _probed(kernel: Kernel) -> tuple[KernelStatus, str]:
    version = _version(kernel.package)
    try:
        return "ok", str(LazyReference.parse(kernel.probe).resolve()())
    except ModuleNotFoundError as error:
        if not version:
            return "absent", "it is not installed"
        text = f"it is installed ({version}), but cannot be imported: {error}"
    except (ImportError, OSError) as error:  # an undefined symbol is an ImportError too
        text = (
            f"it is installed ({version or 'of no known version'}), but cannot be imported: {error}"
        )
    except RuntimeError as error:
        text = f"it is installed ({version or 'of no known version'}), but does not work: {error}"
    except Exception as error:
        text = f"its probe raised {cause_of(error)}"
    return "broken", " ".join(text.split())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def main(arguments: list[str]) -> Any:
    """The child's work: FILE PLUGIN COMPONENT INDEX."""
    file, plugin, component, index = arguments
    found = next(item for item in installed() if item.record.name == plugin)
    _, spec = load(found).components[component]
    status, text = _probed(spec.kernels[int(index)])
    answer(Path(file), json.dumps({"status": status, "text": text}))


if __name__ == "__main__":
    main(sys.argv[1:])
