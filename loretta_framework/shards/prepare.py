"""Data sets by name: turn what can be downloaded, is bundled or lies in a folder into shards.

A preparer is a module of `preparers` with two names:

- `Options`: a subclass of `api.settings.Settings`, every field with a default and a description
  (or without a default when the user must give it);
- `prepare(source, out, seed, options, say) -> CardFacts`: writes shards `<set>-NNNNNN.tar` into
  `out`, an empty folder, and says what only it knows.

Everything after that is the same for all of them and is done here: see `finish`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from loretta_framework.api.errors import InputError, nearest
from loretta_framework.shards.preparing.card import CardFacts, SetFacts
from loretta_framework.shards.preparing.finish import Say as Say, finish, making, require_place
from loretta_framework.shards.preparing.options import parse_options

if TYPE_CHECKING:
    from loretta_framework.api.settings import Settings

PREPARERS = {
    "svl-digits": (
        "svl_digits",
        "8x8 handwritten digits, spoken digits and number words: the demo and its control sets.",
    ),
    "svl-mnist": (
        "svl_mnist",
        "MNIST images, short texts and spoken digits, paired by class in disjoint pair sets.",
    ),
    "fsdd": ("fsdd", "Spoken digits (Free Spoken Digit Dataset) with their number words."),
    "omics-table": ("omics_table", "Tables of assays, one row a patient; assays may be missing."),
    "folder": ("folder", "A folder of images and captions."),
    "jsonl": ("jsonl", "Lines of JSON that name or hold the parts of each sample."),
    "mugen": ("mugen", "MUGEN game clips: video, sound and text in the published layout."),
}
"""Name -> (module in `preparers`, one sentence)."""


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What was written.

    Attributes:
        name: the data set.
        out: the folder.
        sets: what each set holds, in the card's order.
        digest: hash of the contents of all shards, in hexadecimal.
        warnings: what the check found that is no error, as sentences.
    """

    name: str
    out: Path
    sets: tuple[SetFacts, ...]
    digest: str
    warnings: tuple[str, ...] = ()


def prepare(
    name: str,
    source: Path | None,
    out: Path,
    seed: int = 0,
    options: Settings | None = None,
    say: Say | None = None,
) -> PrepareReport:
    """Build a data set's shards in a folder; the same seed, options and source give the same bytes.

    Shards are made aside, checked, and only then moved into `out`, where they replace those of an
    earlier preparation of the same data set; then they are indexed and the card is written.

    Args:
        name: one of `PREPARERS`.
        source: folder with what the data set is made from; None: its default place.
        out: folder that receives the shards.
        seed: key of splits and pairings.
        options: the preparer's `Options`; None: all defaults. See `parse`.
        say: told about longer steps; None: nobody is told.

    Raises:
        InputError: there is no data set of that name, the source is missing, or `out` holds
            something else.
        MissingDependencyError: an optional package is absent.
        ShardError: the source does not hold what is needed, or the shards did not pass the check.
        LorettaError: a download failed.
    """
    module = preparer(name)
    if options is None:
        options = parse(name)
    say = say or (lambda line: None)
    require_place(name, out)
    with making(out) as folder:
        facts: CardFacts = module.prepare(source, folder, seed, options, say)
        finished = finish(name, facts, folder, out, seed, options.model_dump(mode="json"), say)
    return PrepareReport(name, out, finished.sets, finished.digest, finished.warnings)


def preparer(name: str) -> ModuleType:
    """Import the preparer's module.

    Raises:
        InputError: there is no data set of that name.
    """
    if name not in PREPARERS:
        raise InputError(
            f"no data set is called '{name}'{nearest(name, list(PREPARERS))}",
            fix=f"choose one of: {', '.join(PREPARERS)}",
        )
    return importlib.import_module(f"{__package__}.preparers.{PREPARERS[name][0]}")


def parse(name: str, texts: Sequence[str] = ()) -> Settings:
    """The options of a data set from texts `key=value`.

    Raises:
        InputError: see `preparer` and `options.parse_options`.
    """
    options: Settings = parse_options(preparer(name).Options, texts)
    return options
