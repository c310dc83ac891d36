"""Measures the samples of one file: clipping, NaN, offset, and whether the channels are equal."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NEAR_FULL_SCALE = 0.98
"""Level from which a flat top counts as clipping: limiters leave 0.1 to 0.2 dB of headroom."""
FLAT = 3
"""Least length of a flat top in equal samples; two occur by chance."""


@dataclass(slots=True)
class Meter:
    """Sums over the blocks of a file.

    Attributes:
        channels: number of channels of the file.
        samples: read so far, per channel.
        bad: samples that are NaN or infinite, in any channel.
        clipped: samples in flat tops.
        peak: largest magnitude, full scale at 1.
        alike: whether all channels have been equal so far.
        total: sum over samples, ``(channels,)``.
        energy: sum of squares, ``(channels,)``.
    """

    channels: int
    samples: int = 0
    bad: int = 0
    clipped: int = 0
    peak: float = 0.0
    alike: bool = True
    total: NDArray[np.float64] = field(init=False)
    energy: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.total = np.zeros(self.channels)
        self.energy = np.zeros(self.channels)

    def add(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add a block, ``(samples, channels)``, and return it with 0 for NaN and infinity."""
        if not len(audio):
            return audio
        finite = np.isfinite(audio)
        if not finite.all():
            self.bad += int((~finite).any(axis=1).sum())
            audio = np.where(finite, audio, np.float32(0))
        self.samples += len(audio)
        peak = float(np.abs(audio).max())
        self.peak = max(self.peak, peak)
        if peak >= NEAR_FULL_SCALE:
            self.clipped += sum(flat_tops(channel) for channel in audio.T)
        self.alike = self.alike and bool((audio == audio[:, :1]).all())
        self.total += audio.sum(axis=0, dtype=np.float64)
        self.energy += np.square(audio, dtype=np.float64).sum(axis=0)
        return audio

    @property
    def offset(self) -> float:
        """The largest mean of a channel, full scale at 1."""
        return float(np.abs(self.total).max(initial=0) / max(self.samples, 1))

    @property
    def dead(self) -> bool:
        """Whether one channel is silent and another is not."""
        return bool(self.energy.any() and not self.energy.all())


def flat_tops(channel: NDArray[np.float32]) -> int:
    """Count the samples of a channel, ``(samples,)``, that are in flat tops near full scale.

    >>> flat_tops(np.array([0.5, 1, 1, 1, 0.5, 0.5, 0.5, -1, -1, 0], np.float32))
    3
    """
    same = (channel[1:] == channel[:-1]) & (np.abs(channel[1:]) >= NEAR_FULL_SCALE)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], same.view(np.int8), [0]))))
    runs = edges[1::2] - edges[::2] + 1
    return int(runs[runs >= FLAT].sum())
