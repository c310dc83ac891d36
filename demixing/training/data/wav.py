"""Any part of an audio file, at once: PCM WAV mapped into memory, everything else by seeking.

Mapped, a part costs what it is long: no decoder is set up, and the system keeps what was read. Only
the header is parsed here, by the chunks of RIFF and, above 4 GiB, of RF64 (EBU Tech 3306).
"""

import functools
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from demixing.files import READ_ERRORS, unreadable

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
"""Tags of a ``fmt`` chunk; an extensible one has the tag in the first bytes of its sub-format."""

DTYPES = {(PCM, 16): "<i2", (PCM, 24): "u1", (PCM, 32): "<i4", (FLOAT, 32): "<f4"}
"""What is mapped; 24 bits as single bytes. Other encodings are left to libsndfile."""

MOST_HEADERS = 1 << 14
"""Files whose headers are remembered: more than MUSDB18-HQ, MDX'23 and DnR have together."""


@dataclass(frozen=True, slots=True)
class Header:
    """Where the samples of a file are.

    Attributes:
        rate_hz: sample rate.
        channels: of the file.
        samples: per channel.
        offset_bytes: of the first sample; -1 where the file cannot be mapped.
        bits: of a sample.
        dtype: of what is mapped.
    """

    rate_hz: int
    channels: int
    samples: int
    offset_bytes: int = -1
    bits: int = 0
    dtype: str = ""


def header(path: Path) -> Header:
    """What a file says of itself; parsed again only if the file has changed.

    Raises:
        SongError: it is missing, empty or no audio.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return _header(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=MOST_HEADERS)
def _header(path: Path, size_bytes: int, mtime_ns: int) -> Header:
    """As :func:`header`; the file's size and time are there to tell its versions apart."""
    del mtime_ns
    try:
        with path.open("rb") as file:
            if found := _mappable(file, size_bytes):
                return found
        info = soundfile.info(os.fsencode(path))
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    return Header(info.samplerate, info.channels, info.frames)


def part(path: Path, start: int, samples: int) -> NDArray[np.float32]:
    """Read from ``start`` on, at most as many samples as there are.

    Returns:
        ``(samples, channels)``, full scale at ±1; shorter at the end of the file.

    Raises:
        SongError: the file cannot be read.
    """
    layout = header(path)
    samples = max(min(samples, layout.samples - start), 0)
    if samples and layout.offset_bytes >= 0:
        return _mapped(path, layout, start, samples)
    if not samples:
        return np.zeros((0, layout.channels), np.float32)
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            file.seek(start)
            read: NDArray[np.float32] = file.read(samples, dtype="float32", always_2d=True)
            return read
    except READ_ERRORS as error:
        raise unreadable(path, error) from error


def _mapped(path: Path, layout: Header, start: int, samples: int) -> NDArray[np.float32]:
    """Map a part of a PCM file and convert it as libsndfile does."""
    frame_bytes = layout.channels * layout.bits // 8
    items = samples * frame_bytes // np.dtype(layout.dtype).itemsize
    try:
        raw = np.memmap(
            path, layout.dtype, "r", layout.offset_bytes + start * frame_bytes, shape=(items,)
        )
    except (OSError, ValueError) as error:  # it was cut off since its header was read
        raise unreadable(path, error) from error
    scale = np.float32(2.0 ** (1 - layout.bits))
    mapped: NDArray[Any] = raw
    if layout.bits == 24:
        wide = np.zeros((items // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        scale, mapped = np.float32(2**-31), wide.view("<i4")
    elif layout.dtype == "<f4":
        scale = np.float32(1)
    # In memory channel after channel, as what comes next wants it: converted in a single pass.
    values = np.empty((layout.channels, samples), np.float32)
    np.multiply(mapped.reshape(samples, layout.channels).T, scale, out=values, casting="unsafe")
    return values.T


def _mappable(file: BinaryIO, size_bytes: int) -> Header | None:
    """The header of a PCM WAV; None for anything else, and for what is not well-formed."""
    start = file.read(12)
    if start[:4] not in (b"RIFF", b"RF64") or start[8:] != b"WAVE":
        return None
    large_bytes = 0
    form: tuple[int, int, int, int, int] | None = None
    while len(head := file.read(8)) == 8:
        name, length = head[:4], struct.unpack("<I", head[4:])[0]
        if name == b"data":
            offset = file.tell()
            if length == 0xFFFFFFFF:  # RF64, or written into a pipe
                length = large_bytes or size_bytes
            return _placed(form, offset, min(length, size_bytes - offset))
        body = file.read(min(length + length % 2, 1 << 16))  # chunks begin at even bytes
        if name == b"ds64" and len(body) >= 16:
            large_bytes = struct.unpack("<Q", body[8:16])[0]
        elif name == b"fmt " and len(body) >= 16:
            tag, channels, rate_hz, _, block, bits = struct.unpack("<HHIIHH", body[:16])
            if tag == EXTENSIBLE and len(body) >= 26:
                tag = struct.unpack("<H", body[24:26])[0]
            form = tag, channels, rate_hz, block, bits
        file.seek(length + length % 2 - len(body), os.SEEK_CUR)
    return None


def _placed(
    form: tuple[int, int, int, int, int] | None, offset_bytes: int, data_bytes: int
) -> Header | None:
    """A header for data of a known place and form, if it can be mapped."""
    if form is None:
        return None
    tag, channels, rate_hz, block, bits = form
    dtype = DTYPES.get((tag, bits))
    if dtype is None or not channels or block != channels * bits // 8 or data_bytes < block:
        return None
    return Header(rate_hz, channels, data_bytes // block, offset_bytes, bits, dtype)
