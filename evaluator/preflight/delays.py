"""Correlations of a song's files over time differences."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluator.preflight.files import Reader, SongFiles

LARGEST_LAG = 2**15
"""Delays that are looked for, in samples: 0.7 s, more than a frame of any STFT in use."""

TRANSFORM = 2**18
"""Samples of a Fourier transform, at most: a part of a song, and the largest lag on both sides."""

EXCERPT_S = 60.0
"""Only the middle of a song is looked at: delays are the same everywhere."""

SUM = "the sum of all stems"

SILENT = 1e-9


@dataclass(frozen=True)
class Correlation:
    """How two sounds fit together, for each time difference.

    Attributes:
        values: from -1 to 1, for lags from ``-largest`` to ``largest`` samples.
    """

    values: NDArray[np.float64]

    @property
    def lag(self) -> int:
        """The delay at which they fit best, upside down or not, in samples."""
        return int(np.argmax(np.abs(self.values))) - len(self.values) // 2

    @property
    def best(self) -> float:
        """How well they fit at that delay."""
        return float(np.abs(self.values).max())

    @property
    def undelayed(self) -> float:
        """How well they fit as they are."""
        return float(np.abs(self.values[len(self.values) // 2]))


def correlations(files: SongFiles) -> dict[str, Correlation]:
    """Compare each stem with its reference, if there are any, and the sum of all with the mixture.

    High frequencies count as much as low ones, because each file is replaced by the differences
    of neighbouring samples: a bass is much the same one sample later.

    Returns:
        By name of the stem, or :data:`SUM`; without those that are silent.

    Raises:
        EvaluationError: a file is damaged.
    """
    samples = files.layout.samples
    largest = min(LARGEST_LAG, samples // 2)
    excerpt = min(samples, round(EXCERPT_S * files.layout.sample_rate_hz))
    # The next power of two, if the whole excerpt fits into less.
    transform = min(TRANSFORM, 1 << (excerpt + 2 * largest - 1).bit_length())
    step = transform - 2 * largest
    first = (samples - excerpt) // 2
    found = {name: _Lags(largest, transform) for name in [*files.references, SUM]}
    with Reader(files) as reader:
        for start in range(first, first + excerpt, step):
            stop = min(start + step, first + excerpt)
            total: NDArray[np.float64] | None = None
            for stem in files.estimates:
                wide = _differences(_of(reader.estimate, stem), start - largest, stop + largest)
                total = wide if total is None else total + wide
                if stem in files.references:
                    found[stem].add(wide, _differences(_of(reader.reference, stem), start, stop))
            if total is not None:
                found[SUM].add(total, _differences(reader.mixture, start, stop))
    made = {name: lags.correlation() for name, lags in found.items()}
    return {name: one for name, one in made.items() if one is not None}


def _of(read: Callable[[str, int, int], NDArray[np.float64]], stem: str) -> "_Read":
    """Bind a stem."""
    return lambda start, stop: read(stem, start, stop)


_Read = Callable[[int, int], NDArray[np.float64]]


def _differences(read: _Read, start: int, stop: int) -> NDArray[np.float64]:
    """Differences of neighbouring samples; of what is not finite, nothing."""
    audio = read(start - 1, stop)
    return np.diff(np.where(np.isfinite(audio), audio, 0), axis=0)


class _Lags:
    """Sums up correlations of parts of a song.

    Args:
        largest: lag, in samples.
        transform: length of Fourier transforms.
    """

    def __init__(self, largest: int, transform: int) -> None:
        self._largest, self._transform = largest, transform
        self._sums = np.zeros(2 * largest + 1)
        self._energies = np.zeros(2)

    def add(self, estimate: NDArray[np.float64], target: NDArray[np.float64]) -> None:
        """Take in the next part.

        Args:
            estimate: with the largest lag on both sides.
            target: what it is compared to.
        """
        spectra = [np.fft.rfft(audio, self._transform, axis=0) for audio in (estimate, target)]
        products = (spectra[0] * np.conj(spectra[1])).sum(axis=1)
        # Samples that a transform wraps around are at larger lags than those kept.
        self._sums += np.fft.irfft(products, self._transform)[: 2 * self._largest + 1]
        inner = estimate[self._largest : self._largest + len(target)]
        self._energies += np.square(inner).sum(), np.square(target).sum()

    def correlation(self) -> Correlation | None:
        """What came of it; None if there was silence."""
        scale = math.sqrt(self._energies[0] * self._energies[1])
        return Correlation(self._sums / scale) if scale > SILENT else None
