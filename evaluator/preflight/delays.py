"""Cross-correlations of a song's files, which reveal delays."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluator.preflight.files import Reader, SongFiles

LARGEST_LAG = 2**15
"""Largest delay that can be found, in samples: 0.7 s, more than a frame of any STFT in use."""

TRANSFORM = 2**18
"""Longest Fourier transform, in samples: part of a song, and the largest lag on both sides."""

EXCERPT_S = 60.0
"""Length of the excerpt from the middle of a song: delays are the same everywhere."""

SUM = "the sum of all stems"

SILENT = 1e-9


@dataclass(frozen=True)
class Correlation:
    """The normalised cross-correlation of two signals.

    Attributes:
        values: ``(lags,)``, from -1 to 1, for lags from ``-largest`` to ``largest`` samples.
    """

    values: NDArray[np.float64]

    @property
    def lag(self) -> int:
        """Lag of the largest absolute correlation, in samples."""
        return int(np.argmax(np.abs(self.values))) - len(self.values) // 2

    @property
    def best(self) -> float:
        """Largest absolute correlation."""
        return float(np.abs(self.values).max())

    @property
    def undelayed(self) -> float:
        """Absolute correlation at lag 0."""
        return float(np.abs(self.values[len(self.values) // 2]))


def correlations(files: SongFiles) -> dict[str, Correlation]:
    """Correlate each stem with its reference, if there is one, and the sum with the mixture.

    Each file is replaced by the differences of neighbouring samples. That raises high frequencies,
    without which a bass hardly differs from the same bass one sample later.

    Args:
        files: files of a song whose estimates have the right format.

    Returns:
        Correlations by name of the stem, or :data:`SUM`; silent ones are left out.

    Raises:
        EvaluationError: a file is damaged.
    """
    samples = files.layout.samples
    largest = min(LARGEST_LAG, samples // 2)
    excerpt = min(samples, round(EXCERPT_S * files.layout.sample_rate_hz))
    # If the whole excerpt needs less, the next power of two.
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
    """Bind the stem of a reader function."""
    return lambda start, stop: read(stem, start, stop)


_Read = Callable[[int, int], NDArray[np.float64]]


def _differences(read: _Read, start: int, stop: int) -> NDArray[np.float64]:
    """Differences of neighbouring samples, ``(samples, channels)``.

    Samples that are not finite count as 0.

    Args:
        read: reads samples from a start to a stop.
        start: first sample of the result.
        stop: end of the result.
    """
    audio = read(start - 1, stop)
    return np.diff(np.where(np.isfinite(audio), audio, 0), axis=0)


class _Lags:
    """Accumulates the correlation over parts of a song.

    Args:
        largest: lag, in samples.
        transform: length of Fourier transforms, in samples.
    """

    def __init__(self, largest: int, transform: int) -> None:
        self._largest, self._transform = largest, transform
        self._sums = np.zeros(2 * largest + 1)
        self._energies = np.zeros(2)

    def add(self, estimate: NDArray[np.float64], target: NDArray[np.float64]) -> None:
        """Add the next part.

        Args:
            estimate: ``(samples + 2 * largest, channels)``, with the largest lag on both sides.
            target: the signal it is compared with, ``(samples, channels)``.
        """
        spectra = [np.fft.rfft(audio, self._transform, axis=0) for audio in (estimate, target)]
        products = (spectra[0] * np.conj(spectra[1])).sum(axis=1)
        # Values that wrap around in the circular transform are at lags that are not kept.
        self._sums += np.fft.irfft(products, self._transform)[: 2 * self._largest + 1]
        inner = estimate[self._largest : self._largest + len(target)]
        self._energies += np.square(inner).sum(), np.square(target).sum()

    def correlation(self) -> Correlation | None:
        """The correlation of all parts; None if a signal was silent."""
        scale = math.sqrt(self._energies[0] * self._energies[1])
        return Correlation(self._sums / scale) if scale > SILENT else None
