"""Reads TensorFlow checkpoints without TensorFlow: an index of names, and a data file.

The index is a LevelDB table of sorted keys in blocks, and its values are protocol buffers. Nothing
in it can run.

Source: LevelDB's doc/table_format.md; tensor_bundle.proto and tensor_bundle.h of TensorFlow.
"""

import math
import pickle
import struct
from collections.abc import Iterator

import torch
from torch import Tensor

from demixing.weights.bounds import MOST_TENSORS
from demixing.weights.protobuf import fields, varint

MAGIC_NUMBER = 0xDB4775248B80FB57
"""Last eight bytes of every such table."""

FOOTER_BYTES = 48

MOST_ENTRY_BYTES = 4096
"""Length of a name, or of the description of a variable."""

FLOAT = 1
"""TensorFlow's type number for float32."""


class Damaged(pickle.UnpicklingError):
    """The checkpoint is damaged."""


def read(index: bytes, data: bytes) -> dict[str, Tensor]:
    """Read all float32 variables of a checkpoint with one data file.

    Args:
        index: contents of the file that ends with ``.index``.
        data: contents of the file that ends with ``.data-00000-of-00001``.

    Raises:
        Exception: of any kind, if it is damaged; see :func:`demixing.weights.readers.refusing`.
    """
    table = memoryview(index)
    if struct.unpack("<Q", table[-8:])[0] != MAGIC_NUMBER:
        raise Damaged("its index is not a table")
    _, at = _handle(table, len(table) - FOOTER_BYTES)
    (offset, length), _ = _handle(table, at)
    numbers = memoryview(data)
    found: dict[str, Tensor] = {}
    left, left_bytes = MOST_TENSORS, len(data)
    for _, handle in _entries(_block(table, offset, length)):
        for key, entry in _entries(_block(table, *_handle(handle, 0)[0])):
            tensor = _tensor(entry, numbers) if key else None  # the first entry describes the file
            left -= 1
            if tensor is not None:
                left_bytes -= tensor.numel() * tensor.itemsize
                found[key.decode("utf-8")] = tensor
            if left < 0 or left_bytes < 0:
                raise Damaged("it has more variables than numbers")
    return found


def _handle(table: memoryview, at: int) -> tuple[tuple[int, int], int]:
    """Read the offset and length of a block, and the offset of their end."""
    offset, at = varint(table, at)
    length, at = varint(table, at)
    return (offset, length), at


def _block(table: memoryview, offset: int, length: int) -> memoryview:
    """Return the contents of a block."""
    if table[offset + length] != 0:
        raise Damaged("its index is compressed, which TensorFlow never does")
    return table[offset : offset + length]


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the keys and values of a block; each key is stored as a difference."""
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (restarts + 1)
    key, at = b"", 0
    while at < end:
        shared, at = varint(block, at)
        more, at = varint(block, at)
        length, at = varint(block, at)
        if max(shared + more, length) > MOST_ENTRY_BYTES:
            raise Damaged("an entry is too long")
        key = key[:shared] + bytes(block[at : at + more])
        at += more
        yield key, block[at : at + length]
        at += length


def _tensor(entry: memoryview, numbers: memoryview) -> Tensor | None:
    """Read one variable; None if it is not float32, such as the training step."""
    said = dict(fields(entry))
    if said.get(1) != FLOAT:
        return None
    shape = [_size(part) for number, part in fields(_message(said.get(2))) if number == 2]
    offset, size_bytes = (said.get(number, 0) for number in (4, 5))
    if not isinstance(offset, int) or not isinstance(size_bytes, int) or 7 in said:
        raise Damaged("it is in slices")
    if said.get(3, 0) != 0 or size_bytes != 4 * math.prod(shape):
        raise Damaged("the shape of a variable does not match its numbers")
    part = numbers[offset : offset + size_bytes]
    if len(part) != size_bytes:
        raise Damaged("it ends too early")
    return torch.frombuffer(bytearray(part), dtype=torch.float32).reshape(shape)


def _size(dimension: memoryview | int) -> int:
    """Read one dimension of a shape."""
    size = dict(fields(_message(dimension))).get(1, 0)
    if not isinstance(size, int):
        raise Damaged("a dimension has no valid size")
    return size


def _message(value: memoryview | int | None) -> memoryview:
    """Check that a field is a message; a missing one counts as empty."""
    if isinstance(value, int):
        raise Damaged("a message is a number")
    return value or memoryview(b"")
