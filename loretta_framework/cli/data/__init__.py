"""`loretta data`: make data sets, and look at shards. One file a verb."""

from __future__ import annotations

import click

from loretta_framework.cli.lazy import LazyGroup

VERBS = {
    "prepare": ("loretta_framework.cli.data.prepare:prepare", "Build the shards of a data set."),
    "index": ("loretta_framework.cli.data.index:index", "Index shards and show what they hold."),
    "lint": ("loretta_framework.cli.data.lint:lint", "Name every fault of shards."),
    "preview": ("loretta_framework.cli.data.preview:preview", "Show some samples."),
    "tokenize": (
        "loretta_framework.cli.data.tokenize:tokenize",
        "Make the tokens of the training sets once, to train from.",
    ),
}
"""See `lazy.Table`."""


@click.group(cls=LazyGroup, table=VERBS)
def data() -> None:
    """Prepare, index, check and preview data sets."""
