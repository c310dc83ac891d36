"""Writes MP3, AAC in MP4 (``.m4a``) and Opus in Ogg (``.opus``), by PyAV.

Encoders delay the sound, and fill their last frame with silence. The files say how much of both, so
that players cut it off: MP3 in LAME's tag, MP4 in its edit list, Ogg in its header and in the
position of its last page. Opus only has rates that divide 48 kHz, so songs are resampled to 48 kHz.
Below 256 kbit/s, LAME lowers the sound by up to 0.45 dB.

PyAV is imported with the first file that needs it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from demixing.audio import AudioFormat
from demixing.audio.resampler import Resampler
from demixing.errors import OutputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """A lossy format.

    Attributes:
        encoder: FFmpeg's name of it.
        container: FFmpeg's name of the container.
        rates_hz: sample rates of the encoder.
        layouts: FFmpeg's names of the layouts in WAVE order, by number of channels.
        bitrate: of a file, in kbit/s, unless another one is chosen.
        bitrates: least and most, in kbit/s.
        most_per_channel: in kbit/s; the encoder does not take more.
        resamples: whether a song of another rate is resampled to the first one.
    """

    encoder: str
    container: str
    rates_hz: Sequence[int]
    layouts: Mapping[int, str]
    bitrate: int
    bitrates: tuple[int, int]
    most_per_channel: int = 320
    resamples: bool = False


MPEG_HZ = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000)
FRONT = {1: "mono", 2: "stereo"}
SURROUND = {**FRONT, 3: "3.0", 6: "5.1"}

CODECS = {
    "mp3": Codec(
        encoder="libmp3lame",
        container="mp3",
        rates_hz=MPEG_HZ,
        layouts=FRONT,
        bitrate=320,
        bitrates=(32, 320),
    ),
    "m4a": Codec(
        encoder="aac",
        container="ipod",
        rates_hz=(*MPEG_HZ, 96_000, 88_200, 64_000),
        layouts={**SURROUND, 5: "5.0"},  # FFmpeg writes those of Opus in another order
        bitrate=256,
        bitrates=(32, 512),
    ),
    "opus": Codec(
        encoder="libopus",
        container="ogg",
        rates_hz=(48_000,),
        layouts=SURROUND,
        bitrate=192,
        bitrates=(16, 510),
        most_per_channel=256,
        resamples=True,
    ),
}
"""The lossy formats, by the suffix of their files."""


def of(path: Path) -> Codec | None:
    """The codec of a file, by its suffix; None for one that is not lossy."""
    return CODECS.get(path.suffix[1:].lower())


def check(kind: str, form: AudioFormat) -> None:
    """Raise unless a format can store a song.

    Args:
        kind: a suffix without its dot; one that is not lossy is not checked.
        form: of the song.

    Raises:
        OutputError: it does not support the rate or the number of channels.
    """
    codec = CODECS.get(kind)
    if codec is None:
        return
    if form.channels not in codec.layouts:
        *some, last = map(str, codec.layouts)
        raise OutputError(
            f"expected {', '.join(some)} or {last} channels for {kind}, got {form.channels}; "
            "choose wav or flac"
        )
    if form.sample_rate_hz not in codec.rates_hz and not codec.resamples:
        known = ", ".join(map(str, sorted(codec.rates_hz)))
        raise OutputError(
            f"expected a sample rate of {known} Hz for {kind}, got {form.sample_rate_hz}; "
            "choose wav, flac or opus"
        )


class Encoder:
    """Encodes one file, block by block.

    Args:
        path: of the file; its suffix chooses the codec.
        form: of the song.
        bitrate: in kbit/s; None: the codec's.

    Raises:
        OutputError: the format cannot store the song, or PyAV is not installed.
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, form: AudioFormat, bitrate: int | None = None) -> None:
        kind = path.suffix[1:].lower()
        check(kind, form)
        av, codec = _av(), CODECS[kind]
        self._av = av
        rate_hz = codec.rates_hz[0] if codec.resamples else form.sample_rate_hz
        self._resampler = Resampler(form.sample_rate_hz, rate_hz, form.channels)
        self._channels = form.channels
        self._done = 0
        self._read = 0
        self._ratio = rate_hz / form.sample_rate_hz
        # FFmpeg would hide that the disk is full when it closes a file.
        self._file = path.open("w+b")
        with contextlib.ExitStack() as stack:
            stack.callback(self._file.close)
            # The edit list of MP4 counts in these units, milliseconds by default.
            options = {"movie_timescale": str(rate_hz)} if kind == "m4a" else {}
            options |= {"fflags": "bitexact"}  # otherwise Ogg streams have random numbers
            self._container = av.open(
                self._file, "w", format=codec.container, container_options=options
            )
            self._stream = self._container.add_stream(
                codec.encoder, rate=rate_hz, layout=codec.layouts[form.channels]
            )
            most = codec.most_per_channel * form.channels
            self._stream.bit_rate = 1000 * min(bitrate or codec.bitrate, most)
            self._stream.codec_context.open()
            stack.pop_all()

    def __enter__(self) -> Encoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._finish()
            else:
                with contextlib.suppress(Exception):  # the first error counts
                    self._container.close()
        finally:
            self._file.close()

    def write(self, block: NDArray[np.float32]) -> None:
        """Encode the next samples, ``(samples, channels)``."""
        self._read += len(block)
        song = torch.from_numpy(np.ascontiguousarray(block.T, dtype=np.float32))
        self._encode(self._resampler.push(song))

    def _finish(self) -> None:
        """Encode what is left, and write the end of the file."""
        rest = self._resampler.push(torch.zeros(self._channels, 0), last=True)
        missing = round(self._read * self._ratio) - self._done - rest.shape[-1]
        self._encode(functional.pad(rest, (0, missing)))  # resampling may be off by a sample
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._container.close()
        self._file.flush()
        os.fsync(self._file.fileno())

    def _encode(self, song: Tensor) -> None:
        """Encode ``(channels, samples)`` at the file's rate."""
        if not song.shape[-1]:
            return
        frame = self._av.AudioFrame.from_ndarray(
            np.ascontiguousarray(song.numpy()), format="fltp", layout=self._stream.layout.name
        )
        frame.sample_rate, frame.pts = self._stream.rate, self._done
        frame.time_base = Fraction(1, self._stream.rate)
        self._done += song.shape[-1]
        for packet in self._stream.encode(frame):
            self._container.mux(packet)


def _av() -> Any:
    """Import PyAV.

    Raises:
        OutputError: its libraries cannot be loaded.
    """
    try:
        import av  # a tenth of a second that only lossy files cost
    except ImportError as error:
        raise OutputError(
            f"MP3, M4A and Opus need the package av, which cannot be imported ({error})"
        ) from error
    return av
