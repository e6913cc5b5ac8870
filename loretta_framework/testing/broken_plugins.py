"""Writes plugin distributions to a directory: sound ones, and one for each way to be broken.

Put the directory on `sys.path` or `PYTHONPATH` and they count as installed. Nothing is built or
downloaded, so a test can make a dozen of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_REGISTRATION = """register(
        ModalitySpec(
            name="{name}.thing",
            version=1,
            summary="A modality for tests.",
            settings="{package}.parts:ThingSettings",
            factory="{package}.parts:Thing",
        )
    )
"""

SOUND = f"""
from loretta_framework.api import ModalitySpec, hookimpl


@hookimpl
def register_modalities(register):
    {_REGISTRATION}"""
"""Source of a plugin with one modality, `<name>.thing`."""

PARTS = """
from loretta_framework.api import Bounds, ModalitySettings


class ThingSettings(ModalitySettings):
    size: int = 4
    shape: tuple[int, ...] = (1, 2)

    def bounds(self):
        return Bounds(self.size, 1, 1)


class Thing:
    def __init__(self, settings, context):
        self.settings = settings
        context.note("{name}.size", str(settings.size), "it was asked for")
"""
"""Source of that modality's settings class and factory."""

_HOSTILE = """
import builtins, os, signal, sys

builtins.open = None
builtins.an_addition = 1
os.environ["LORETTA_PLUGINS"] = "none"
os.environ.pop("PATH", None)
os.chdir("/")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.excepthook = print
"""

FAULTS: dict[str, str] = {
    "raises": "raise RuntimeError('no such codec')\n",
    "missing_package": "import a_package_that_nobody_has\n",
    "syntax": "def register_modalities(register)\n    pass\n",
    "exits": "import sys\nsys.exit(3)\n",
    "ends_the_interpreter": "import os\nos._exit(7)\n",
    "crashes": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
    "hangs": "import time\ntime.sleep(3600)\n",
    "loops": "while True:\n    pass\n",
    "interrupts": "raise KeyboardInterrupt\n",
    "raises_a_base_exception": "raise GeneratorExit\n",
    "forks": "import os\nos.fork()\n" + SOUND,
    "changes_the_process": _HOSTILE + SOUND,
    "no_hook": "def register_modalities(register):\n    pass\n",
    "misspelt_hook": SOUND.replace("register_modalities", "register_modalites"),
    "wrong_argument": SOUND.replace("(register)", "(registry)"),
    "wrong_kind": SOUND.replace("register_modalities", "register_backbones"),
    "not_a_spec": SOUND.replace("ModalitySpec(", "dict("),
    "wrong_prefix": SOUND.replace('"{name}.thing"', '"thing"'),
    "wrong_version": SOUND.replace("version=1", "version='one'"),
    "no_summary": SOUND.replace('"A modality for tests."', '""'),
    "wrong_reference": SOUND.replace("{package}.parts:ThingSettings", "{package}.parts"),
    "wrong_api_range": SOUND.replace("version=1,", "version=1, api=(2, 1),"),
    "too_new": SOUND.replace("version=1,", "version=1, api=(998, 999),"),
    "too_old": SOUND.replace("version=1,", "version=1, api=(-2, -1),"),
    "registers_twice": SOUND + "    " + _REGISTRATION,
    "half_registered": SOUND + "    raise OSError('disk gone')\n",
    "prints": "print('noise')\n" + SOUND,
    "imports_torch": "import torch\n" + SOUND,
    "wrong_settings": SOUND.replace("{package}.parts:ThingSettings", "{package}:Wrong")
    + "\n\nclass Wrong:\n    pass\n",
    "no_bounds": SOUND.replace("{package}.parts:ThingSettings", "{package}.unbounded:Wrong"),
    "factory_raises": SOUND.replace('{package}.parts:Thing"', '{package}:make"')
    + "\n\ndef make(settings, context):\n    raise ValueError('no codebook')\n",
    "factory_exits": SOUND.replace('{package}.parts:Thing"', '{package}:make"')
    + "\n\ndef make(settings, context):\n    raise SystemExit(3)\n",
    "broken_settings": SOUND.replace("parts:ThingSettings", "parts:NoSuchSettings"),
    "broken_factory": SOUND.replace('parts:Thing"', 'absent:Thing"'),
}
"""Fault -> source of a plugin that has it; `{name}` and `{package}` are filled in on writing."""


UNBOUNDED = """
from loretta_framework.api import ModalitySettings


class Wrong(ModalitySettings):
    size: int = 4
"""
"""Source of a settings class that forgot `bounds()`."""


def write_plugin(
    site: Path,
    name: str,
    source: str = SOUND,
    *,
    distribution: str = "",
    version: str = "1.0",
    requires: Sequence[str] = (),
) -> Path:
    """Write a plugin distribution as an installer would leave it.

    Args:
        site: directory that is, or will be, on the import path.
        name: entry-point name.
        source: source of the plugin module; `{name}` and `{package}` are replaced.
        distribution: package name, by default `loretta-plugin-<name>`. The import package is named
            after it.
        version: its version.
        requires: its requirements.

    Returns:
        The plugin module's file.
    """
    distribution = distribution or f"loretta-plugin-{name.replace('.', '-')}"
    package = distribution.replace("-", "_")
    folder = site / package
    folder.mkdir(parents=True)
    sources = {"__init__.py": source, "parts.py": PARTS, "unbounded.py": UNBOUNDED}
    for file, text in sources.items():
        filled = text.replace("{name}", name).replace("{package}", package)
        (folder / file).write_text(filled, encoding="utf-8")
    info = site / f"{package}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
    lines += [f"Requires-Dist: {item}" for item in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[loretta]\n{name} = {package}\n", encoding="utf-8")
    (info / "RECORD").write_text(f"{package}/__init__.py,,\n", encoding="utf-8")
    return folder / "__init__.py"
