"""What the headers of uncompressed files say, beside what the files contain.

libsndfile and FFmpeg silently shorten a song to what is there. These containers are a list of
chunks with an identifier and a size each: RIFF (WAV), RF64 and BW64 (EBU Tech 3306, ITU-R BS.2088),
W64, AIFF and CAF; AU has a single size. Only the list is read, never the audio.
"""

import dataclasses
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from demixing.audio.reader import shorter
from demixing.errors import SongError

UNKNOWN = (0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000, 0x8000_0000)
"""Sizes written by programs that could not know the size, because they wrote to a pipe; a few
programs round them down to whole frames."""

SLACK = 1 << 12
"""Sizes that are at most this much below one of those count as unknown, too."""

FLOAT = 3
"""Format tag of floats in a ``fmt`` chunk."""

MOST_CHUNKS = 10_000
"""Files have a dozen; a walk through more would be a walk through damage."""

LEAST_UNREAD_BYTES = 64
"""Fewer bytes after the audio are padding."""

TAGS = (b"TAG", b"APETAGEX", b"ID3", b"LYRICSBEGIN", b"3DI")
"""Beginnings of tags that other programs append to files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunks:
    """How a container's list of chunks is written.

    Attributes:
        start: position of the first chunk.
        name: bytes of an identifier.
        size: :mod:`struct` format of a size.
        own: whether a size includes the identifier and itself.
        pad: chunks start at multiples of it.
        data: identifier of the chunk with the audio; its beginning is enough.
        lead: bytes of that chunk before the audio.
    """

    start: int
    name: int
    size: str
    own: bool = False
    pad: int = 2
    data: bytes = b"data"
    lead: int = 0


RIFF = Chunks(start=12, name=4, size="<I")
WIDE = (b"RF64", b"BW64")
CONTAINERS = {
    b"RIFF": RIFF,
    b"RF64": RIFF,
    b"BW64": RIFF,
    b"FORM": Chunks(start=12, name=4, size=">I", data=b"SSND", lead=8),
    b"riff": Chunks(start=40, name=16, size="<Q", own=True, pad=8),
    b"caff": Chunks(start=8, name=4, size=">Q", pad=1, lead=4),
}
"""By the first four bytes of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a header says about its file.

    Attributes:
        declared_bytes: size of the audio as the header says; None if it is unknown.
        present_bytes: of it, what the file contains; all that follows, if the size is unknown.
        unread_bytes: what follows the last chunk and is neither a tag nor padding.
        parts: number of chunks with audio.
        magic: what the file would begin with if its size were unknown rather than 0; empty for the
            same.
        fault: why the audio cannot be read, if the header says so itself.
    """

    declared_bytes: int | None
    present_bytes: int
    unread_bytes: int
    parts: int = 1
    magic: bytes = b""
    fault: str = ""

    def losses(self, done: int) -> Iterator[str]:
        """What was not read, as warnings.

        Args:
            done: samples that were read.
        """
        if self.declared_bytes is not None and self.truncated:
            yield shorter(self._samples(self.declared_bytes, done), done)
        if self.empty:
            yield f"its header says 0 samples; the {self.present_bytes} bytes that follow were read"
        if self.parts > 1:
            yield f"it has {self.parts} chunks of audio, of which only the first was read"
        if self.unread_bytes:
            yield (
                f"{self.unread_bytes} bytes after the {done} samples of its header were not read; "
                "was another file appended?"
            )

    def _samples(self, size_bytes: int, done: int) -> int:
        """Convert a number of bytes to samples, in proportion to those of the file."""
        width_bytes = self.present_bytes // max(done, 1)
        if width_bytes and self.present_bytes - width_bytes * done < width_bytes:
            return size_bytes // width_bytes
        return round(size_bytes * done / max(self.present_bytes, 1))  # not PCM

    @property
    def empty(self) -> bool:
        """Whether the header says 0 samples, although audio follows."""
        return self.declared_bytes == 0 and self.present_bytes > 0

    @property
    def truncated(self) -> bool:
        """Whether the file ends before its audio does."""
        return self.declared_bytes is not None and self.present_bytes < self.declared_bytes


def read(path: Path) -> Header | None:
    """Read the header of a file; None if its container has none that can be compared.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(16)
        if head[:4] == b".snd" and len(head) == 16:
            return _au(file, size, *struct.unpack_from(">II", head, 4))
        layout = CONTAINERS.get(head[:4])
        header = _walk(file, size, layout) if layout else None
        if header is not None and head[:4] in WIDE:  # a plain WAV file may have no size
            return dataclasses.replace(header, magic=b"RIFF")
        return header


def clear_peak_time(path: Path) -> None:
    """Set the time in the PEAK chunk of a WAV file to 0.

    libsndfile writes that chunk into files of floats, with the time of day, so that no two of them
    would be equal. Files without one stay as they are.

    Source: the description of the chunk in libsndfile's wav.c; version, time, then the peaks.
    """
    with path.open("r+b") as file:
        layout = CONTAINERS.get(file.read(4))
        size = os.fstat(file.fileno()).st_size
        for name, start, length in _chunks(file, size, layout) if layout is RIFF else ():
            if name == b"PEAK" and length >= 8:
                file.seek(start + 4)
                file.write(bytes(4))
                return


