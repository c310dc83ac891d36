"""Fast access to any part of an audio file: its bytes for PCM WAV, by seeking otherwise.

Reading the bytes of a part costs time in proportion to its length, without a decoder, and the
system caches them. Only the header is parsed here: chunks of RIFF and, above 4 GiB, of RF64 (EBU
Tech 3306). Streams of a file with several are read by :mod:`demixing.evaluation.stem_streams`.
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

from demixing.audio.files import READ_ERRORS, unreadable
from demixing.evaluation import stem_file, stem_streams

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
"""Tags of a ``fmt`` chunk. An extensible one has the tag in the first bytes of its sub-format."""

DTYPES = {(PCM, 16): "<i2", (PCM, 24): "u1", (PCM, 32): "<i4", (FLOAT, 32): "<f4"}
"""Types of stored samples; 24 bits are single bytes. libsndfile reads other encodings."""

MOST_HEADERS = 1 << 10
"""Number of cached headers. Reading one takes 2 % of the time of an excerpt, so the cache of a
worker need not grow with the data."""


@dataclass(frozen=True, slots=True)
class Header:
    """The location and format of the samples in a file.

    Attributes:
        rate_hz: sample rate.
        channels: number of channels.
        samples: per channel.
        offset_bytes: position of the first sample; -1 if libsndfile must read the file.
        bits: per sample.
        dtype: type of the stored samples.
    """

    rate_hz: int
    channels: int
    samples: int
    offset_bytes: int = -1
    bits: int = 0
    dtype: str = ""


def header(path: Path) -> Header:
    """Read the header of a file; cached until the file changes.

    Raises:
        SongError: the file is missing, empty or not audio.
    """
    try:
        status = stem_file.file_of(path).stat()
    except OSError as error:
        raise unreadable(stem_file.file_of(path), error) from error
    return _header(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=MOST_HEADERS)
def _header(path: Path, size_bytes: int, mtime_ns: int) -> Header:
    """As :func:`header`; size and time of the file are part of the key of the cache."""
    del mtime_ns
    try:
        if stem_file.is_stream(path):
            stream = stem_streams.probe(path)
            return Header(stream.rate_hz, stream.channels, stream.samples)
        with path.open("rb") as file:
            if found := _simple(file, size_bytes):
                return found
        info = soundfile.info(os.fsencode(path))
    except READ_ERRORS as error:
        raise unreadable(stem_file.file_of(path), error) from error
    return Header(info.samplerate, info.channels, info.frames)


def part(path: Path, start: int, samples: int) -> NDArray[np.float32]:
    """Read a part of a file.

    Args:
        path: path of the file.
        start: first sample.
        samples: number of samples.

    Returns:
        ``(samples, channels)``, full scale at ±1; shorter at the end of the file.

    Raises:
        SongError: the file cannot be read.
    """
    layout = header(path)
    samples = max(min(samples, layout.samples - start), 0)
    if samples and layout.offset_bytes >= 0:
        return _pcm(path, layout, start, samples)
    if not samples:
        return np.zeros((0, layout.channels), np.float32)
    try:
        if stem_file.is_stream(path):
            return stem_streams.part(path, start, samples)
        with soundfile.SoundFile(os.fsencode(path)) as file:
            file.seek(start)
            read: NDArray[np.float32] = file.read(samples, dtype="float32", always_2d=True)
            return read
    except READ_ERRORS as error:
        raise unreadable(stem_file.file_of(path), error) from error


def _pcm(path: Path, layout: Header, start: int, samples: int) -> NDArray[np.float32]:
    """Read a part of a PCM file and convert it like libsndfile, ``(samples, channels)``."""
    frame_bytes = layout.channels * layout.bits // 8
    raw = np.empty(samples * frame_bytes, np.uint8)
    try:
        _fill(raw, path, layout.offset_bytes + start * frame_bytes)
    except (OSError, EOFError) as error:
        raise unreadable(stem_file.file_of(path), error) from error
    scale = np.float32(2.0 ** (1 - layout.bits))
    stored: NDArray[Any] = raw
    if layout.bits == 24:
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        wide[:, 1:] = raw.reshape(-1, 3)
        scale, stored = np.float32(2**-31), wide.view("<i4")
    else:
        stored = raw.view(layout.dtype)
    if layout.dtype == "<f4":
        scale = np.float32(1)
    # Channel after channel in memory, as in tensors, so one pass converts and transposes.
    values = np.empty((layout.channels, samples), np.float32)
    np.multiply(stored.reshape(samples, layout.channels).T, scale, out=values, casting="unsafe")
    return values.T


def _fill(raw: NDArray[np.uint8], path: Path, offset_bytes: int) -> None:
    """Fill an array with the bytes of a file from a position on.

    Raises:
        EOFError: the file was truncated after its header was read.
        OSError: it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        file.seek(offset_bytes)
        left = memoryview(raw.data)
        while left:
            read = file.readinto(left)
            if not read:
                raise EOFError(f"it ends {len(left)} bytes early")
            left = left[read:]


def _simple(file: BinaryIO, size_bytes: int) -> Header | None:
    """The header of a PCM WAV file; None for other and for malformed files."""
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
    """The header for data at a known position; None if libsndfile must read it."""
    if form is None:
        return None
    tag, channels, rate_hz, block, bits = form
    dtype = DTYPES.get((tag, bits))
    if dtype is None or not rate_hz or not channels:  # libsndfile refuses both zeros in words
        return None
    if block != channels * bits // 8 or data_bytes < block:
        return None
    return Header(rate_hz, channels, data_bytes // block, offset_bytes, bits, dtype)
