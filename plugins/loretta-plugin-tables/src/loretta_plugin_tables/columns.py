"""The cells of a column as file bytes: what each Arrow type becomes, and what is refused."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Cell: TypeAlias = Callable[[int], "bytes | None"]
"""Row -> bytes of the cell, None when it is null. Raises `ValueError` when it has no such form."""


def cells(values: pa.ChunkedArray, extension: str, labels: Sequence[str] = ()) -> Cell:
    """The cells of a column as files of this extension.

    Args:
        values: the column, or a part of it.
        extension: of the member that it becomes, without the dot.
        labels: names of the classes when the column holds class numbers.

    Raises:
        TypeError: the column's type cannot become such a file; the text says what could.
    """
    column = _plain(values)
    kind = column.type
    _require_numbers(kind, labels)
    if _is_bytes(kind) or _is_text(kind):
        return _stored(column)
    if extension == "json":
        return _as_json(_values(column, labels))
    if labels or _is_number(kind):
        if extension == "txt":
            return _as_text(_values(column, labels))
        raise TypeError(f"numbers ({kind}) become '.txt' or '.json', not '.{extension}'")
    if _depth(kind):
        if extension == "npy":
            return _as_array(column, *_depth_and_type(kind))
        raise TypeError(f"lists of numbers ({kind}) become '.npy' or '.json', not '.{extension}'")
    raise TypeError(f"'{kind}' can become '.json' only")


def facts(columns: Mapping[str, pa.ChunkedArray], labels: Mapping[str, Sequence[str]]) -> Cell:
    """Several columns as one JSON object; a null stays a null.

    Raises:
        TypeError: a column of classes holds no numbers.
    """
    readers = {}
    for name, values in columns.items():
        column, classes = _plain(values), labels.get(name, ())
        _require_numbers(column.type, classes)
        readers[name] = _values(column, classes)

    def row(number: int) -> bytes:
        return _dump({name: read(number) for name, read in readers.items()})

    return row


def _require_numbers(kind: pa.DataType, labels: Sequence[str]) -> None:
    if labels and not (pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise TypeError("it is declared as a column of classes, but holds no whole numbers")


def _plain(values: pa.ChunkedArray) -> pa.Array:
    """One array without extension, dictionary, or the {bytes, path} form of media."""
    while isinstance(values.type, pa.BaseExtensionType):
        kind = values.type.storage_type
        values = pa.chunked_array([chunk.storage for chunk in values.chunks], kind)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if _is_media(values.type):
        _require_embedded(values)
        values = pc.struct_field(values, "bytes")
    if _is_bytes(values.type):
        # 32-bit offsets end at 2 GiB, which the chunks of one row group may exceed together.
        values = values.cast(pa.large_binary())
    elif _is_text(values.type):
        values = values.cast(pa.large_string()).cast(pa.large_binary())
    return values.combine_chunks()


def _is_media(kind: pa.DataType) -> bool:
    """Whether it is the {bytes, path} form in which Hugging Face stores images and sounds."""
    if not pa.types.is_struct(kind) or kind.get_field_index("bytes") < 0:
        return False
    return _is_bytes(kind.field("bytes").type)


def _require_embedded(values: pa.ChunkedArray) -> None:
    if values.type.get_field_index("path") < 0:
        return
    absent = pc.is_null(pc.struct_field(values, "bytes"))
    named = pc.is_valid(pc.struct_field(values, "path"))
    if pc.any(pc.and_(absent, named)).as_py():
        raise TypeError("it names files instead of holding them; save it with its files embedded")


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def _is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _depth_and_type(kind: pa.DataType) -> tuple[int, pa.DataType]:
    depth = 0
    while _is_list(kind):
        depth, kind = depth + 1, kind.value_type
    return depth, kind


def _depth(kind: pa.DataType) -> int:
    """Axes of a list of numbers, 0 for anything else."""
    depth, inner = _depth_and_type(kind)
    return depth if _is_number(inner) else 0


def _stored(column: pa.Array) -> Cell:
    def row(number: int) -> bytes | None:
        cell = column[number]
        return cell.as_buffer().to_pybytes() if cell.is_valid else None

    return row


def _values(column: pa.Array, labels: Sequence[str]) -> Callable[[int], Any]:
    """Row -> Python value; class numbers become names, and -1 means that there is no class."""
    single = pa.types.is_float32(column.type) or pa.types.is_float16(column.type)
    text = _is_bytes(column.type)

    def row(number: int) -> Any:
        value = column[number].as_py()
        if value is None:
            return None
        if labels:
            if value == -1:
                return None
            if not 0 <= value < len(labels):
                raise ValueError(f"class {value} has no name; there are {len(labels)} classes")
            return labels[value]
        if single:  # 0.1, not the 0.10000000149011612 of the wider type
            return float(str(np.float32(value)))
        return value.decode("utf-8") if text else value

    return row


def _as_text(read: Callable[[int], Any]) -> Cell:
    def row(number: int) -> bytes | None:
        value = read(number)
        if value is None or value != value:  # NaN is how other tools write that there is none
            return None
        return (str(value).lower() if isinstance(value, bool) else str(value)).encode()

    return row


def _as_json(read: Callable[[int], Any]) -> Cell:
    def row(number: int) -> bytes | None:
        value = read(number)
        return None if value is None else _dump(value)

    return row


def _dump(value: Any) -> bytes:
    try:
        text = json.dumps(_finite(value), ensure_ascii=False, sort_keys=True, default=_spelled)
    except TypeError as error:
        raise ValueError(f"it cannot be written as JSON: {error}") from error
    return text.encode()


def _spelled(value: Any) -> str:
    if isinstance(value, bytes):
        raise TypeError("it holds bytes")
    return str(value)  # dates, times and decimals


def _finite(value: Any) -> Any:
    """JSON has no NaN: what is not finite becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


def _as_array(column: pa.Array, axes: int, inner: pa.DataType) -> Cell:
    floating = pa.types.is_floating(inner)
    dtype = np.dtype("<f4" if floating else "<i8")

    def row(number: int) -> bytes | None:
        cell = column[number]
        if not cell.is_valid:
            return None
        if axes == 1 and cell.values.null_count == 0:
            array = cell.values.to_numpy(zero_copy_only=False)
        else:
            array = _nested(cell.as_py(), axes, floating)
        if inner == pa.uint64() and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError("a number is larger than an int64 can hold")
        file = io.BytesIO()
        np.save(file, np.ascontiguousarray(array, dtype), allow_pickle=False)
        return file.getvalue()

    return row


def _nested(value: Any, axes: int, floating: bool) -> Any:
    try:
        array = np.asarray(value, np.float64 if floating else None)
    except (ValueError, TypeError) as error:
        raise ValueError("its inner lists differ in length, or hold nulls") from error
    if array.dtype == object:
        raise ValueError("it holds nulls, and whole numbers have no sign for that")
    if array.ndim != axes and array.size:
        raise ValueError("its inner lists hold nulls")
    return array
