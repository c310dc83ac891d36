"""Reads streams of :mod:`demixing.evaluation.stem_file`: any part, or a whole one in blocks.

Streams are decoded by PyAV, which is imported when the first one is opened.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from demixing.evaluation.stem_file import STREAMS

PREROLL = 4096
"""Samples decoded before a part: a decoder needs the preceding frames of AAC, 1024 samples each."""


class StemFileError(OSError):
    """A stream cannot be read."""


@dataclass(frozen=True, slots=True)
class Stream:
    """The format of a stream.

    Attributes:
        rate_hz: sample rate.
        channels: number of channels.
        samples: per channel.
    """

    rate_hz: int
    channels: int
    samples: int


def probe(path: Path) -> Stream:
    """Read the format of a stream.

    Raises:
        StemFileError: the file cannot be read, or has fewer streams.
    """
    with _opened(path) as (_, stream):
        rate_hz, channels = stream.rate, stream.channels
        claimed = round((stream.duration or 0) * stream.time_base * rate_hz)
    # Headers round to milliseconds, so the end is decoded.
    near_end = max(claimed - rate_hz, 0)
    samples = max((at + len(block) for at, block in _blocks(path, near_end, None)), default=0)
    return Stream(rate_hz, channels, samples)


def part(path: Path, start: int, samples: int) -> NDArray[np.float32]:
    """Read a part of a stream.

    Args:
        path: path of the stream.
        start: first sample.
        samples: number of samples.

    Returns:
        ``(samples, channels)``, full scale at ±1; shorter at the end of the stream.

    Raises:
        StemFileError: it cannot be decoded.
    """
    found = [
        block[max(start - at, 0) : start + samples - at]
        for at, block in _blocks(path, start, start + samples)
        if at < start + samples and at + len(block) > start
    ]
    return np.concatenate(found) if found else np.zeros((0, probe(path).channels), np.float32)


def blocks(path: Path) -> Iterator[NDArray[np.float32]]:
    """Decode a whole stream in short blocks, ``(samples, channels)``.

    Raises:
        StemFileError: it cannot be decoded.
    """
    for _, block in _blocks(path, 0, None):
        yield block


def _blocks(path: Path, start: int, stop: int | None) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Decode from a little before ``start`` to ``stop``.

    Yields:
        The position of a block's first sample, and the block, ``(samples, channels)``.
    """
    with _opened(path) as (container, stream):
        if start > PREROLL:
            seconds = (start - PREROLL) / stream.rate
            container.seek(int(seconds / stream.time_base), stream=stream, backward=True)
        for frame in container.decode(stream):
            at = round(frame.pts * frame.time_base * stream.rate)
            if stop is not None and at >= stop:
                return
            yield at, _samples(frame)


def _samples(frame: Any) -> NDArray[np.float32]:
    """Convert a frame of any sample format to ``(samples, channels)``, full scale at ±1."""
    raw = frame.to_ndarray()
    planes = raw if frame.format.is_planar else raw.reshape(-1, frame.layout.nb_channels).T
    scale = 1.0 if planes.dtype.kind == "f" else 1.0 / (1 << (8 * planes.dtype.itemsize - 1))
    return np.ascontiguousarray(planes.T * np.float32(scale), dtype=np.float32)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open the file of a stream; yield the container and the stream."""
    file, number = path.parent, STREAMS.index(path.name)
    try:
        import av
    except ImportError as error:
        raise StemFileError(
            f"expected PyAV to read {str(file)!r}, but it is not installed; run: pip install av"
        ) from error
    try:
        with av.open(os.fspath(file)) as container:
            streams = container.streams.audio
            if len(streams) < len(STREAMS):
                raise StemFileError(
                    f"expected {len(STREAMS)} audio streams in {str(file)!r} "
                    f"({', '.join(STREAMS)}), found {len(streams)}; write it again"
                )
            yield container, streams[number]
    except av.FFmpegError as error:
        raise StemFileError(
            f"expected audio in {str(file)!r}, but: {error.strerror}; write it again"
        ) from error
