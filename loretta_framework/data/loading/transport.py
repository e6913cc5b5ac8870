"""The samples of a step as one run of bytes, for the way from a loader process to its parent.

Pickling a step costs the parent an object for every array of every sample. Here all tokens travel
as one array, in the smallest integers that hold them, all features of continuous modalities as
another, and the arrays that come out are views of these.

    header | bad rows or an error, as JSON | strings, joined | numbers, int64 | tokens | features

The numbers: how many strings, tasks, samples, parts and parts that are features there are; the
length of each string in characters; name and number of samples of each task; of all samples the
positions, then whether they are ordered, labels, numbers of parts; of all parts the names, then the
numbers of tokens; of all features the part that they are, then the number of axes, then their
lengths. The key of sample n is string n; every other string is named by its number, -1 for none.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from itertools import accumulate, islice, pairwise
from math import prod
from typing import Any

import numpy as np

from loretta_framework.api.protocols import IntArray
from loretta_framework.data.decode import BadRow
from loretta_framework.data.loading.travelling_errors import from_json, to_json
from loretta_framework.sequence.rows import Content, TokenizedSample

StepSamples = dict[str, list[TokenizedSample]]

_HEADER = struct.Struct("<BQQQ")  # dtype of the tokens; bytes of the JSON, strings and numbers
_NO_IDS = np.empty(0, np.int64)
_DTYPES = tuple(np.dtype(code) for code in ("u1", "i1", "<u2", "<i2", "<u4", "<i4", "<i8"))


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a loader process hands to its parent for one step.

    Attributes:
        samples: task name -> samples.
        bad: rows that could not be used.
        error: why there are no samples.
        failed: task name -> positions whose own row could not be used; they have substitutes.
    """

    samples: StepSamples
    bad: list[BadRow] = field(default_factory=list)
    error: Exception | None = None
    failed: dict[str, list[int]] = field(default_factory=dict)


def pack(result: StepResult) -> bytes:
    """Bytes that `unpack` turns into an equal result; of an error, see `travelling_errors`."""
    samples = [sample for given in result.samples.values() for sample in given]
    parts = [part for sample in samples for part in sample.parts]
    strings = [sample.key for sample in samples]
    known: dict[str, int] = {}

    def number(name: str) -> int:
        if name not in known:
            known[name] = len(strings)
            strings.append(name)
        return known[name]

    tasks = [n for name, given in result.samples.items() for n in (number(name), len(given))]
    labels = [-1 if sample.label is None else number(sample.label) for sample in samples]
    names = [number(name) for name, _ in parts]
    features = [(n, array) for n, (_, array) in enumerate(parts) if array.dtype.kind == "f"]
    ids = [_NO_IDS if a.dtype.kind == "f" else np.asarray(a, np.int64) for _, a in parts]
    numbers = [len(strings), len(result.samples), len(samples), len(parts), len(features)]
    numbers += [len(text) for text in strings]
    numbers += tasks
    numbers += [sample.position for sample in samples]
    numbers += [sample.ordered for sample in samples]
    numbers += labels
    numbers += [len(sample.parts) for sample in samples]
    numbers += names
    numbers += [len(ids_T) for ids_T in ids]
    numbers += [n for n, _ in features]
    numbers += [array.ndim for _, array in features]
    numbers += [length for _, array in features for length in array.shape]
    code, tokens = _narrowed(ids)
    told = json.dumps(_told(result)).encode()
    text = "".join(strings).encode("utf-8", "surrogatepass")
    numbered = np.array(numbers, dtype="<i8").tobytes()
    header = _HEADER.pack(code, len(told), len(text), len(numbered))
    raw = [array.astype("<f4", copy=False).tobytes() for _, array in features]
    return b"".join((header, told, text, numbered, tokens, *raw))


def unpack(data: bytes | bytearray) -> StepResult:
    """What was packed. The ids of all samples are views of one int64 array, their features of one
    float32 array."""
    code, *sizes = _HEADER.unpack_from(data)
    told_at, text_at, numbers_at, tokens_at = accumulate(sizes, initial=_HEADER.size)
    told = json.loads(bytes(data[told_at:text_at]))
    text = bytes(data[text_at:numbers_at]).decode("utf-8", "surrogatepass")
    numbers = iter(np.frombuffer(data, "<i8", sizes[2] // 8, numbers_at).tolist())
    string_count, task_count, sample_count, part_count, feature_count = islice(numbers, 5)

    def column(length: int) -> list[int]:
        return list(islice(numbers, length))

    strings = [text[first:stop] for first, stop in _spans(column(string_count))]
    tasks = column(2 * task_count)
    positions, ordered, labels, counts = (column(sample_count) for _ in range(4))
    names = [strings[name] for name in column(part_count)]
    lengths = column(part_count)
    places, axes = column(feature_count), column(feature_count)
    shapes = {place: tuple(column(count)) for place, count in zip(places, axes, strict=True)}
    contents = _contents(memoryview(data)[tokens_at:], _DTYPES[code], lengths, shapes)
    parts = list(zip(names, contents, strict=True))
    samples = iter(
        [
            TokenizedSample(
                key, tuple(parts[first:stop]), at, ranked == 1, None if n < 0 else strings[n]
            )
            for key, (first, stop), at, ranked, n in zip(
                strings, _spans(counts), positions, ordered, labels, strict=False
            )
        ]
    )
    given = {
        strings[name]: list(islice(samples, count))
        for name, count in zip(tasks[::2], tasks[1::2], strict=True)
    }
    bad = [BadRow(*row) for row in told["bad"]]
    error = from_json(told["error"]) if told["error"] else None
    return StepResult(given, bad, error, told["failed"])


def _told(result: StepResult) -> dict[str, Any]:
    error = None if result.error is None else to_json(result.error)
    bad = [astuple(row) for row in result.bad]
    return {"bad": bad, "error": error, "failed": result.failed}


def _contents(
    data: memoryview, dtype: np.dtype[Any], lengths: list[int], shapes: dict[int, tuple[int, ...]]
) -> list[Content]:
    """Each part's ids; the features instead of those that have a shape."""
    count = sum(lengths)
    tokens_T = np.frombuffer(data, dtype, count).astype(np.int64)
    contents: list[Content] = [tokens_T[first:stop] for first, stop in _spans(lengths)]
    if shapes:
        values = np.frombuffer(data, "<f4", offset=count * dtype.itemsize).astype(np.float32)
        spans = _spans([prod(shape) for shape in shapes.values()])
        for (place, shape), (first, stop) in zip(shapes.items(), spans, strict=True):
            contents[place] = values[first:stop].reshape(shape)
    return contents


def _narrowed(ids: list[IntArray]) -> tuple[int, bytes]:
    """All tokens in the smallest integers that hold them: number of the dtype, and bytes."""
    tokens_T = np.concatenate(ids) if ids else _NO_IDS
    low, high = (int(tokens_T.min()), int(tokens_T.max())) if len(tokens_T) else (0, 0)
    bounds = (np.iinfo(dtype) for dtype in _DTYPES)
    code = next(n for n, b in enumerate(bounds) if b.min <= low and high <= b.max)
    return code, tokens_T.astype(_DTYPES[code]).tobytes()


def _spans(lengths: list[int]) -> Iterator[tuple[int, int]]:
    """(first, stop) of consecutive runs of these lengths."""
    return pairwise(accumulate(lengths, initial=0))
