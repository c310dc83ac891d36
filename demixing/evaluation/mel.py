"""A bank of triangular filters on the mel scale, as librosa computes it by default.

Slaney's scale is linear below 1000 Hz, with 200/3 Hz per mel, and logarithmic above, with 27 mel
per factor of 6.4. Each filter has the same area.

Source: M. Slaney, "Auditory Toolbox, version 2", Interval Research Corporation, 1998.
"""

import math

import numpy as np
from numpy.typing import NDArray

HZ_PER_MEL = 200 / 3
KNEE_HZ = 1000.0
PER_NEPER = 27 / math.log(6.4)
"""Mel per unit of the natural logarithm of frequency, above the knee."""

GROUP = 32
"""Filters that are applied together: neighbours need few of the spectrum's bins."""


def mel_of(hz: float) -> float:
    """Convert a frequency.

    >>> mel_of(200.0)
    3.0
    >>> round(mel_of(6400.0), 6)
    42.0
    """
    if hz < KNEE_HZ:
        return hz / HZ_PER_MEL
    return KNEE_HZ / HZ_PER_MEL + PER_NEPER * math.log(hz / KNEE_HZ)


def hz_of(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert to frequencies in Hz."""
    above = np.maximum(mel - KNEE_HZ / HZ_PER_MEL, 0.0)
    low_hz = np.minimum(mel * HZ_PER_MEL, KNEE_HZ)
    return np.asarray(low_hz * np.exp(above / PER_NEPER))


def weights(rate_hz: int, size: int, bands: int) -> NDArray[np.float32]:
    """Weights of the filters from 0 Hz to half the sample rate, ``(bands, bins)``.

    Args:
        rate_hz: sample rate.
        size: samples in a frame.
        bands: number of filters.
    """
    edges_hz = hz_of(np.linspace(0.0, mel_of(rate_hz / 2), bands + 2))
    bins_hz = np.fft.rfftfreq(size, 1 / rate_hz)
    low, middle, high = (edges_hz[start : start + bands, None] for start in range(3))
    rising, falling = (bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)
    triangles = np.maximum(np.minimum(rising, falling), 0.0)
    return np.asarray(triangles * 2 / (high - low), dtype=np.float32)


class MelBank:
    """Applies the filters to magnitudes.

    Args:
        rate_hz: sample rate.
        size: samples in a frame.
        bands: number of filters.
    """

    def __init__(self, rate_hz: int, size: int, bands: int) -> None:
        full = weights(rate_hz, size, bands)
        self._bands = bands
        self._groups: list[tuple[slice, slice, NDArray[np.float32]]] = []
        for start in range(0, bands, GROUP):
            group = slice(start, min(start + GROUP, bands))
            used = np.flatnonzero(full[group].any(axis=0))
            bins = slice(int(used[0]), int(used[-1]) + 1) if used.size else slice(0, 1)
            self._groups.append((group, bins, np.ascontiguousarray(full[group, bins].T)))

    def __call__(self, magnitudes: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the magnitude in each band, ``(..., bands)``, of ``(..., bins)``."""
        result = np.empty((*magnitudes.shape[:-1], self._bands), np.float32)
        for group, bins, matrix in self._groups:
            result[..., group] = magnitudes[..., bins] @ matrix
        return result
