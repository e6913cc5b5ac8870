"""File bytes to recordings. Limits are told before numbers are decoded.

S: recorded steps, C: channels.
"""

from __future__ import annotations

import io
import json
from tokenize import TokenError

import numpy as np

from loretta_plugin_signals.recording import Recording, from_python, refuse_steps
from loretta_plugin_signals.settings import SeriesSettings
from loretta_plugin_signals.tables import read_table

EXTENSIONS = ("csv", "tsv", "npy", "json")


def decode_file(data: bytes, extension: str, settings: SeriesSettings) -> Recording:
    """The recording that a file holds.

    Raises:
        ValueError: the file cannot be read, has too many steps or not the channels asked for.
    """
    if extension in ("csv", "tsv"):
        return read_table(data, "," if extension == "csv" else "\t", settings)
    if extension == "npy":
        return from_python(_from_npy(data, settings), settings)
    if extension == "json":
        return from_python(_from_json(data, settings), settings)
    raise ValueError(f"the extension must be one of {list(EXTENSIONS)}, but is {extension!r}")


def _from_npy(data: bytes, settings: SeriesSettings) -> object:
    """The array, its header checked before anything is allocated."""
    file = io.BytesIO(data)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(file)
    if version not in read_header:
        raise ValueError(f"the npy version must be 1.0 or 2.0, but is {version}")
    try:
        shape, _, dtype = read_header[version](file)
    except (TokenError, SyntaxError, TypeError, RecursionError) as error:
        raise ValueError(f"the npy header cannot be read: {error}") from error
    if dtype.kind not in "iuf" or len(shape) not in (1, 2):
        text = f"numbers (S, {len(settings.names)}), but is {dtype} {shape}"
        raise ValueError(f"the array must be {text}")
    refuse_steps(shape[0], settings)
    size = dtype.itemsize * int(np.prod([float(length) for length in shape]))
    if len(data) - file.tell() != size:
        raise ValueError(f"the array must have {size} bytes, but has {len(data) - file.tell()}")
    return np.load(io.BytesIO(data), allow_pickle=False)


def _from_json(data: bytes, settings: SeriesSettings) -> object:
    commas = data.count(b",")
    if commas >= settings.max_steps * (len(settings.names) + 1):
        refuse_steps(commas // len(settings.names) + 1, settings)
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    if not isinstance(value, list | dict):
        raise ValueError(f"the JSON must be a list or an object, but is {type(value).__name__}")
    return value
