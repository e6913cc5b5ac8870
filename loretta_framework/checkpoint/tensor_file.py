"""One safetensors file: written tensor by tensor with its digest, read by the library.

The library's own `save_file` refuses tensors that share memory, copies everything first, leaves no
place for the digest and turns a full disk into an error without its number. The format is a length,
a JSON header and the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from loretta_framework.api.atomic import durable_file
from loretta_framework.api.errors import CheckpointError
from loretta_framework.checkpoint.manifest import FileRecord

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> FileRecord:
    """Write whole tensors of any shape and device to a new file, synchronised to disk.

    Tensors that share memory are written once each, non-contiguous ones in row-major order. At
    most one tensor at a time is copied to the host.

    Returns:
        Size and digest of the bytes.

    Raises:
        CheckpointError: a tensor's dtype or layout has no place in a safetensors file.
        OSError: the file cannot be written.
    """
    header = _header(tensors)
    digest, size = sha256(header), len(header)
    # Hashing and writing both release the interpreter lock: a thread makes the digest nearly free.
    with durable_file(path) as file, ThreadPoolExecutor(1) as hasher:
        file.write(header)
        for name in _order(tensors):
            data = _bytes(tensors[name])
            hashed = hasher.submit(digest.update, data)
            file.write(data)
            hashed.result()
            size += len(data)
    return FileRecord(bytes=size, sha256=digest.hexdigest())


def tensor_file_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Exact size of the file that `write_tensors` would make.

    Raises:
        CheckpointError: a tensor's dtype or layout has no place in a safetensors file.
    """
    return len(_header(tensors)) + sum(tensor.nbytes for tensor in tensors.values())


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, on the CPU. No code is run, whatever the file holds.

    Raises:
        CheckpointError: it is no safetensors file.
    """
    try:
        return dict(safetensors.torch.load_file(path))
    except (SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"this is no safetensors file: {error}", where=str(path), fix="copy it again"
        ) from error


def _order(tensors: Mapping[str, Tensor]) -> list[str]:
    # Widest items first keeps every tensor aligned to its item size, which mapped reading wants.
    return sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))


def _header(tensors: Mapping[str, Tensor]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in _order(tensors):
        tensor = tensors[name]
        if tensor.dtype not in _NAMES or tensor.layout != torch.strided or name in entries:
            raise CheckpointError(
                f"tensor '{name}' ({tensor.dtype}, {tensor.layout}) cannot be written",
                fix="save a dense tensor of a real, integer or boolean dtype under another name",
            )
        entries[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + tensor.nbytes],
        }
        offset += tensor.nbytes
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().flatten()
    # One element, or none, counts as contiguous whatever its stride; `view` then refuses. And
    # `view(uint8)` rather than `numpy()` alone: numpy has no bfloat16.
    return flat.as_strided(flat.shape, (1,)).view(torch.uint8).numpy().data
