"""Rows of a source that cannot be used: each is named, and only so many may be left out."""

from __future__ import annotations

from loretta_framework.api.errors import ShardError
from loretta_framework.shards.preparing.finish import Say

_SHOWN = 10
_IN_CARD = 100


class LeftOut:
    """Collects what is wrong with rows, files or lines of a source.

    Args:
        allowed: bad rows that may be left out.
        say: told about each one.
    """

    def __init__(self, allowed: int, say: Say) -> None:
        self.allowed, self._say = allowed, say
        self.bad: list[str] = []
        self.noted: list[str] = []

    def add(self, where: str, what: str) -> None:
        """A row that cannot be used.

        Raises:
            ShardError: there are far more of them than may be left out.
        """
        self.bad.append(f"{where}: {what}")
        self._say(f"left out: {where}: {what}")
        if len(self.bad) >= self.allowed + _SHOWN:
            self.check()

    def note(self, text: str) -> None:
        """Something that is left out on purpose; it stops nothing and stands in the card."""
        self.noted.append(text)
        self._say(f"left out: {text}")

    def check(self) -> None:
        """To be called when all rows were seen.

        Raises:
            ShardError: there are more bad rows than may be left out.
        """
        if len(self.bad) > self.allowed:
            shown = "\n".join(self.bad[:_SHOWN])
            more = f"\nand {len(self.bad) - _SHOWN} more" if len(self.bad) > _SHOWN else ""
            raise ShardError(
                f"{len(self.bad)} rows cannot be used, but {self.allowed} may be left out:\n"
                f"{shown}{more}",
                fix="mend the source, or let more be left out with --set max_bad=N",
            )

    def card(self) -> str:
        """A paragraph for the data card, "" when nothing was left out."""
        texts = [*self.bad, *self.noted]
        if not texts:
            return ""
        more = [f"- and {len(texts) - _IN_CARD} more"] if len(texts) > _IN_CARD else []
        lines = [f"- {text}" for text in texts[:_IN_CARD]]
        return f"Left out ({len(texts)}):\n\n" + "\n".join([*lines, *more])
