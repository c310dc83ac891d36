"""Encodes sound for a browser: Opus in Ogg, at 48 kHz, by PyAV.

Opus is small enough for a page, and all current browsers decode it; Safari since 18.4. The file
says by how much the encoder delayed the sound, and decoders cut that off, so all tracks stay
aligned. All of them go through the same resampler and encoder.

:mod:`demixing.audio.encoders` writes files and needs torch, which a report of runs does without.
"""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np

from demixing.report.sounds import Block

RATE_HZ = 48_000
KBIT_S = 96
"""In stereo: at most 12 kB for each second of a track, and a third more as text in the page."""

REPRODUCIBLE = {"fflags": "bitexact"}
"""FFmpeg's Ogg streams have random numbers otherwise."""

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""FFmpeg's names of the layouts in WAVE order, by number of channels."""


class Encoder:
    """Encodes a waveform that arrives in blocks; more than two channels are mixed down.

    Args:
        rate_hz: sample rate.
        channels: number of channels.
        kbit_s: bit rate in stereo.
    """

    def __init__(self, rate_hz: int, channels: int, kbit_s: int = KBIT_S) -> None:
        self._rate_hz = rate_hz
        self._known = channels if channels in LAYOUTS else 1
        layout = "mono" if self._known == 1 else "stereo"
        self._data = io.BytesIO()
        self._file = av.open(self._data, "w", format="ogg", container_options=REPRODUCIBLE)
        self._stream = self._file.add_stream("libopus", rate=RATE_HZ, layout=layout)
        self._stream.bit_rate = 1000 * kbit_s // (2 if layout == "mono" else 1)
        self._resampler = av.AudioResampler("flt", layout, RATE_HZ)
        self._read = 0
        self._written = 0

    def push(self, block: Block) -> None:
        """Encode the next block."""
        if len(block):
            self._encode(self._frame(block))

    def finish(self) -> bytes:
        """The file."""
        self._encode(None)
        for packet in self._stream.encode(None):
            self._file.mux(packet)
        self._file.close()
        return self._data.getvalue()

    def _frame(self, block: Block) -> av.AudioFrame:
        """A block as a frame of FFmpeg, at its own rate."""
        known = block if self._known == block.shape[1] else block.mean(axis=1, keepdims=True)
        planes = np.ascontiguousarray(known.T, np.float32)
        frame = av.AudioFrame.from_ndarray(planes, "fltp", LAYOUTS[self._known])
        frame.sample_rate, frame.pts = self._rate_hz, self._read
        frame.time_base = Fraction(1, self._rate_hz)
        self._read += len(block)
        return frame

    def _encode(self, frame: av.AudioFrame | None) -> None:
        """Resample a frame and encode the result; None: all that is left."""
        for ready in self._resampler.resample(frame):
            ready.pts, ready.time_base = self._written, Fraction(1, RATE_HZ)
            self._written += ready.samples
            for packet in self._stream.encode(ready):
                self._file.mux(packet)
