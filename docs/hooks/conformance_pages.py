"""A page for each conformance check: what must hold, and how to mend a component that fails."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from loretta_framework.testing.conformance import Check, all_checks

TITLES = {
    "any": "Every component",
    "modality": "Modalities of every form",
    "fitted": "Tokenizers that learn from data",
}


def pages() -> Iterator[tuple[str, str]]:
    """The list, and a page for each check."""
    yield "conformance/index.md", "\n".join(_index())
    for check in all_checks():
        yield f"conformance/{check.id}.md", _page(check)


def _index() -> Iterator[str]:
    yield "# Conformance checks\n"
    yield (
        "What a component must do, checked by three lines in a plugin's tests "
        "([how](../plugins/modality.md#tests)) and by `loretta plugins doctor NAME --conformance`.\n"
    )
    for kind, checks in groupby(all_checks(), key=lambda check: check.kind):
        yield f"\n## {TITLES.get(kind, kind.capitalize() + 's')}\n"
        yield "| check | what must hold |"
        yield "|---|---|"
        for check in checks:
            yield f"| [{check.id}]({check.id}.md) | {check.sentence} |"


def _page(check: Check) -> str:
    about = TITLES.get(check.kind, f"{check.kind.capitalize()}s").lower()
    return (
        f"# {check.id}\n\n{check.sentence}\n\n*Concerns: {about}*\n\n## How to fix\n\n{check.fix}\n"
    )
