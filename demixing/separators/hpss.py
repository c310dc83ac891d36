"""Harmonic and percussive parts by median filters; the harmonic part is split by frequency.

A sustained note is a horizontal line in a spectrogram, a drum hit a vertical one. A median over
time keeps the first and a median over frequency the second; the ratio of their powers is the mask:

    mask = P**p / (P**p + H**p),   H = median of |X| over time,   P = median of |X| over frequency.

It needs no training and no weights: any learned separator of drums, bass and the rest must beat it.

Source: Fitzgerald, "Harmonic/percussive separation using median filtering", DAFx 2010. The masks
are bit-identical to librosa's ``decompose.hpss`` (tests/test_hpss.py). librosa itself is not used:
it imports numba and scikit-learn, and calls scipy's two-dimensional median, which is ten times
slower than medians row by row. scipy stays: numpy would be four times slower.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demixing.networks.crossover import crossover
from demixing.networks.stft import istft, stft
from demixing.separator import Chunking


@dataclass(frozen=True, slots=True, kw_only=True)
class Hpss:
    """Percussive, low (harmonic below the crossover) and high (harmonic above it).

    The three sum to the input. How the defaults were chosen: docs/decisions/001-hpss.md.

    Attributes:
        crossover_hz: frequency at which low and high each get half of the harmonic part; 0: no low.
        frame: length of the STFT's window in samples.
        frame_hop: hop of the STFT in samples.
        across_time: frames that the median of the harmonic part covers, odd.
        across_frequency: bins that the median of the percussive part covers, odd.
        power: exponent p of the mask; 2 is a Wiener filter.
        stems: names of the outputs.
        sample_rate_hz: the rate that the lengths are chosen for.
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
        for name in ("frame", "frame_hop", "across_time", "across_frequency"):
            if type(getattr(self, name)) is not int:
                raise ValueError(f"{name} must be a whole number, got {getattr(self, name)!r}")
        if not 64 <= self.frame <= 1 << 16 or not self.frame // 64 <= self.frame_hop <= (
            self.frame // 4
        ):
            raise ValueError(
                "need 64 <= frame <= 65536 and frame / 64 <= frame_hop <= frame / 4, "
                f"got {self.frame} and {self.frame_hop}"
            )
        for name in ("across_time", "across_frequency"):
            length = getattr(self, name)
            if not 1 <= length <= self.frame // 2 or length % 2 == 0:
                raise ValueError(f"{name} must be odd and at most frame / 2, got {length}")
        if not 0 <= self.crossover_hz < math.inf or not 0 < self.power < math.inf:
            raise ValueError(
                "need crossover_hz >= 0 and power > 0, both finite, "
                f"got {self.crossover_hz} and {self.power}"
            )

    @property
    def chunking(self) -> Chunking:
        """Chunks of about 10 s, with as much context as the filters span.

        Longer ones save a twentieth of the time, and hold more of a song between members.
        """
        reach = self.across_time // 2 * self.frame_hop + self.frame
        context = -(-reach // self.frame_hop) * self.frame_hop
        hops = [s * self.sample_rate_hz // self.frame_hop * self.frame_hop for s in (10, 5)]
        long, *shorter = [hop + 2 * context for hop in hops]
        return Chunking(
            chunk=long,
            hop=hops[0],
            context=context,
            step=self.frame_hop,
            shorter=tuple(shorter),
        )

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        spectrum = stft(chunks, self.frame, self.frame_hop)
        # One mask for both channels halves the work and keeps the stereo image.
        mask = torch.stack([self._mask(song) for song in spectrum.abs().mean(dim=1)])[:, None]
        hz = torch.fft.rfftfreq(self.frame, 1 / self.sample_rate_hz)[:, None]
        parts = [spectrum * mask, spectrum * (1 - mask) * crossover(hz, self.crossover_hz)]
        percussive, low = (
            istft(part, self.frame, self.frame_hop, chunks.shape[-1]) for part in parts
        )
        return torch.stack([percussive, low, chunks - percussive - low], dim=1)

    def _mask(self, magnitudes: Tensor) -> Tensor:
        """Map magnitudes ``(bins, frames)`` to the mask of the percussive part, same shape."""
        table = magnitudes.numpy()
        harmonic = median_of_rows(table, self.across_time)
        percussive = median_of_rows(table.T, self.across_frequency).T
        return torch.from_numpy(soft_mask(percussive, harmonic, self.power))


def median_of_rows(table: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """Replace each value by the median of its neighbours in its row, mirrored at the ends.

    Args:
        table: ``(rows, columns)``.
        length: values that a median covers, odd.

    Returns:
        Same shape.
    """
    from scipy.ndimage import median_filter  # takes a tenth of a second

    rows = np.ascontiguousarray(table)
    return np.stack([median_filter(row, size=length, mode="reflect") for row in rows])


def soft_mask(
    part: NDArray[np.float32], other: NDArray[np.float32], power: float
) -> NDArray[np.float32]:
    """Return ``part**power / (part**power + other**power)``; half where both are silent.

    Both are first divided by the larger one, to avoid overflow and underflow.

    Args:
        part: magnitudes, not negative, ``(bins, frames)``.
        other: magnitudes that share the mixture with ``part``, same shape.
        power: exponent, greater than 0.

    Returns:
        Mask of ``part`` from 0 to 1, same shape.

    >>> soft_mask(np.float32([[2, 1, 0]]), np.float32([[1, 1, 0]]), 2).tolist()
    [[0.800000011920929, 0.5, 0.5]]
    """
    larger = np.maximum(part, other)
    silent = larger < np.finfo(larger.dtype).tiny
    scale = np.where(silent, 1, larger)
    mask, rest = (part / scale) ** power, (other / scale) ** power
    return np.divide(mask, mask + rest, out=np.full_like(mask, 0.5), where=~silent)


def build(
    crossover_hz: float = 200.0,
    frame: int = 4096,
    frame_hop: int = 1024,
    across_time: int = 51,
    across_frequency: int = 71,
    power: float = 2.0,
) -> Hpss:
    """Build the filter; it has no weights. See :class:`Hpss` for the arguments.

    Raises:
        ValueError: an option is out of range.
    """
    return Hpss(
        crossover_hz=crossover_hz,
        frame=frame,
        frame_hop=frame_hop,
        across_time=across_time,
        across_frequency=across_frequency,
        power=power,
    )
