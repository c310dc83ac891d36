"""Harmonic and percussive parts by median filters, the harmonic part cut in two at a frequency.

A sustained note is a horizontal line in a spectrogram, a drum hit a vertical one. A median over
time keeps the first and a median over frequency the second; the ratio of their powers is the
mask. No training, no weights: what a learned separator of drums, bass and the rest must beat.

Source: Fitzgerald, "Harmonic/percussive separation using median filtering", DAFx 2010, with the
soft mask of librosa. librosa's own ``decompose.hpss`` gives the same masks, but it asks scipy for
a two-dimensional median; asked line by line, scipy answers the same, 9 to 20 times as fast.
"""

from dataclasses import dataclass

import librosa
import numpy as np
import scipy.ndimage
import torch
from numpy.typing import NDArray
from torch import Tensor

from my_submission.separators import Chunking


@dataclass(frozen=True, slots=True, kw_only=True)
class Hpss:
    """Percussive, low (harmonic below the crossover) and high (harmonic above it).

    The three sum to the input. The defaults did best on four real songs, three of the training
    set and one of the validation set.

    Attributes:
        crossover_hz: where low and high have half the harmonic part each.
        frame: length of the STFT's window, in samples.
        frame_hop: distance of two frames, in samples.
        across_time: frames that the median for the harmonic part looks at, odd.
        across_frequency: bins that the median for the percussive part looks at, odd.
        power: of the ratio; 2 is a Wiener filter.
        sample_rate_hz: the lengths above are right for this rate.
    """

    crossover_hz: float
    frame: int
    frame_hop: int
    across_time: int
    across_frequency: int
    power: float
    stems: tuple[str, ...] = ("percussive", "low", "high")
    sample_rate_hz: int = 44_100

    def __post_init__(self) -> None:
        if not 0 < self.frame_hop <= self.frame // 4:
            raise ValueError(
                f"need 0 < frame_hop <= frame / 4, got {self.frame_hop} and {self.frame}"
            )
        for length in (self.across_time, self.across_frequency):
            if length < 1 or length % 2 == 0:
                raise ValueError(f"the medians look at an odd number, got {length}")
        if self.crossover_hz < 0 or self.power <= 0:
            raise ValueError("need crossover_hz >= 0 and power > 0")

    @property
    def chunking(self) -> Chunking:
        """About 20 s, with as much context as the filters look at: the seams do not show."""
        reach = self.across_time // 2 * self.frame_hop + self.frame
        context = -(-reach // self.frame_hop) * self.frame_hop
        hop = 20 * self.sample_rate_hz // self.frame_hop * self.frame_hop
        return Chunking(chunk=hop + 2 * context, hop=hop, context=context)

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`my_submission.separators.Separator`."""
        return torch.stack([self._separate_one(chunk.numpy()) for chunk in chunks])

    def _separate_one(self, chunk: NDArray[np.float32]) -> Tensor:
        """Separate ``(2, chunk)`` into ``(3, 2, chunk)``."""
        spectrum = librosa.stft(chunk, n_fft=self.frame, hop_length=self.frame_hop)
        # One mask for both channels: half the work, and the stereo image stays where it is.
        magnitudes = np.abs(spectrum).mean(axis=0)
        harmonic = median_of_rows(magnitudes, self.across_time)
        percussive = median_of_rows(magnitudes.T, self.across_frequency).T
        mask = librosa.util.softmask(percussive, harmonic, power=self.power, split_zeros=True)
        frequencies_hz = librosa.fft_frequencies(sr=self.sample_rate_hz, n_fft=self.frame)
        below = crossover(frequencies_hz, self.crossover_hz)[:, None]
        hits, low = (
            librosa.istft(part, hop_length=self.frame_hop, length=chunk.shape[1])
            for part in (spectrum * mask, spectrum * (1 - mask) * below)
        )
        return torch.from_numpy(np.stack([hits, low, chunk - hits - low]).astype(np.float32))


def median_of_rows(table: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Replace each value by the median of its neighbours in its row, mirrored at the ends."""
    rows = np.ascontiguousarray(table)
    return np.stack([scipy.ndimage.median_filter(row, size=length) for row in rows])


def crossover(frequencies_hz: NDArray[np.float64], at_hz: float) -> NDArray[np.float64]:
    """Gain of the low side of a crossover of 24 dB per octave; the high side is the rest.

    >>> print(crossover(np.array([0.0, 200.0, 2000.0]), 200).round(3))
    [1.  0.5 0. ]
    """
    if at_hz == 0:
        return np.zeros_like(frequencies_hz)
    return np.asarray(1 / (1 + (frequencies_hz / at_hz) ** 8))


def build(
    crossover_hz: float = 200.0,
    frame: int = 4096,
    frame_hop: int = 1024,
    across_time: int = 31,
    across_frequency: int = 31,
    power: float = 2.0,
) -> Hpss:
    """Build the filter; it has no weights. See :class:`Hpss` for the arguments."""
    return Hpss(
        crossover_hz=crossover_hz,
        frame=frame,
        frame_hop=frame_hop,
        across_time=across_time,
        across_frequency=across_frequency,
        power=power,
    )
