"""A profile as a table for programs (CSV) and for people (HTML)."""

from __future__ import annotations

import csv
import io
from html import escape

import numpy as np

from loretta_framework.api import IntArray
from loretta_plugin_omics.profile import Profile


def csv_sheet(profile: Profile) -> bytes:
    """One line a feature: feature, value, lower, upper; empty cells where it is missing."""
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["feature", "value", "lower", "upper"])
    lines.writerows(_rows(profile))
    return text.getvalue().encode()


def html_sheet(profile: Profile, ids: IntArray | None, bins: int) -> bytes:
    """The same with a bar: how far up the feature's bin lies among `bins`. No bars without ids."""
    parts = ["<!doctype html><meta charset='utf-8'><table>"]
    heads = ["feature", "value", "lower", "upper"] + ([] if ids is None else ["bin"])
    parts.append("<tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>")
    for place, row in enumerate(_rows(profile)):
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in row)
        if ids is not None and ids[place] < bins:
            text = f"<meter min='0' max='{bins}' value='{ids[place] + 1}'></meter>"
            cells += f"<td>{text} {ids[place] + 1}/{bins}</td>"
        parts.append(f"<tr>{cells}</tr>")
    parts.append("</table>\n")
    return "\n".join(parts).encode()


def shortest(value: np.float32) -> str:
    """The shortest text that reads back to the same float32; "" for NaN."""
    return "" if np.isnan(value) else str(value)


def _rows(profile: Profile) -> list[list[str]]:
    columns = (profile.values, profile.lower, profile.upper)
    return [
        [name, *(shortest(number) for number in numbers)]
        for name, *numbers in zip(profile.names, *columns, strict=True)
    ]
