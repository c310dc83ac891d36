"""Where the songs of an Ogg file start: several are in one if files were joined.

FFmpeg carries a decoder's state over a joint, which is audible, so each part is decoded by itself.
Source: RFC 3533; a page has a header of 27 bytes, a table of the sizes of its segments, and these.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from demixing.errors import SongError

MAGIC = b"OggS"
FIRST, LAST = 2, 4
"""Flags of the first and the last page of a stream."""

KEPT = 8
"""Pages at the start of a part that are looked at again: headers, and the first ones with audio."""

MOST_PARTS = 1000
"""Each part costs the opening of a decoder."""

LATEST = 1 << 20
"""A first page with audio that ends after more samples is from the middle of a broadcast."""

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
        samples: length by the last page; None for several streams, or if it starts later than at 0.
    """

    start: int
    stop: int
    ended: bool = True
    damages: int = 0
    samples: int | None = None


def parts(path: Path) -> list[Part]:
    """Find the parts of an Ogg file; reads only the headers of its pages.

    Raises:
        OSError: the file cannot be read.
        SongError: it has too many parts.
    """
    found: list[Part] = []
    pages: list[_Page] = []  # the first and the last ones of the part
    damages, opening = 0, True
    numbers: dict[int, int] = {}
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        position = _next(file, 0)
        while (page := _page(file, position, size)) is not None:
            first = bool(page.flags & FIRST)
            if first and not opening:  # streams of one part all start before any goes on
                found.append(_part(pages, position, damages))
                if len(found) > MOST_PARTS:
                    raise SongError(f"expected one song at {path}, but it is joined from thousands")
                pages, damages = [], 0
            lost = not first and page.number != numbers.get(page.stream, -1) + 1
            damages += lost or bool(pages and position > pages[-1].end)
            numbers[page.stream] = page.number
            opening = first
            pages = [*pages[:KEPT], page]
            position = _next(file, page.end)
    return [*found, _part(pages, size, damages)] if pages else [Part(start=0, stop=size)]


def _part(pages: list["_Page"], stop: int, damages: int) -> Part:
    """Describe a part by its first pages and its last one."""
    last = pages[-1]
    first_samples = next((page.samples for page in pages if page.samples > 0), 0)
    alone = len({page.stream for page in pages}) == 1
    known = alone and first_samples < LATEST and last.samples > 0
    return Part(
        start=pages[0].start,
        stop=stop,
        ended=bool(last.flags & LAST),
        damages=damages,
        samples=last.samples if known else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """A page: its flags, place, stream and number in it, and the stream's samples up to its end."""

    flags: int
    start: int
    end: int
    stream: int
    number: int
    samples: int


def _page(file: BinaryIO, position: int, size: int) -> _Page | None:
    """The page at a position; None at the end of the file.

    A page that the file does not contain to its end is not the last one.
    """
    file.seek(position)
    head = file.read(27)
    if len(head) < 27:
        return None
    end = position + 27 + head[26] + sum(file.read(head[26]))
    samples, stream, number = struct.unpack_from("<qII", head, 6)
    return _Page(
        flags=head[5] if end <= size else head[5] & FIRST,
        start=position,
        end=min(end, size),
        stream=stream,
        number=number,
        samples=samples,
    )


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
