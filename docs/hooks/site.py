"""Pages that are made from the code: one source for what the program says and what the site says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

import api_pages
import cli_pages
import component_pages
import conformance_pages
import design_pages
import error_pages
import graph_pages
import recipe_pages

Pages = Callable[[], Iterator[tuple[str, str]]]
"""Makes (path under docs, markdown)."""

MAKERS: tuple[Pages, ...] = (
    api_pages.pages,
    cli_pages.pages,
    component_pages.pages,
    conformance_pages.pages,
    design_pages.pages,
    error_pages.pages,
    graph_pages.pages,
    recipe_pages.pages,
)


def on_files(files: Files, config: Any) -> Files:
    """Called by mkdocs: add the pages that are made here."""
    for make in MAKERS:
        for path, text in make():
            files.append(File.generated(config, path, content=text))
    return files
