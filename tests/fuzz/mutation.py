"""Damages files at random, in ways that parsers find hard: everything follows from a seed."""

import random
import re
import struct
from collections.abc import Callable, Sequence

MOST_BYTES = 1 << 20
"""Length of a damaged file."""

LARGE = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 1 << 24, 0x7FFF_FFFF, 0xFFFF_FFFF, 1 << 62)
TEXTS = (
    *("1e400", "-0.0", "nan", "inf", "true", "null", "1e1000000000", "9" * 5000, '"', "'", "\\"),
    *("[" * 3000, "{" * 3000, "[]", "{}", '""', "\x00", "\x1b[2J", "\u202e", "../../x", "/etc"),
    *("a" * 9000, "\ud7ff", "&a [*a]", "!!python/object:os.system", "<<: *a", "-" * 2000, "\n" * 9),
)


def damaged(data: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """Damage a file in one or a few places.

    Args:
        data: the file.
        others: more files of the kind, whose parts may be put into it.
        draw: decides.
    """
    contents = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        draw.choice(DAMAGES)(contents, others, draw)
    return bytes(contents[:MOST_BYTES])


def _place(contents: bytearray, draw: random.Random) -> int:
    """A position; the ends of a file are where its headers are."""
    size = len(contents)
    near = draw.choice((size, size, min(size, 64), min(size, 1024)))
    at = draw.randrange(near + 1)
    return size - at if draw.random() < 0.2 else at


def _flip(contents: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    if contents:
        contents[_place(contents, draw) - 1] ^= 1 << draw.randrange(8)


def _set(contents: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    if contents:
        contents[_place(contents, draw) - 1] = draw.randrange(256)


def _number(contents: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    form = draw.choice(["<B", "<H", ">H", "<I", ">I", "<Q", ">Q"])
    width = struct.calcsize(form)
    at = _place(contents, draw)
    contents[at : at + width] = struct.pack(form, draw.choice(LARGE) & (1 << 8 * width) - 1)


def _remove(contents: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    at = _place(contents, draw)
    del contents[at : at + draw.choice((1, 2, 8, 100, 10_000))]


def _cut(contents: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    del contents[_place(contents, draw) :]


def _insert(contents: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    at = _place(contents, draw)
    contents[at:at] = draw.randbytes(draw.choice((1, 2, 4, 16, 300)))


def _text(contents: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    at = _place(contents, draw)
    contents[at:at] = draw.choice(TEXTS).encode()


def _value(contents: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    """Replace a number or a string of a text."""
    found = list(re.finditer(rb'-?\d[\d.e-]*|"[^"\n]{0,80}"|true|false|null', contents[:100_000]))
    if found:
        one = draw.choice(found)
        contents[one.start() : one.end()] = draw.choice(TEXTS).encode()


def _repeat(contents: bytearray, _: Sequence[bytes], draw: random.Random) -> None:
    at = _place(contents, draw)
    part = contents[at : at + draw.choice((1, 4, 30, 1000))]
    contents[at:at] = part * draw.choice((1, 2, 50, 3000))


def _mix(contents: bytearray, others: Sequence[bytes], draw: random.Random) -> None:
    other = draw.choice(others)
    start = draw.randrange(len(other) + 1)
    at = _place(contents, draw)
    part = other[start : start + draw.choice((4, 40, 400, 4000))]
    contents[at : at + draw.choice((0, len(part)))] = part


DAMAGES: Sequence[Callable[[bytearray, Sequence[bytes], random.Random], None]] = (
    *(_flip, _flip, _set, _number, _number, _remove, _cut),
    *(_insert, _text, _value, _value, _repeat, _mix),
)
