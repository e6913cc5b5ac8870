"""The name of a plugin, and everything that is named after it."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection
from dataclasses import dataclass

from loretta_framework.api.errors import InputError

PLACEHOLDER = "template"
"""In templates this word stands for the plugin's name, and for nothing else."""

_LONGEST = 40
_FORM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
"""pip takes several _ for one, and no distribution's name ends with one."""


@dataclass(frozen=True, slots=True)
class PluginName:
    """A name that a new plugin may have.

    Attributes:
        text: the entry-point name, the prefix of all its components.
    """

    text: str

    @property
    def distribution(self) -> str:
        """What pip installs, and the folder it is written to."""
        return f"loretta-plugin-{self.text}"

    def replaced(self, template: str) -> str:
        """A template's text or path with this name in place of the placeholder."""
        own = template.replace(PLACEHOLDER, self.text)
        return own.replace(PLACEHOLDER.capitalize(), _class_name(self.text))


def _class_name(text: str) -> str:
    return "".join(part.capitalize() for part in text.split("_"))


def _can_be_part_of_names(text: str) -> bool:
    reserved = (
        text == PLACEHOLDER or keyword.iskeyword(text) or keyword.iskeyword(_class_name(text))
    )
    return len(text) <= _LONGEST and bool(_FORM.fullmatch(text)) and not reserved


def checked_name(text: str, bundled: Collection[str], installed: Collection[str]) -> PluginName:
    """The name, if a new plugin may have it.

    Args:
        text: as the author wrote it.
        bundled: names of plugins that belong to this project.
        installed: names of plugins that are installed.

    Raises:
        InputError: it cannot be part of a module's name, or is taken.
    """
    where = f"plugin name '{text}'"
    if not _can_be_part_of_names(text):
        raise InputError(
            "a plugin's name must be a lower-case letter and then lower-case letters, digits or "
            f"single _ between them ({_LONGEST} at most), no word of Python's own, and not "
            f"'{PLACEHOLDER}'",
            where=where,
            fix="take a name such as 'tide' or 'rna_seq'",
        )
    if text in bundled:
        raise InputError(
            "the name belongs to a plugin of this project", where=where, fix="take another one"
        )
    if text in installed:
        raise InputError(
            "a plugin of this name is installed, and two of one name cannot be used together",
            where=where,
            fix="take another name; `loretta plugins list` shows those in use",
        )
    return PluginName(text)
