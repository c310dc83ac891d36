"""Files in the safetensors format: a header with names, types and shapes, then the data.

The safetensors library reads them from memory: it would otherwise map the file, and a change after
the verification would change the tensors. The library is not used for writing, because it orders
the metadata randomly, and our files must have the same bytes for the same contents.

Source: the format specification in the safetensors documentation.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from demixing.errors import CheckpointError
from demixing.weights.weight_file import WeightFile

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

"""Supported types of tensors, by their names in the format."""

MOST_HEADER_BYTES = 100_000_000
"""Limit of the format."""

METADATA = "__metadata__"
"""The only key of the header that is not a tensor: a dict of strings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorFile:
    """Contents of a file.

    Attributes:
        tensors: tensors by name.
        metadata: strings by name.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read(file: WeightFile) -> TensorFile:
    """Read a whole file.

    Raises:
        CheckpointError: it has tensors of an unsupported type.
        Exception: of any kind, if it is damaged; see :func:`demixing.weights.readers.refusing`.
    """
    contents = file.contents()
    tensors = safetensors.torch.load(contents)  # checks the header, and that the data are complete
    for name, tensor in tensors.items():
        if tensor.dtype not in DTYPES.values():
            raise CheckpointError(
                f"{file.path} has {tensor.dtype} for {name[:60]!r}, not supported"
            )
    (length,) = struct.unpack_from("<Q", contents)
    header = json.loads(contents[8 : 8 + length])
    metadata = header.pop(METADATA, None) or {}
    return TensorFile(tensors={name: tensors[name] for name in header}, metadata=metadata)


def metadata(file: WeightFile) -> dict[str, str]:
    """Read only the metadata of a file.

    Raises:
        CheckpointError: the header is longer than the format allows.
        Exception: of any kind, if it is damaged; see :func:`demixing.weights.readers.refusing`.
    """
    stream = file.start()
    (length,) = struct.unpack("<Q", stream.read(8))
    if length > min(MOST_HEADER_BYTES, file.size_bytes):
        raise CheckpointError(f"expected a safetensors file at {file.path}, its header is too long")
    found = json.loads(stream.read(length)).get(METADATA) or {}
    return {str(key): str(value) for key, value in found.items()}


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
    text += b" " * (-len(text) % 8)  # data start at a multiple of their width
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, tensor in sorted(tensors.items()):
            file.write(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
