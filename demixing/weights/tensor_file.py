"""Files in the format of safetensors: a header that says what there is, and then numbers.

The format is so simple that reading and writing it takes no package: eight bytes with the length
of the header, the header as JSON, the numbers. Source: the format's description in safetensors'
documentation.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demixing.errors import CheckpointError

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

HEADER_LIMIT_BYTES = 100_000_000
"""Longer headers are refused, as the format's own package does."""

METADATA = "__metadata__"
"""The one key of the header that is no tensor: texts by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFile:
    """What a file holds.

    Attributes:
        tensors: by name, as they were written.
        metadata: texts by name.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read(path: Path) -> TensorFile:
    """Read a file whole.

    Raises:
        CheckpointError: the header is not as it should be, or the numbers are not all there.
    """
    with path.open("rb") as file:
        size_bytes = path.stat().st_size - 8
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(size_bytes, HEADER_LIMIT_BYTES):
            raise CheckpointError(f"expected a safetensors file at {path}, got another or a part")
        header = json.loads(file.read(length).decode("utf-8"))
        data = bytearray(size_bytes - length)
        file.readinto(data)
    metadata = header.pop(METADATA, {})
    if not all(isinstance(value, str) for value in metadata.values()):
        raise CheckpointError(f"expected texts as metadata in {path}")
    _check_ranges(path, header, len(data))
    return TensorFile(
        tensors={name: _tensor(path, name, entry, data) for name, entry in header.items()},
        metadata=metadata,
    )


def _check_ranges(path: Path, header: Mapping[str, dict[str, Any]], size_bytes: int) -> None:
    """Raise unless the tensors fill the file without gaps and without overlapping."""
    end = 0
    for start, stop in sorted(entry["data_offsets"] for entry in header.values()):
        if start != end or stop < start:
            raise CheckpointError(f"the tensors of {path} do not lie one after the other")
        end = stop
    if end != size_bytes:
        raise CheckpointError(f"expected {end} bytes of numbers in {path}, got {size_bytes}")


def _tensor(path: Path, name: str, entry: dict[str, Any], data: bytearray) -> Tensor:
    """Make one tensor of its part of the data."""
    shape, (start, stop) = entry["shape"], entry["data_offsets"]
    if not isinstance(shape, list) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise CheckpointError(f"expected the shape of a tensor in {path} for {name[:60]!r}")
    kind = DTYPES.get(str(entry["dtype"]))
    if kind is None:
        raise CheckpointError(
            f"tensors of the type {str(entry['dtype'])[:20]!r} in {path} are not supported"
        )
    if stop - start != math.prod(shape) * kind.itemsize:
        raise CheckpointError(f"the tensor {name[:60]!r} of {path} has not the bytes of its shape")
    if start == stop:
        return torch.empty(shape, dtype=kind)
    # One by one, and a copy: an offset need not be a multiple of the width.
    return torch.frombuffer(bytearray(data[start:stop]), dtype=kind).reshape(shape)


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a file; the same contents always give the same bytes.

    Raises:
        OSError: it cannot be written.
    """
    kinds = {dtype: name for name, dtype in DTYPES.items()}
    header: dict[str, object] = {METADATA: dict(sorted(metadata.items()))}
    offset = 0
    for name, tensor in sorted(tensors.items()):
        end = offset + tensor.numel() * tensor.itemsize
        header[name] = {
            "dtype": kinds[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=True).encode()
    text += b" " * (-len(text) % 8)  # numbers begin at a multiple of their width
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, tensor in sorted(tensors.items()):
            file.write(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
