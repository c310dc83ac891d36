"""Converts text from UTF-8 to Latin-1, faster than Python's codecs.

Pickles of the old protocols have bytes as text, one character per byte, and all text in UTF-8. So a
byte from 128 on takes two: C2 or C3, and one from 80 to BF, to which C3 adds 64. Which bytes those
are is random in weights, and a codec's branches for them are predicted wrongly.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 1 << 18
"""Bytes that are converted at a time; their intermediate arrays fit into the processor's cache."""

LOW, HIGH, SECOND = 0xC2, 0xC3, 0x80
"""First bytes of characters from 128 on, and from 192 on; the smallest second byte."""

Bytes = NDArray[np.uint8]


def encoded(utf8: bytes) -> Bytes:
    """Return what ``utf8.decode().encode("latin-1")`` would.

    Raises:
        ValueError: this is not UTF-8, or has characters that are not in Latin-1.
    """
    source: Bytes = np.frombuffer(utf8, dtype=np.uint8)
    result = np.empty(sum(map(_characters, _blocks(source))), dtype=np.uint8)
    done = 0
    for block in _blocks(source):
        kept = np.flatnonzero(block < LOW)
        _values(block).take(kept, out=result[done : done + len(kept)], mode="clip")
        done += len(kept)
    return result


def _blocks(source: Bytes) -> Iterator[Bytes]:
    """Cut text between characters, unless it is not valid."""
    start = 0
    while start < len(source):
        block = source[start : start + BLOCK_BYTES]
        if block[-1] >= LOW and len(block) == BLOCK_BYTES:
            block = block[:-1]
        start += len(block)
        yield block


def _characters(block: Bytes) -> int:
    """Number of characters; raises if a byte does not belong where it is."""
    first, second = (block | 1) == HIGH, (block & 0xC0) == SECOND
    longer = int(np.count_nonzero(first))
    paired = np.array_equal(first[:-1], second[1:]) and not (second[0] or first[-1])
    if not paired or np.count_nonzero(block >= SECOND) != 2 * longer:
        raise ValueError("expected text of the encoding latin1")
    return len(block) - longer


def _values(block: Bytes) -> Bytes:
    """The bytes that characters stand for, at each character's last byte."""
    values = block.copy()
    values[1:] += (block[:-1] == HIGH).view(np.uint8) << 6
    return values
