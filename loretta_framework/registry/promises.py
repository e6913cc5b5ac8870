"""What a component's settings class must be, and what its settings must promise.

A fault here is the plugin's, never the recipe's: the error names file and line of its code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from loretta_framework.api.errors import LorettaError, PluginError
from loretta_framework.api.specs import ComponentSpec, ModalitySpec, ObjectiveSpec
from loretta_framework.registry.faults import cause_of, place_of, place_of_class
from loretta_framework.sequence.vocabulary import require_sound

if TYPE_CHECKING:
    from loretta_framework.api.settings import Settings


def settings_class(spec: ComponentSpec) -> type[Settings]:
    """Import a component's settings class.

    Raises:
        PluginError: the import fails, or it is no class of the kind that the component needs.
    """
    from loretta_framework.api.settings import ModalitySettings, ObjectiveSettings, Settings

    try:
        found = spec.settings_class()
    except LorettaError:
        raise
    except (Exception, SystemExit) as error:  # a plugin's module may raise anything on import
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


def require_promises(spec: ComponentSpec, settings: Any) -> None:
    """Ask settings for what the Plan is made of: a modality's bounds, an objective's schedule.

    Raises:
        PluginError: they have none, raise, or promise what cannot be.
    """
    if not isinstance(spec, ModalitySpec | ObjectiveSpec):
        return
    asked = "bounds" if isinstance(spec, ModalitySpec) else "schedule"
    try:
        promised = getattr(settings, asked)()
        _require_sound(spec, promised)
    except NotImplementedError as error:
        place = place_of_class(type(settings)) or spec.settings
        raise PluginError(f"{type(settings).__name__} has no {asked}()", where=place) from error
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
