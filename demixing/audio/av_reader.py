"""Reads MP3, Ogg, MP4, Matroska and all else that libsndfile does not, with FFmpeg's libraries.

What FFmpeg's own command and the players that use it play is what is read: encoder delay and
padding are removed where the file gives them, what cannot be decoded is skipped, and gaps between
time stamps are not filled. Where that differs from what the file promises, there is a warning.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demixing.audio import SongFormat, headers, ogg
from demixing.audio.containers import Source, chosen, descriptions, opened
from demixing.audio.lengths import counted_s, declared_s
from demixing.audio.ogg import Part
from demixing.audio.reader import Warn, clock, shorter
from demixing.errors import SongError

TOLERANCE = 4096
"""Samples by which the length that a file gives may differ: it may be rounded to milliseconds or to
frames of a codec."""

GAP_S = 0.1
"""A shorter gap between time stamps is rounding."""

JUNK_BYTES = 1 << 10
"""An Ogg file may begin with this much that is not Ogg."""

PADDING_S = 0.2
"""Packets contain this much more at most than is played: encoder delay and padding."""

PLANES = 8
"""From this number of channels on, PyAV 18 reads planar frames beyond their end, and crashes."""

WIDE = ("s64", "s64p")
"""Sample formats that NumPy arrays are not made of."""

UNREAD_BYTES = 1 << 16
"""Fewer unread bytes at the end of a file are an index or padding."""

COUNTED = ("mp3", "aac", "ac3")
"""Formats whose header, if there is one, may be that of the first of files that were joined."""

UNSTAMPED = ("ogg", "mp3", "aac", "ac3")
"""Formats whose time stamps start again where files were joined, or are counted by FFmpeg."""


@dataclass(slots=True)
class _Faults:
    """What was wrong in one pass through a file.

    Attributes:
        damaged_s: positions of packets that could not be decoded.
        gaps: positions and lengths of gaps between time stamps, in seconds.
        stopped: whether an error ended the pass.
        unread_bytes: at the end of the file.
        streams: descriptions of its audio streams.
    """

    damaged_s: list[float] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    stopped: bool = False
    unread_bytes: int = 0
    streams: list[str] = field(default_factory=list)


class AvReader:
    """See :class:`demixing.audio.reader.Reader`.

    Args:
        path: of the file.
        stream: number among the audio streams, from 1, or language; by default the first.
        magic: what FFmpeg shall see as the first bytes; empty for those of the file.

    Raises:
        SongError: FFmpeg cannot read it, or there is no such stream.
    """

    def __init__(self, path: Path, stream: str | None = None, magic: bytes = b"") -> None:
        self._path, self._stream, self._magic = path, stream, magic
        self._parts = _parts(path)
        with self._opened(self._parts[0]) as (container, selected, _):
            self._declared_s = declared_s(container, selected, path) or _ogg_s(
                self._parts, selected
            )
            first = next(_frames(container, selected, _Faults()), None)
            if first is None:
                raise SongError(f"expected audio at {path}, but none of it could be decoded")
            self._rate_hz, self._channels = first.sample_rate, len(first.layout.channels)
            exact = not _is(container, COUNTED)
        seconds = (self._declared_s if exact else None) or self._counted_s()
        self.form = SongFormat(
            sample_rate_hz=self._rate_hz,
            channels=self._channels,
            frames=round(seconds * self._rate_hz),
        )

    def _counted_s(self) -> float:
        """Length by the packets, or as the file says it, if that is about the same."""
        total_s = 0.0
        for part in self._parts:
            with self._opened(part) as (container, stream, _):
                total_s += counted_s(container, stream)
        declared_s = self._declared_s
        same = declared_s is not None and abs(total_s - declared_s) < PADDING_S
        return declared_s if declared_s is not None and same else total_s

    @contextlib.contextmanager
    def _opened(self, part: Part) -> Iterator[tuple[Any, Any, Source]]:
        """Open a part: PyAV's container and stream, and the file."""
        with opened(self._path, part.start, part.stop, self._magic) as (container, source):
            yield container, chosen(container, self._path, self._stream), source

    def blocks(self, frames: int, warn: Warn) -> Iterator[Tensor]:
        """See :meth:`demixing.audio.reader.Reader.blocks`."""
        faults = _Faults()
        done = 0
        for block in _blocks(self._checked(self._decoded(faults)), frames):
            done += block.shape[-1]
            yield block
        for text in self._losses(done, faults):
            warn(text)

    def _decoded(self, faults: _Faults) -> Iterator[Any]:
        """Decode all parts."""
        for part in self._parts:
            with self._opened(part) as (container, stream, source):
                yield from _frames(container, stream, faults)
                faults.unread_bytes = source.unread_bytes()
                faults.streams = descriptions(container)

    def _checked(self, frames: Iterator[Any]) -> Iterator[NDArray[Any]]:
        """Samples of frames, ``(channels, samples)``; raise if their format changes."""
        done = 0
        for frame in frames:
            found = (frame.sample_rate, len(frame.layout.channels))
            if found != (self._rate_hz, self._channels):
                raise SongError(
                    f"expected {self._path} to keep its format, but at "
                    f"{clock(done / self._rate_hz)} it changes from {self._rate_hz} Hz and "
                    f"{self._channels} channels to {found[0]} Hz and {found[1]}; cut it there"
                )
            done += frame.samples
            yield _samples(frame)

    def _losses(self, done: int, faults: _Faults) -> Iterator[str]:
        """What was lost, as warnings."""
        end = clock(done / self._rate_hz)
        if self._stream is None and len(faults.streams) > 1:
            yield f"the first of its audio streams was read: {', '.join(faults.streams)}"
        if faults.damaged_s:
            others = _others(len(faults.damaged_s), "place")
            yield (
                f"it is damaged at {clock(faults.damaged_s[0])}{others}; "
                "what could not be decoded there was skipped"
            )
        if faults.gaps:
            at_s, gap_s = faults.gaps[0]
            others = _others(len(faults.gaps), "gap")
            yield (
                f"its time stamps have a gap of {gap_s:.3f} s at {clock(at_s)}{others}, which was "
                "not filled"
            )
        if damages := sum(part.damages for part in self._parts):
            places = "1 place" if damages == 1 else f"{damages} places"
            yield f"pages are missing or damaged in {places}; they were skipped"
        declared = round((self._declared_s or 0) * self._rate_hz)
        if done < declared - TOLERANCE:
            yield shorter(declared, done)
        elif not declared and faults.stopped:
            yield f"it cannot be read after {end}"
        elif not self._parts[-1].ended:
            yield f"its last page is missing, so it was cut off at {end} or after it"
        if faults.unread_bytes > UNREAD_BYTES:
            yield f"{faults.unread_bytes} bytes at its end were not read; was a file appended?"


