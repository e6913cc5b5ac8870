"""What a component's settings class must be, and what its settings must promise.

A fault here is the plugin's, never the recipe's: the error names file and line of its code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loretta_framework.api.errors import LorettaError, PluginError
from loretta_framework.api.specs import (
    ComponentSpec,
    LazyReference,
    ModalitySpec,
    ObjectiveSpec,
)
from loretta_framework.registry import notices
from loretta_framework.registry.faults import cause_of, place_of, place_of_class
from loretta_framework.registry.guard import contained, resolved
from loretta_framework.sequence.vocabulary import require_sound

if TYPE_CHECKING:
    from loretta_framework.api.settings import Settings


def imported(spec: ComponentSpec, reference: str, notes: list[str] | None = None) -> Any:
    """Import a component's settings class or factory; the process stays as it was.

    Args:
        spec: of the component.
        reference: its `settings` or `factory`.
        notes: gets what the import changed; None: whoever listens is told.

    Raises:
        RaisedByPlugin: it ends the interpreter. Else whatever the module raises.
    """
    if "." not in spec.name:  # the built-in's
        return LazyReference.parse(reference).resolve()
    found: list[str] = []
    try:
        limited = reference == spec.settings
        return resolved(reference, f"'{reference}' of '{spec.name}'", found, limited)
    finally:
        if notes is None:
            for note in found:
                notices.listener()(f"'{spec.name}': {note}")
        else:
            notes += found


def settings_class(spec: ComponentSpec) -> type[Settings]:
    """Import a component's settings class.

    Raises:
        PluginError: the import fails, or it is no class of the kind that the component needs.
    """
    from loretta_framework.api.settings import ModalitySettings, ObjectiveSettings, Settings

    try:
        found = imported(spec, spec.settings)
    except LorettaError:
        raise
    except Exception as error:  # a plugin's module may raise anything on import
        raise PluginError(cause_of(error), where=_place(spec, error)) from error
    base: type[Settings] = Settings
    if isinstance(spec, ModalitySpec):
        base = ModalitySettings
    elif isinstance(spec, ObjectiveSpec):
        base = ObjectiveSettings
    if not (isinstance(found, type) and issubclass(found, base)):
        is_ = found.__name__ if isinstance(found, type) else repr(found)
        raise PluginError(
            f"it must be a subclass of loretta_framework.api.{base.__name__}, but is {is_}",
            where=place_of_class(found) or spec.settings,
        )
    return found


def require_bounds_method(spec: ComponentSpec, found: Any) -> None:
    """A modality's settings class has `bounds()`, told without making settings.

    Raises:
        PluginError: it has none.
    """
    from loretta_framework.api.settings import ModalitySettings

    if found.bounds is ModalitySettings.bounds:
        raise _has_none(spec, found, "bounds")


def _has_none(spec: ComponentSpec, found: type, asked: str) -> PluginError:
    where = place_of_class(found) or spec.settings
    return PluginError(f"{found.__name__} has no {asked}()", where=where)


def require_promises(spec: ComponentSpec, settings: Any) -> None:
    """Ask settings for what the Plan is made of: a modality's bounds, an objective's schedule.

    Raises:
        PluginError: they have none, raise, or promise what cannot be.
    """
    if not isinstance(spec, ModalitySpec | ObjectiveSpec):
        return
    asked = "bounds" if isinstance(spec, ModalitySpec) else "schedule"
    try:
        with contained():
            promised = getattr(settings, asked)()
        _require_sound(spec, promised)
    except NotImplementedError as error:
        raise _has_none(spec, type(settings), asked) from error
    except Exception as error:  # it may raise anything
        raise PluginError(f"{asked}(): {cause_of(error)}", where=_place(spec, error)) from error


def _require_sound(spec: ModalitySpec | ObjectiveSpec, promised: Any) -> None:
    if isinstance(spec, ObjectiveSpec):
        if not (0 <= promised.start <= 1 and promised.every >= 1):
            raise ValueError(f"it must have start in 0..1 and every >= 1, but is {promised}")
    else:
        require_sound(promised, spec.capabilities.form)


def _place(spec: ComponentSpec, error: BaseException) -> str:
    file, line = place_of(error, spec.settings.partition(":")[0].partition(".")[0])
    return f"{file}:{line}" if file else spec.settings
