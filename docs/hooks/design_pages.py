"""The list of design records."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

RECORDS = Path(__file__).parents[1] / "design"


def pages() -> Iterator[tuple[str, str]]:
    """One page."""
    yield "design/index.md", "\n".join(_page())


def _page() -> Iterator[str]:
    yield "# Design records\n"
    yield "Short dated records: the question, the options, the evidence, the decision.\n"
    for file in sorted(RECORDS.glob("2*.md"), reverse=True):
        title = file.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        yield f"- {file.name[:10]}: [{title}]({file.name})"
