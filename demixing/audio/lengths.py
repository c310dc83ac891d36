"""How long the audio streams of media files are, by what the files say and by their packets."""

import re
from pathlib import Path
from typing import Any

from demixing.audio.headers import after_id3

INDEXED = ("mov", "wv", "flac", "tta", "ape", "tak", "dsf")
"""Formats whose header says how long a stream is; :mod:`demixing.audio.headers` knows others."""

WHOLE = ("asf", "matroska")
"""Formats whose header says how long the longest stream is."""

XING_BYTES = 1 << 13
"""The first frame of an MP3 file is sought in this many bytes after the tag."""

XING_DISTANCES = (36, 21, 13)
"""From the start of a frame to its Xing header: after the side information, which is longest in
MPEG-1 with two channels."""

MP3_SAMPLES = {True: 1152, False: 576}
"""Samples of a layer III frame: of MPEG-1, and of MPEG-2 and 2.5."""


def declared_s(container: Any, stream: Any, path: Path) -> float | None:
    """Length of a stream in seconds, as the file says; None if it does not.

    Args:
        container: of PyAV.
        stream: one of its audio streams.
        path: of the file.
    """
    names = container.format.name.split(",")
    if "mp3" in names:
        samples = mp3_samples(path)
        return samples / stream.rate if samples and stream.rate else None
    if any(name in INDEXED for name in names) and stream.duration:
        return float(stream.duration * stream.time_base)
    if any(name in WHOLE for name in names):
        return _tagged_s(stream) or _whole_s(container)
    return None


def counted_s(container: Any, stream: Any) -> float:
    """Length of a stream in seconds, by its packets; reads the whole file and decodes nothing."""
    import av

    ticks = 0
    try:
        for packet in container.demux(stream):
            ticks += packet.duration or 0
    except av.FFmpegError:  # reading it says what is wrong
        pass
    return float(ticks * stream.time_base)


def mp3_samples(path: Path) -> int:
    """Samples of an MP3 file without padding, by the Xing or Info header of its first frame.

    Source: the header's fields as LAME writes them: flags, number of frames, and 12 bits each of
    encoder delay and padding.

    Returns:
        0 if there is none.
    """
    with path.open("rb") as file:
        file.seek(after_id3(file))
        data = file.read(XING_BYTES)
    at = max(data.find(b"Xing"), data.find(b"Info"))
    if at < 0 or len(data) < at + 12:
        return 0
    flags, frames = (int.from_bytes(data[start : start + 4]) for start in (at + 4, at + 8))
    version = _mpeg_version(data, at)
    if not flags & 1 or version is None:
        return 0
    return max(frames * MP3_SAMPLES[version] - _mp3_padding(data, at, flags), 0)


def _mpeg_version(data: bytes, at: int) -> bool | None:
    """Whether the frame around a Xing header is of MPEG-1; None if there is no such frame."""
    for distance in XING_DISTANCES:
        start = at - distance
        if start >= 0 and data[start] == 0xFF and data[start + 1] & 0xE0 == 0xE0:
            return bool(data[start + 1] & 0x08)
    return None


def _mp3_padding(data: bytes, at: int, flags: int) -> int:
    """Samples of encoder delay and padding by LAME's extension of a Xing header; 0 without it."""
    at += 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    if len(data) < at + 24 or data[at : at + 4] not in (b"LAME", b"Lavf", b"Lavc", b"GOGO"):
        return 0
    delay, padding = data[at + 21 : at + 23], data[at + 22 : at + 24]
    return (delay[0] << 4 | delay[1] >> 4) + ((padding[0] & 0x0F) << 8 | padding[1])


def _tagged_s(stream: Any) -> float | None:
    """Length of a Matroska stream by its tag ``DURATION``."""
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if not found:
        return None
    hours, minutes, seconds = map(float, found.groups())
    return 3600 * hours + 60 * minutes + seconds


def _whole_s(container: Any) -> float | None:
    """Length of a container, if nothing but its only audio stream can have determined it."""
    alone = len(container.streams) == 1
    return container.duration / 1e6 if alone and container.duration else None
