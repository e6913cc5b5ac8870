"""What callbacks remember, in checkpoints: by kind, since a recipe's list of them may change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from loretta_framework.api.atomic import plain_json
from loretta_framework.api.errors import CheckpointError, PluginError
from loretta_framework.api.protocols import Callback, StatefulCallback


def callback_states(kinds: Sequence[str], callbacks: Sequence[Callback]) -> list[dict[str, Any]]:
    """[{"kind", "state"}, ...] of the callbacks that have a state, in the recipe's order.

    Raises:
        PluginError: a state is no plain data.
    """
    found: list[dict[str, Any]] = []
    for kind, callback in zip(kinds, callbacks, strict=True):
        if not isinstance(callback, StatefulCallback):
            continue
        state = dict(callback.state())
        try:
            plain_json(state)
        except (TypeError, ValueError) as error:
            raise PluginError(
                f"the state of the callback '{kind}' must be plain JSON data, but is not: {error}",
                where="callbacks",
                fix=f"take '{kind}' out of the recipe's callbacks, and tell its author",
            ) from error
        found.append({"kind": kind, "state": state})
    return found


def restore_callbacks(
    kinds: Sequence[str],
    callbacks: Sequence[Callback],
    saved: Sequence[Mapping[str, Any]],
    warn: Callable[[str], None],
) -> None:
    """Give callbacks back what they remembered; of several of one kind, each its own, in order.

    Args:
        kinds: of the callbacks.
        callbacks: fresh ones.
        saved: what `callback_states` gave.
        warn: told of a callback that starts without, and of a state that nobody takes.

    Raises:
        CheckpointError: a callback cannot take what one of its kind gave.
    """
    left = list(saved)
    for kind, callback in zip(kinds, callbacks, strict=True):
        if not isinstance(callback, StatefulCallback):
            continue
        found = next((entry for entry in left if entry["kind"] == kind), None)
        if found is None:
            warn(f"the checkpoint holds no state of the callback '{kind}': it starts anew")
            continue
        left.remove(found)
        try:
            callback.restore(found["state"])
        except ValueError as error:
            raise CheckpointError(
                f"the callback '{kind}' cannot go on from its saved state: {error}",
                where="callbacks",
                fix="give it the settings that it had, or take it out of the recipe",
            ) from error
    for entry in left:
        warn(f"the checkpoint holds a state of the callback '{entry['kind']}', which is not used")
