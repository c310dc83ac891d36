"""Parses the fields of protocol buffers, without a package.

Source: the encoding in the Protocol Buffers documentation.
"""

from collections.abc import Iterator
from typing import overload

from demixing.weights.file_view import FileView

Part = memoryview | FileView
"""Bytes of a message, in memory or in a file."""


@overload
def fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]: ...


@overload
def fields(message: Part) -> Iterator[tuple[int, Part | int]]: ...


def fields(message: Part) -> Iterator[tuple[int, Part | int]]:
    """Yield the fields of a message.

    Yields:
        Number and value of each field: an int, or the bytes of a string, message or fixed-width
        number.

    Raises:
        ValueError: this is not a protocol buffer.
        IndexError: the message is truncated.
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = varint(message, at)
        if tag >= 1 << 32:  # other parsers drop the high bits, and would read another field
            raise ValueError("no such field")
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = varint(message, at)
            yield number, value
            continue
        if wire == 2:
            length, at = varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError("no such wire type")
        if length > end - at:
            raise IndexError("the message ends too early")
        yield number, message[at : at + length]
        at += length


def varint(message: Part, at: int) -> tuple[int, int]:
    """Read a variable-length number at an offset; return it and the offset of its end.

    >>> varint(memoryview(bytes([0x96, 0x01])), 0)
    (150, 2)
    """
    value = message[at]
    if value < 128:  # nearly all are
        return value, at + 1
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("no such number")
