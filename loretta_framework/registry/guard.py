"""Keeps the process as it was while a plugin is imported: what it changes is put back and named.

A plugin may exit, raise KeyboardInterrupt, fork, crash, block, or replace what all share.
"""

from __future__ import annotations

import builtins
import faulthandler
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout, suppress
from types import FrameType
from typing import Any

from loretta_framework.api.specs import LazyReference
from loretta_framework.registry import notices
from loretta_framework.registry.alarm import time_limit

STILL_SECONDS = 5.0
"""After it, the plugin that is being imported is named: a command that hangs must say on what."""


class RaisedByPlugin(Exception):
    """A plugin raised what would end the command: SystemExit, KeyboardInterrupt without a key."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        super().__init__(error)


@contextmanager
def contained() -> Iterator[None]:
    """Call a plugin's code inside: it does not end the command, and prints to standard error.

    Raises:
        RaisedByPlugin: it raised what is no `Exception`. A real interrupt passes.
    """
    with _Interrupts() as interrupts:
        try:
            with redirect_stdout(sys.stderr):
                yield
        except Exception:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and interrupts.count:
                raise
            raise RaisedByPlugin(error) from error


@contextmanager
def guarded(name: str, notes: list[str], limited: bool = True) -> Iterator[None]:
    """Import a plugin inside, `contained`; what it changed is put back and added to `notes`.

    Args:
        name: who is imported, for the notice that it takes long.
        notes: faults that do not stop the plugin from being used.
        limited: it may take `LORETTA_IMPORT_TIMEOUT` seconds; a factory's module may be heavy.

    Raises:
        RaisedByPlugin: see `contained`; also when its time is up.
    """
    process = os.getpid()
    with contained(), time_limit() if limited else nullcontext():
        before = _shared()
        try:
            with _named_when_slow(name), _traced_when_it_crashes():
                yield
        finally:
            if os.getpid() != process:
                os._exit(0)  # a fork of the import must not go on with our command a second time
            notes += _put_back(before)


def resolved(reference: str, name: str, notes: list[str], limited: bool) -> Any:
    """Import what a spec refers to, `guarded` when the module is not there yet.

    Args:
        reference: "module:attribute".
        name: see `guarded`.
        notes: see `guarded`.
        limited: see `guarded`.

    Raises:
        RaisedByPlugin: see `guarded`. Else whatever the module raises.
    """
    parsed = LazyReference.parse(reference)
    if reference.partition(":")[0] in sys.modules:
        return parsed.resolve()
    with guarded(name, notes, limited):
        return parsed.resolve()


class _Interrupts:
    """Counts real interrupts: a signal, in the main thread."""

    def __init__(self) -> None:
        self.count = 0
        self._former: Any = None

    def __enter__(self) -> _Interrupts:
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler) and threading.current_thread() is threading.main_thread():
            self._former = handler
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._former is not None:
            signal.signal(signal.SIGINT, self._former)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self._former(number, frame)


@contextmanager
def _named_when_slow(name: str) -> Iterator[None]:
    tell = notices.listener()
    text = (
        f"still importing {name}, after {STILL_SECONDS:g} s; "
        "stop it with Ctrl-C, leave it out with -x"
    )
    timer = threading.Timer(STILL_SECONDS, tell, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _traced_when_it_crashes() -> Iterator[None]:
    """A crash in native code prints the line of Python that led to it."""
    enabled = False
    if not faulthandler.is_enabled():
        with suppress(AttributeError, ValueError, RuntimeError, io.UnsupportedOperation):
            faulthandler.enable(sys.stderr)
            enabled = True
    try:
        yield
    finally:
        if enabled:
            faulthandler.disable()


def _shared() -> dict[str, dict[str, Any]]:
    """What all parts of a process share and an import could change, by kind."""
    return {
        "the environment variable": dict(os.environ),
        "the built-in": dict(vars(builtins)),
        "the handler of": _handlers(),
        "the": {"working directory": _directory()},
        "the hook": {name: getattr(sys, name) for name in _HOOKS},
        "the hook of": {"threads": threading.excepthook},
    }


def _handlers() -> dict[str, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}  # only the main thread may change one
    found = {name: signal.getsignal(name) for name in signal.valid_signals()}
    # None is a handler that C code installed: it could not be put back.
    return {
        number.name: handler
        for number, handler in found.items()
        if isinstance(number, signal.Signals) and handler is not None
    }


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


_HOOKS = ("excepthook", "displayhook", "unraisablehook", "stderr", "stdin")


def _put_back(before: dict[str, dict[str, Any]]) -> list[str]:
    changed = []
    for kind, now in _shared().items():
        for name in sorted(before[kind].keys() | now.keys()):
            had, has = before[kind].get(name, _ABSENT), now.get(name, _ABSENT)
            if had is has or (isinstance(had, str) and had == has):
                continue
            with suppress(OSError, ValueError):
                _RESTORE[kind](name, had)
            changed.append(f"{kind} {name}")
    text = "importing it changes {}, which is put back; do that where it is needed instead"
    return [text.format(", ".join(changed))] if changed else []


_ABSENT = object()


def _restore_variable(name: str, value: Any) -> None:
    if value is _ABSENT:
        del os.environ[name]
    else:
        os.environ[name] = value


def _restore_builtin(name: str, value: Any) -> None:
    if value is _ABSENT:
        delattr(builtins, name)
    else:
        setattr(builtins, name, value)


def _restore_handler(name: str, value: Any) -> None:
    signal.signal(signal.Signals[name], value)


def _restore_directory(_: str, value: Any) -> None:
    os.chdir(value)


def _restore_hook(name: str, value: Any) -> None:
    setattr(sys, name, value)


def _restore_thread_hook(_: str, value: Any) -> None:
    threading.excepthook = value


_RESTORE = {
    "the environment variable": _restore_variable,
    "the built-in": _restore_builtin,
    "the handler of": _restore_handler,
    "the": _restore_directory,
    "the hook": _restore_hook,
    "the hook of": _restore_thread_hook,
}
