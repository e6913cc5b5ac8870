"""`python -m loretta_plugin_omics generated/*.csv --out table.csv`: one table of many profiles."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from loretta_plugin_omics.tables import read_profile, write_table


def main(arguments: Sequence[str] | None = None) -> int:
    """Join profiles, one row each; the id is the file's name without its ending. 2: bad input."""
    parser = argparse.ArgumentParser("python -m loretta_plugin_omics", description=main.__doc__)
    parser.add_argument("profiles", nargs="+", type=Path, help="files that generation wrote")
    parser.add_argument("--out", required=True, type=Path, help="the CSV to write")
    parser.add_argument(
        "--quantity", choices=("values", "lower", "upper"), default="values", help="what it holds"
    )
    asked = parser.parse_args(arguments)
    try:
        found = {}
        for path in asked.profiles:
            if path.stem in found:
                raise ValueError(f"{path}: the name {path.stem!r} occurs twice")
            found[path.stem] = read_profile(path)
        write_table(asked.out, found, asked.quantity)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
