"""Cuts signals that arrive in blocks into the overlapping frames of a short-time transform.

Frames are centred: the first one is centred on the first sample. For that, half a frame is added at
both ends, either silence or the signal's reflection, as torch.stft and librosa do it.
"""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from demixing.evaluation.song_reader import Stems

Float = NDArray[np.float32]

BATCH = 2**17
"""Values in the frames that are transformed together, so that they stay in the cache."""


def rows(reference: Float, estimate: Float) -> Float:
    """The channels of a stem and of its estimate.

    Args:
        reference: ``(samples, channels)``.
        estimate: of the same shape.

    Returns:
        ``(2 x channels, samples)``; those of the reference come first.
    """
    return np.concatenate([reference.T, estimate.T])


def pairs(found: Float) -> tuple[Float, Float]:
    """Split what was computed from :func:`rows` into that of the reference and of the estimate."""
    half = len(found) // 2
    return found[:half], found[half:]


def hann(size: int, frame: int) -> Float:
    """The periodic Hann window, ``(frame,)``, with silence around it if it is shorter."""
    window = np.zeros(frame, np.float32)
    before = (frame - size) // 2
    window[before : before + size] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    return window


def spectra(frames: Float, window: Float | None = None) -> NDArray[np.complex64]:
    """Transform frames, ``(signals, frames, size)``; returns ``(signals, frames, bins)``."""
    return np.asarray(scipy.fft.rfft(frames if window is None else frames * window))


class Frames:
    """Cuts signals into frames.

    Args:
        size: samples in a frame, an even number.
        hop: samples between frames, at most half a frame.
        ends: what is added at both ends.
    """

    def __init__(self, size: int, hop: int, ends: Literal["reflect", "constant"]) -> None:
        self._size = size
        self._hop = hop
        self._ends = ends
        self._half = size // 2
        self._kept = np.zeros((0, 0), np.float32)
        self._begun = False

    def push(self, audio: Stems) -> Iterator[Float]:
        """Add the next block.

        Args:
            audio: ``(signals, samples)``.

        Yields:
            Frames, ``(signals, frames, size)``, which must not be modified.
        """
        self._kept = np.concatenate([self._kept.reshape(len(audio), -1), audio], axis=1)
        if not self._begun and self._kept.shape[1] > self._half:
            self._kept = self._extended(self._half, 0)
            self._begun = True
        if self._begun:
            # The end cannot be reflected without the half frame before it, and one more sample.
            samples = self._kept.shape[1]
            spare = (samples - self._half - 1) // self._hop
            yield from self._cut(min((samples - self._size) // self._hop + 1, spare))

    def finish(self) -> Iterator[Float]:
        """Yield the last frames, after all blocks."""
        self._kept = self._extended(0 if self._begun else self._half, self._half)
        yield from self._cut((self._kept.shape[1] - self._size) // self._hop + 1)

    def _extended(self, before: int, after: int) -> Float:
        """What is kept, with some samples added at its ends."""
        return np.pad(self._kept, ((0, 0), (before, after)), mode=self._ends)

    def _cut(self, count: int) -> Iterator[Float]:
        """Yield the next frames in batches, and forget what no later frame needs."""
        if count <= 0:
            return
        every = sliding_window_view(self._kept, self._size, axis=1)[:, :: self._hop][:, :count]
        batch = max(BATCH // (len(every) * self._size), 1)
        for start in range(0, count, batch):
            yield every[:, start : start + batch]
        self._kept = self._kept[:, count * self._hop :].copy()