def _others(count: int, what: str) -> str:
    """Mention those after the first one."""
    if count < 3:
        return f" and another {what}" if count == 2 else ""
    return f" and {count - 1} other {what}s"


def _parts(path: Path) -> list[Part]:
    """The parts of a file, without a tag before them; one, except in Ogg."""
    with path.open("rb") as file:
        start = headers.after_id3(file)
        file.seek(start)
        if ogg.MAGIC in file.read(JUNK_BYTES):
            return ogg.parts(path)
        return [Part(start=start, stop=file.seek(0, os.SEEK_END))]


def _ogg_s(parts: Sequence[Part], stream: Any) -> float | None:
    """Length of all parts of an Ogg file in seconds; None if one does not say it."""
    samples = [part.samples for part in parts if part.samples is not None]
    if len(samples) < len(parts) or not stream.rate:
        return None
    return float(sum(samples) / stream.rate)


def _is(container: Any, formats: Sequence[str]) -> bool:
    """Whether a container's format is one of some."""
    return not set(formats).isdisjoint(container.format.name.split(","))


def _frames(container: Any, stream: Any, faults: _Faults) -> Iterator[Any]:
    """Decode a stream; skip what cannot be decoded, and end where it cannot be read."""
    import av

    stream.thread_count = 1
    stamped = not _is(container, UNSTAMPED)
    packets = container.demux(stream)
    expected_s: float | None = None
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError:
            faults.stopped = True
            packet = None
        if packet is None:
            return
        try:
            decoded = packet.decode()
        except av.FFmpegError:
            faults.damaged_s.append(expected_s or 0.0)
            continue
        for frame in decoded:
            expected_s = _followed(frame, expected_s, faults if stamped else None)
            yield frame


def _followed(frame: Any, expected_s: float | None, faults: _Faults | None) -> float:
    """When the frame after this one starts, in seconds; note a gap before this one."""
    start_s = expected_s or 0.0
    if faults is not None and frame.pts is not None:
        stamp_s = float(frame.pts * frame.time_base)
        if expected_s is not None and stamp_s - expected_s > GAP_S:
            faults.gaps.append((expected_s, stamp_s - expected_s))
        if expected_s is None or stamp_s - expected_s > GAP_S:
            start_s = stamp_s
    return start_s + float(frame.samples / frame.sample_rate)


def _samples(frame: Any) -> NDArray[Any]:
    """Samples of a frame in its own sample format, ``(channels, samples)``."""
    if frame.format.name in WIDE:
        frame = _converted(frame, "dbl")
    elif frame.format.is_planar and len(frame.layout.channels) >= PLANES:
        frame = _converted(frame, frame.format.packed.name)
    array: NDArray[Any] = frame.to_ndarray()
    if frame.format.is_planar:
        return array
    return array.reshape(frame.samples, -1).T


def _converted(frame: Any, sample_format: str) -> Any:
    """The same samples in another sample format, interleaved."""
    import av

    converter = av.AudioResampler(format=sample_format, layout=frame.layout)
    (converted,) = converter.resample(frame)
    return converted


def _blocks(pieces: Iterator[NDArray[Any]], frames: int) -> Iterator[Tensor]:
    """Join pieces to float32 blocks of ``frames`` samples; the last one is shorter."""
    waiting: list[NDArray[Any]] = []
    count = 0
    for piece in pieces:
        waiting.append(piece)
        count += piece.shape[1]
        if count >= frames:
            joined = _floats(waiting)
            for start in range(0, count - frames + 1, frames):
                yield torch.from_numpy(joined[:, start : start + frames].copy())
            waiting = [joined[:, count - count % frames :]]
            count %= frames
    if count:
        yield torch.from_numpy(_floats(waiting).copy())


def _floats(pieces: list[NDArray[Any]]) -> NDArray[np.float32]:
    """Join pieces, ``(channels, samples)`` of one or several sample formats, to float32."""
    return np.ascontiguousarray(np.concatenate([_scaled(piece) for piece in pieces], axis=1))


def _scaled(piece: NDArray[Any]) -> NDArray[np.float32]:
    """Samples with full scale at 1."""
    if piece.dtype.kind == "f":
        with np.errstate(over="ignore"):  # overflow becomes an infinity, which is refused
            return piece.astype(np.float32, copy=False)
    if piece.dtype == np.uint8:
        return (piece.astype(np.float32) - 128) / np.float32(128)
    scale = 2.0 ** (8 * piece.dtype.itemsize - 1)
    return (piece / scale).astype(np.float32)
