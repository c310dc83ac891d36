"""Where the songs of an Ogg file start: several are in one if files were joined.

FFmpeg carries a decoder's state over a joint, which is audible, so each part is decoded by itself.
Source: RFC 3533; a page has a header of 27 bytes, a table of the sizes of its segments, and these.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = b"OggS"
FIRST, LAST = 2, 4
"""Flags of the first and the last page of a stream."""

SEARCH_BYTES = 1 << 20
"""Damage is skipped in steps of this size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the files that were joined.

    Attributes:
        start: position of its first byte.
        stop: position after its last byte.
        ended: whether its last page is marked as the last one.
    """

    start: int
    stop: int
    ended: bool


def parts(path: Path) -> list[Part]:
    """Find the parts of an Ogg file; reads only the headers of its pages.

    Raises:
        OSError: the file cannot be read.
    """
    found: list[Part] = []
    start, flags, opening = 0, LAST, True
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        position = _next(file, 0)
        while (page := _page(file, position, size)) is not None:
            first = bool(page[0] & FIRST)
            if first and not opening:  # streams of one part all start before any goes on
                found.append(Part(start=start, stop=position, ended=bool(flags & LAST)))
                start = position
            opening, flags = first, page[0]
            position = _next(file, page[1])
    return [*found, Part(start=start, stop=size, ended=bool(flags & LAST))]


def _page(file: BinaryIO, position: int, size: int) -> tuple[int, int] | None:
    """Flags of the page at a position, and where it ends; None at the end of the file.

    A page that the file does not contain to its end has no flags.
    """
    file.seek(position)
    head = file.read(27)
    if len(head) < 27:
        return None
    flags, segments = head[5], head[26]
    end = position + 27 + segments + sum(file.read(segments))
    return (flags, end) if end <= size else (flags & FIRST, size)


def _next(file: BinaryIO, position: int) -> int:
    """Position of the first page at or after a position; the end of the file if there is none."""
    while True:
        file.seek(position)
        if file.read(4) == MAGIC:
            return position
        file.seek(position)
        data = file.read(SEARCH_BYTES)
        at = data.find(MAGIC)
        if at >= 0:
            return position + at
        if len(data) < SEARCH_BYTES:
            return position + len(data)
        position += len(data) - len(MAGIC) + 1