def check(path: Path, header: Header) -> None:
    """Raise if a header says itself that its audio cannot be read.

    Raises:
        SongError: it has a rate of 0, or an encoding that no reader knows.
    """
    if header.fault:
        raise SongError(f"expected audio at {path}, but {header.fault}")


def after_id3(file: BinaryIO) -> int:
    """Position after the ID3v2 tag at the start of a file; 0 if there is none."""
    file.seek(0)
    head = file.read(10)
    if len(head) < 10 or head[:3] != b"ID3":
        return 0
    size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    return 10 + size + (10 if head[5] & 0x10 else 0)


def unread(file: BinaryIO, position: int, size: int) -> int:
    """Bytes from a position to the end of a file; 0 if they are a tag or padding."""
    if size - position < LEAST_UNREAD_BYTES:
        return 0
    file.seek(position)
    head = file.read(1 << 16)
    padding = not head.strip(b"\0")
    return 0 if padding or head.lstrip(b"\0").startswith(TAGS) else size - position


def _au(file: BinaryIO, size: int, start: int, declared: int) -> Header:
    """Header of an AU file: a single size."""
    known = None if _is_unknown(declared) else declared
    present = max(size - start, 0)
    if known:
        return Header(
            declared_bytes=known,
            present_bytes=min(known, present),
            unread_bytes=unread(file, start + known, size),
        )
    return Header(declared_bytes=known, present_bytes=present, unread_bytes=0)


def _walk(file: BinaryIO, size: int, layout: Chunks) -> Header | None:
    """Header of a file of chunks; None if there is no audio in it."""
    audio: list[tuple[int, int]] = []
    wide: int | None = None
    end, fault = layout.start, ""
    for name, start, length in _chunks(file, size, layout):
        if name == b"ds64":
            wide = _number(file, start + 8, "<Q")
        elif name[:4] == b"fmt ":
            fault = _fault(file, start)
        elif name.startswith(layout.data):
            declared = wide if length == 0xFFFF_FFFF and wide is not None else length
            audio.append((start + layout.lead, max(declared - layout.lead, 0)))
            if _is_unknown(declared) or start + declared >= size:
                end = size
                break
            length = declared
        end = start + length
    return _header(file, size, audio, end, fault) if audio else None


def _header(
    file: BinaryIO, size: int, audio: list[tuple[int, int]], end: int, fault: str
) -> Header:
    """Compare the chunks with audio, positions and sizes, with the file."""
    start, declared = audio[0]
    there = size - start
    if declared == 0 and size - end >= LEAST_UNREAD_BYTES:
        return Header(declared_bytes=0, present_bytes=there, unread_bytes=0, fault=fault)
    return Header(
        declared_bytes=None if _is_unknown(declared) else declared,
        present_bytes=there if _is_unknown(declared) else min(declared, there),
        unread_bytes=unread(file, end, size),
        parts=len(audio),
        fault=fault,
    )


def _chunks(file: BinaryIO, size: int, layout: Chunks) -> Iterator[tuple[bytes, int, int]]:
    """Identifier, position and size of the contents of each chunk, until something else comes."""
    position, wide = layout.start, 0
    for _ in range(MOST_CHUNKS):
        name, length = _chunk(file, position, layout) if position < size else (b"", 0)
        if not name:
            return
        start = position + layout.name + struct.calcsize(layout.size)
        yield name, start, length
        if name == b"ds64":
            wide = _number(file, start + 8, "<Q")
        end = start + (wide if length == 0xFFFF_FFFF and wide else length)
        position = end + -end % layout.pad
        if end < position < size and not _chunk(file, position, layout)[0]:
            position = end  # some programs do not pad


def _chunk(file: BinaryIO, position: int, layout: Chunks) -> tuple[bytes, int]:
    """Identifier of the chunk at a position, empty if there is none, and its size."""
    file.seek(position)
    head = file.read(layout.name + struct.calcsize(layout.size))
    name = head[: layout.name]
    printable = name[:4].isascii() and name[:4].decode("ascii").isprintable()
    if len(head) < layout.name + struct.calcsize(layout.size) or not printable:
        return b"", 0
    if name[:4] in CONTAINERS:  # another file was appended
        return b"", 0
    length = int(struct.unpack_from(layout.size, head, layout.name)[0])
    return name, max(length - len(head), 0) if layout.own else length


def _number(file: BinaryIO, position: int, form: str) -> int:
    """An integer at a position; 0 if the file ends before."""
    file.seek(position)
    data = file.read(struct.calcsize(form))
    return int(struct.unpack(form, data)[0]) if len(data) == struct.calcsize(form) else 0


def _is_unknown(declared: int) -> bool:
    """Whether a size stands for one that was not known."""
    return declared >= 1 << 62 or any(0 <= most - declared < SLACK for most in UNKNOWN)


def _fault(file: BinaryIO, start: int) -> str:
    """What makes a ``fmt`` chunk unreadable; empty if nothing does."""
    tag, rate_hz = _number(file, start, "<H"), _number(file, start + 4, "<I")
    bits = _number(file, start + 14, "<H")
    if _number(file, start + 2, "<H") == 0:
        return "its header says 0 channels; write it again with the true number"
    if rate_hz == 0:
        return "its header says a sample rate of 0 Hz; write it again with the true rate"
    if tag == FLOAT and bits not in (32, 64):
        return f"it contains floats of {bits} bits, which cannot be read; export floats of 32 bits"
    return ""
