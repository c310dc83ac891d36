"""The filter of log-WMSE, which weights frequencies about as hearing does, and its application.

Its magnitude response is the product of

    high shelf   1500 Hz, +5 dB, Q 1/√2
    high-pass     120 Hz, Butterworth of order 2
    peak          500 Hz, +2.5 dB, Q 1.5/√2
    low-pass    10000 Hz, Butterworth of order 1, applied twice

all of them designed for 44.1 kHz (R. Bristow-Johnson's Audio EQ Cookbook, bilinear transform), and
its phase is zero: 4000 taps out of the inverse transform of 4097 bins.

The published taps were computed with a response sampled at k / 4097 of half the sample rate and
taken for samples at k / 4096, so all frequencies above are 0.02 % higher in effect. This module
does the same, and agrees with the published taps within 2e-8.

Source: Nomono's log-wmse-audio-quality 0.2, dev/create_freq_weighting_filter_ir.py.
"""

import math

import numpy as np
import scipy.fft
from numpy.typing import NDArray

DESIGN_HZ = 44_100
BINS = 4097
TAPS_BEFORE, TAPS_AFTER = 1999, 2000
"""Around the central tap."""

Array = NDArray[np.float64]


def response(frequencies_hz: Array) -> Array:
    """Magnitude of the filter; 0 above half of 44.1 kHz, where the definition's signals end."""
    angles = 2 * np.pi * frequencies_hz / DESIGN_HZ * (1 - 1 / BINS)
    kept = angles < np.pi
    angles = np.where(kept, angles, 0.0)
    low_pass = 1 / (1 + (np.tan(angles / 2) / math.tan(math.pi * 10_000 / DESIGN_HZ)) ** 2)
    product = (
        _high_shelf(angles, 1500, 5.0, math.sqrt(0.5))
        * _high_pass(angles, 120, math.sqrt(0.5))
        * _peak(angles, 500, 2.5, 1.5 * math.sqrt(0.5))
        * low_pass
    )
    return np.asarray(product * kept)


def taps(rate_hz: int) -> Array:
    """Impulse response, ``(taps,)``, with :data:`TAPS_BEFORE` taps before the central one.

    Args:
        rate_hz: sample rate; above and below 44.1 kHz, the taps span the same time.
    """
    scale = rate_hz / DESIGN_HZ
    size = 2 * round((BINS - 1) * scale)
    frequencies_hz = np.asarray(scipy.fft.rfftfreq(size, 1 / rate_hz), dtype=np.float64)
    centred = np.asarray(scipy.fft.fftshift(scipy.fft.irfft(response(frequencies_hz), size)))
    before, after = before_and_after(rate_hz)
    return centred[size // 2 - before : size // 2 + after + 1]


def before_and_after(rate_hz: int) -> tuple[int, int]:
    """Number of taps on both sides of the central one."""
    scale = rate_hz / DESIGN_HZ
    return round(TAPS_BEFORE * scale), round(TAPS_AFTER * scale)


def _biquad(angles: Array, zeros: tuple[float, ...], poles: tuple[float, ...]) -> Array:
    """Magnitude of a filter of second order.

    Args:
        angles: frequencies in radians per sample.
        zeros: its numerator, for delays of 0, 1 and 2 samples.
        poles: its denominator, likewise.
    """
    delay = np.exp(-1j * angles)
    return np.asarray(np.abs(np.polyval(zeros[::-1], delay) / np.polyval(poles[::-1], delay)))


def _shape(hz: float, q: float) -> tuple[float, float]:
    """Cosine and alpha, in the cookbook's words, of a filter at a frequency."""
    angle = 2 * math.pi * hz / DESIGN_HZ
    return math.cos(angle), math.sin(angle) / (2 * q)


def _high_shelf(angles: Array, hz: float, gain_db: float, q: float) -> Array:
    cosine, alpha = _shape(hz, q)
    gain = 10 ** (gain_db / 40)
    plus, minus, slope = gain + 1, gain - 1, 2 * math.sqrt(gain) * alpha
    zeros = (
        gain * (plus + minus * cosine + slope),
        -2 * gain * (minus + plus * cosine),
        gain * (plus + minus * cosine - slope),
    )
    poles = (
        plus - minus * cosine + slope,
        2 * (minus - plus * cosine),
        plus - minus * cosine - slope,
    )
    return _biquad(angles, zeros, poles)


def _high_pass(angles: Array, hz: float, q: float) -> Array:
    cosine, alpha = _shape(hz, q)
    half = (1 + cosine) / 2
    return _biquad(angles, (half, -2 * half, half), (1 + alpha, -2 * cosine, 1 - alpha))


def _peak(angles: Array, hz: float, gain_db: float, q: float) -> Array:
    cosine, alpha = _shape(hz, q)
    gain = 10 ** (gain_db / 40)
    zeros = (1 + alpha * gain, -2 * cosine, 1 - alpha * gain)
    poles = (1 + alpha / gain, -2 * cosine, 1 - alpha / gain)
    return _biquad(angles, zeros, poles)


class HearingFilter:
    """Filters signals that arrive in blocks; all output together is as long as all input.

    Args:
        rate_hz: sample rate.
    """

    def __init__(self, rate_hz: int) -> None:
        self._taps = taps(rate_hz).astype(np.float32)
        self._ahead, _ = before_and_after(rate_hz)
        self._skip = self._ahead  # output that belongs before the first sample
        self._past = np.zeros((0, 0), np.float32)
        self._spectra: dict[int, NDArray[np.complex64]] = {}

    def push(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Filter the next block.

        Args:
            audio: ``(signals, samples)``.

        Returns:
            ``(signals, samples)``, which may be fewer samples: the filter looks ahead.
        """
        if not len(self._past):
            self._past = np.zeros((len(audio), len(self._taps) - 1), np.float32)
        extended = np.concatenate([self._past, audio], axis=1)
        self._past = extended[:, -(len(self._taps) - 1) :].copy()
        size = scipy.fft.next_fast_len(extended.shape[1], real=True)
        product = scipy.fft.rfft(extended, size) * self._spectrum(size)
        # What wraps around falls on the first samples, which are the past's.
        found = scipy.fft.irfft(product, size)[:, len(self._taps) - 1 : extended.shape[1]]
        skipped = min(self._skip, found.shape[1])
        self._skip -= skipped
        return np.asarray(found[:, skipped:])

    def finish(self) -> NDArray[np.float32]:
        """The rest of the output, after all blocks."""
        return self.push(np.zeros((len(self._past), self._ahead), np.float32))

    def _spectrum(self, size: int) -> NDArray[np.complex64]:
        """Transform of the taps."""
        if size not in self._spectra:
            self._spectra[size] = np.asarray(scipy.fft.rfft(self._taps, size))
        return self._spectra[size]
