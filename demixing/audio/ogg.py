"""Where the songs of an Ogg file start: several are in one if files were joined.

FFmpeg carries a decoder's state over a joint, which is audible, so each part is decoded by itself.
Source: RFC 3533; a page has a header of 27 bytes, a table of the sizes of its segments, and these.
"""

import os
import struct
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
        damages: places where pages are missing or damaged.
    """

    start: int
    stop: int
    ended: bool = True
    damages: int = 0


def parts(path: Path) -> list[Part]:
    """Find the parts of an Ogg file; reads only the headers of its pages.

    Raises:
        OSError: the file cannot be read.
    """
    found: list[Part] = []
    start, end, last, damages, opening = 0, 0, _Page(flags=LAST, end=0), 0, True
    numbers: dict[int, int] = {}
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        position = _next(file, 0)
        while (page := _page(file, position, size)) is not None:
            first = bool(page.flags & FIRST)
            if first and not opening:  # streams of one part all start before any goes on
                ended = bool(last.flags & LAST)
                found.append(Part(start=start, stop=end, ended=ended, damages=damages))
                start, damages = position, 0
            lost = not first and page.number != numbers.get(page.stream, -1) + 1
            damages += lost or position > end  # or something that is not a page is between them
            numbers[page.stream] = page.number
            opening, last, end = first, page, page.end
            position = _next(file, end)
    ended = bool(last.flags & LAST)
    return [*found, Part(start=start, stop=end or size, ended=ended, damages=damages)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """A page: its flags, where it ends, its stream, and its number in it."""

    flags: int
    end: int
    stream: int = 0
    number: int = 0


def _page(file: BinaryIO, position: int, size: int) -> _Page | None:
    """The page at a position; None at the end of the file.

    A page that the file does not contain to its end is not the last one.
    """
    file.seek(position)
    head = file.read(27)
    if len(head) < 27:
        return None
    end = position + 27 + head[26] + sum(file.read(head[26]))
    stream, number = struct.unpack_from("<II", head, 14)
    flags = head[5] if end <= size else head[5] & FIRST
    return _Page(flags=flags, end=min(end, size), stream=stream, number=number)


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
