"""Which features a file may name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from loretta_framework.api.errors import nearest
from loretta_plugin_omics.profile import Profile


def check_names(
    names: Sequence[str], known: Sequence[str] | None, count: int, allow_extra: bool
) -> None:
    """Raise `ValueError` when a file must not name these.

    Args:
        names: of the file.
        known: the tokenizer's; None before the fit has learned them.
        count: how many the settings allow.
        allow_extra: whether names that are not known are left out instead.
    """
    if known is None:
        if len(names) > count:
            raise ValueError(
                f"it has {len(names)} features, but the setting 'features' is {count};"
                f" set features: {len(names)}, or list the names to use"
            )
        return
    if set(names).isdisjoint(known):
        raise ValueError(
            f"none of its {len(names)} features is known: it must have some of"
            f" {', '.join(known[:3])}, ... but has {', '.join(names[:3])}, ..."
        )
    if not allow_extra:
        _refuse_unknown(names, known)


def _refuse_unknown(names: Iterable[str], known: Sequence[str]) -> None:
    if found := set(names) - set(known):
        first = min(found)
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise ValueError(
            f"there is no feature {first!r}{nearest(first, known)}{more};"
            " 'extra: ignore' leaves unknown ones out"
        )


def names_of(profiles: Iterable[Profile], count: int) -> tuple[str, ...]:
    """The names of all profiles, in the order in which they occur.

    Raises:
        ValueError: there are not exactly `count`.
    """
    found: dict[str, None] = {}
    last: tuple[str, ...] = ()
    for profile in profiles:
        if profile.names != last:
            found.update(dict.fromkeys(profile.names))
            last = profile.names
    if len(found) != count:
        raise ValueError(
            f"the training rows name {len(found)} features, but the setting 'features' is {count};"
            f" set features: {len(found)}, or list the names to use"
        )
    return tuple(found)
