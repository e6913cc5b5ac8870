"""What importing a plugin cost: seconds, and packages that belong into a factory's module."""

from __future__ import annotations

import sys
import time

SLOW_SECONDS = 0.25
"""An import that takes longer is named. A light module takes a few milliseconds."""

HEAVY = (
    "torch",
    "torchvision",
    "torchaudio",
    "tensorflow",
    "jax",
    "transformers",
    "diffusers",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "sklearn",
    "cv2",
    "PIL",
    "av",
    "matplotlib",
)
"""Packages that no plugin needs to say what it brings."""


class Weight:
    """Measures from its making to `notes`."""

    def __init__(self) -> None:
        self._had = _present()
        self._start = time.perf_counter()

    def notes(self) -> list[str]:
        """What an author should know of the import that has just ended, each a sentence."""
        seconds = time.perf_counter() - self._start
        found = []
        if heavy := [name for name in _present() if name not in self._had]:
            found.append(
                f"it imports {', '.join(heavy)} when it is discovered; "
                "import that in the factory's module instead"
            )
        if seconds > SLOW_SECONDS:
            found.append(f"its import took {seconds:.1f} s")
        return found


def _present() -> tuple[str, ...]:
    return tuple(name for name in HEAVY if name in sys.modules)
