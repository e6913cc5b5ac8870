"""Whether the machine is quiet, and figures out of rounds.

A figure counts as clean when others used less than 4 % of the processors for two seconds before it
was measured and less than 5 % while it was.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

IDLE_SHARE = 0.04
"""Most of all processors that others may use before a benchmark starts."""
OTHERS_SHARE = 0.05
"""Most of all processors that others may use while it runs."""
WINDOW_S = 2.0
PATIENCE_S = 600.0

_BUSY = ("user", "nice", "system", "irq", "softirq", "steal")
_FIELDS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


@dataclass(frozen=True, slots=True)
class Ticks:
    """Processor time since the machine started, in clock ticks, over all processors."""

    busy: int
    total: int

    def share_since(self, earlier: Ticks, own: float = 0.0) -> float:
        """Part of all processors that was busy since then, less `own` ticks; 0 for no time."""
        total = self.total - earlier.total
        return max(0.0, self.busy - earlier.busy - own) / total if total > 0 else 0.0


def read_ticks(text: str | None = None) -> Ticks | None:
    """The counters of the kernel, or None where it has none.

    Args:
        text: of /proc/stat; None reads it.

    Raises:
        ValueError: the text does not begin with the line of all processors.
    """
    file = Path("/proc/stat")
    if text is None:
        if not file.is_file():
            return None
        text = file.read_text()
    words = text.partition("\n")[0].split()
    values = words[1:]
    if words[:1] != ["cpu"] or len(values) < len(_FIELDS):
        raise ValueError(
            f"/proc/stat must begin with the counters of all processors, but begins {text[:40]!r}"
        )
    counts = dict(zip(_FIELDS, map(int, values), strict=False))
    return Ticks(sum(counts[field] for field in _BUSY), sum(counts.values()))


def wait_until_idle(
    busy_ok: bool = False,
    patience: float = PATIENCE_S,
    *,
    read: Callable[[], Ticks | None] = read_ticks,
    sleep: Callable[[float], None] = time.sleep,
) -> float | None:
    """Wait for a quiet machine; the share of it that others used in the last window.

    Args:
        busy_ok: do not wait; the caller records that the result is not clean.
        patience: most seconds to wait.
        read: gives the counters.
        sleep: waits that many seconds.

    Returns:
        None where the kernel keeps no counters.

    Raises:
        SystemExit: the machine is still busy when patience is over.
    """
    waited, before = 0.0, read()
    if before is None:
        return None
    while True:
        sleep(WINDOW_S)
        after = read()
        assert after is not None
        share = after.share_since(before)
        if share < IDLE_SHARE or busy_ok:
            return share
        waited, before = waited + WINDOW_S, after
        if waited >= patience:
            raise SystemExit(
                f"others use {share:.0%} of the processors, but must use less than {IDLE_SHARE:.0%}; "
                "end them, or give --busy-ok for figures that do not count as clean"
            )
        print(f"waiting: others use {share:.0%} of the processors", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, above: Sequence[float], below: Sequence[float]) -> Spread:
        """Of the ratios of the rounds: both sides of a round met the same machine."""
        return cls.of([a / b for a, b in zip(above, below, strict=True)])

    def to_json(self) -> dict[str, float]:
        """Six significant digits."""
        rounded = (float(f"{value:.6g}") for value in (self.median, self.least, self.most))
        return dict(zip(("median", "min", "max"), rounded, strict=True))
