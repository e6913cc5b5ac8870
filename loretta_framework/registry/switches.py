"""What the user switched off: environment variables, so that child processes obey as well.

The options before a verb of the command line (`-x`, `--safe-mode`, `--strict-plugins`) set them for
the time of that command.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from loretta_framework.api.errors import InputError

ALLOW_LIST = "LORETTA_PLUGINS"
"""Comma-separated plugins that may be used. Unset: all; empty: none."""

WITHOUT = "LORETTA_PLUGINS_WITHOUT"
"""Comma-separated plugins that must not be used. `-x NAME` adds one."""

SAFE_MODE = "LORETTA_SAFE_MODE"
"""1: the built-in plugin alone. `--safe-mode` sets it."""

STRICT = "LORETTA_STRICT_PLUGINS"
"""1: one plugin that cannot be used stops every command that loads plugins. `--strict-plugins` sets
it."""

IMPORT_TIMEOUT = "LORETTA_IMPORT_TIMEOUT"
"""Seconds that importing one plugin, or the settings of one of its components, may take."""

_IMPORT_SECONDS = 60.0

REMEDIES = {
    f"{ALLOW_LIST} does not list it": f"add '{{name}}' to {ALLOW_LIST}, or unset the variable",
    f"-x (or {WITHOUT}) names it": f"leave out -x {{name}}, and take it out of {WITHOUT}",
    f"--safe-mode (or {SAFE_MODE}) allows the built-in plugin alone": (
        f"leave out --safe-mode, and unset {SAFE_MODE}"
    ),
}
"""Why a plugin is switched off -> how to switch `{name}` on again."""

_NOT_LISTED, _NAMED, _SAFE = REMEDIES


@dataclass(frozen=True, slots=True)
class Switches:
    """The switches as they stand. Make one with `read`.

    Attributes:
        allowed: the only plugins that may be used, None when all may.
        without: plugins that must not be used.
        safe: only the built-in plugin may be used.
        strict: a plugin that cannot be used is fatal also where nothing needs it.
    """

    allowed: frozenset[str] | None = None
    without: frozenset[str] = frozenset()
    safe: bool = False
    strict: bool = False

    @classmethod
    def read(cls) -> Switches:
        """The switches of this process.

        Raises:
            InputError: a variable that must be 0 or 1 is something else.
        """
        allowed = os.environ.get(ALLOW_LIST)
        return cls(
            None if allowed is None else _names(allowed),
            _names(os.environ.get(WITHOUT, "")),
            _flag(SAFE_MODE),
            _flag(STRICT),
        )

    def refusal(self, plugin: str) -> str:
        """Why an installed plugin is switched off, a key of `REMEDIES`; "" when it is not."""
        if self.safe:
            return _SAFE
        if plugin in self.without:
            return _NAMED
        return _NOT_LISTED if self.allowed is not None and plugin not in self.allowed else ""


def import_seconds() -> float:
    """Seconds that an import may take.

    Raises:
        InputError: the variable is no number above 0.
    """
    text = os.environ.get(IMPORT_TIMEOUT, "")
    try:
        seconds = float(text) if text else _IMPORT_SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise InputError(
            f"must be a number of seconds above 0, but is '{text}'",
            where=f"environment variable {IMPORT_TIMEOUT}",
            fix=f"set it to {_IMPORT_SECONDS:g}, or unset it",
        )
    return seconds


_LONGEST_SECONDS = 1e6


@contextmanager
def switched(without: Collection[str], safe: bool, strict: bool) -> Iterator[None]:
    """Turn switches on inside, for this process and for those it starts; none is turned off."""
    names = _names(os.environ.get(WITHOUT, "")) | set(without)
    wanted = {
        WITHOUT: ",".join(sorted(names)) if without else None,
        SAFE_MODE: "1" if safe else None,
        STRICT: "1" if strict else None,
    }
    changed = {name: value for name, value in wanted.items() if value is not None}
    former = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        for name, value in former.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _names(text: str) -> frozenset[str]:
    return frozenset(filter(None, (name.strip() for name in text.split(","))))


def _flag(variable: str) -> bool:
    text = os.environ.get(variable, "")
    if text not in ("", "0", "1"):
        raise InputError(
            f"must be 0 or 1, but is '{text}'",
            where=f"environment variable {variable}",
            fix="set it to 1, or unset it",
        )
    return text == "1"
