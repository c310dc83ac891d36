"""Spectra of a stem, and interpretable features of a few seconds of its sound."""

from collections.abc import Mapping

import numpy as np
import scipy.fft
from numpy.typing import NDArray

FRAME_S = 0.0464
"""2048 samples at 44.1 kHz; the nearest power of two at other rates."""
OCTAVES_HZ = (60, 125, 250, 500, 1000, 2000, 4000, 8000)
"""Lower edges of octaves. The first octave begins at 0 Hz, and the last has no upper edge."""
PITCH_HZ = (45, 900)
FLOOR = 1e-10

FEATURES: Mapping[str, str] = {
    **{f"octave_{edge}_db": f"share of the octave at {edge} Hz, in dB" for edge in OCTAVES_HZ},
    "centroid": "centre of the spectrum, in octaves",
    "flatness_db": "noise rather than tones, in dB",
    "percussiveness_db": "mean rise of the bands from frame to frame, in dB",
    "pitched": "part of a frame that is periodic",
    "pitch": "that period's frequency, in octaves",
    "pitch_moves": "change of that from frame to frame, in octaves",
    "crest_db": "loudest frames over the mean",
    "syllables_db": "share of fluctuations from 3 to 8 Hz, in dB",
}
"""Name and meaning of the features, in the order of :func:`features`."""


def frame_length(rate_hz: int) -> int:
    """Samples in a frame.

    >>> frame_length(44_100), frame_length(8_000)
    (2048, 512)
    """
    return int(2 ** np.ceil(np.log2(FRAME_S * rate_hz) - 0.5))


def frames(mono: NDArray[np.float32], length: int) -> NDArray[np.complex64]:
    """Spectra of half-overlapping frames; their squares sum over bins to the mean square.

    Args:
        mono: ``(..., samples)``.
        length: length of a frame in samples.

    Returns:
        ``(..., frames, length / 2 + 1)``.
    """
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    window *= np.sqrt(2 / length / np.square(window).sum())
    cut = np.lib.stride_tricks.sliding_window_view(mono, length, axis=-1)[..., :: length // 2, :]
    result: NDArray[np.complex64] = scipy.fft.rfft(cut * window, axis=-1)
    return result


def features(spectra: NDArray[np.complex64], rate_hz: int) -> NDArray[np.float64]:
    """Measure the features of a few seconds of one stem.

    Args:
        spectra: ``(frames, bins)`` from :func:`frames`; not silent.
        rate_hz: sample rate of the audio.

    Returns:
        ``(features,)``, in the order of :data:`FEATURES`.
    """
    power = np.square(np.abs(spectra)) + FLOOR**2
    length = 2 * (power.shape[1] - 1)
    hz = np.arange(power.shape[1]) * rate_hz / length
    mean = power.mean(axis=0)
    edges = np.searchsorted(hz, (0, *OCTAVES_HZ[1:]))
    edges = np.minimum(edges, len(hz) - 1)
    octaves = 10 * np.log10(np.add.reduceat(mean, edges) / mean.sum() + 1e-9)
    audible = hz > 30
    log_hz = np.log2(hz[audible])
    centroid = (mean[audible] * log_hz).sum() / mean[audible].sum()
    tonal = (hz > 100) & (hz < 6000)
    flat = np.exp(np.log(power[:, tonal]).mean(axis=1)) / power[:, tonal].mean(axis=1)
    level = power.sum(axis=1)
    weight = level / level.sum()
    pitched, pitch = _periods(power, rate_hz, length)
    moves = np.abs(np.diff(pitch)).clip(max=1) * np.sqrt(weight[1:] * weight[:-1])
    return np.array(
        [
            *octaves,
            centroid,
            10 * np.log10((flat * weight).sum()),
            _rises_db(power),
            (pitched * weight).sum(),
            (pitch * pitched * weight).sum() / max((pitched * weight).sum(), FLOOR),
            moves.sum() / max(np.sqrt(weight[1:] * weight[:-1]).sum(), FLOOR),
            10 * np.log10(np.quantile(level, 0.98) / level.mean()),
            _syllables_db(level, rate_hz / (length // 2)),
        ]
    )


def _rises_db(power: NDArray[np.floating]) -> float:
    """Mean rise of the bands of a frame over the frame before, in dB, weighted by amplitude.

    Args:
        power: ``(frames, bins)``.
    """
    bands = np.add.reduceat(
        power, np.unique(np.geomspace(1, power.shape[1] - 1, 24).astype(int)), 1
    )
    floor = bands.max(axis=0) * 1e-6 + FLOOR**2
    rises = np.diff(10 * np.log10(bands + floor), axis=0).clip(min=0, max=40)
    weight = np.sqrt(bands[1:])
    return float((rises * weight).sum() / weight.sum())


def _periods(
    power: NDArray[np.floating], rate_hz: int, length: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Periodicity of each frame, 0 to 1, and its frequency in octaves, both ``(frames,)``.

    Args:
        power: ``(frames, bins)``.
        rate_hz: sample rate of the audio.
        length: length of a frame in samples.
    """
    correlation = scipy.fft.irfft(power, axis=1)[:, : length // 2]
    lags = np.arange(int(rate_hz / PITCH_HZ[1]), min(int(rate_hz / PITCH_HZ[0]), length // 2 - 1))
    within = correlation[:, lags] / (correlation[:, :1] + FLOOR**2)
    # The window is finite, which makes the correlation at long lags too small.
    within = within / (1 - lags / length) ** 2
    best = within.argmax(axis=1)
    height = within[np.arange(len(within)), best].clip(0, 1)
    return height, np.log2(rate_hz / lags[best])


def _syllables_db(level: NDArray[np.floating], frame_hz: float) -> float:
    """Fraction of the loudness fluctuations at the rate of syllables, in dB.

    Args:
        level: power of each frame, ``(frames,)``.
        frame_hz: frames per second.
    """
    loudness = np.log10(level + level.max() * 1e-4)
    spectrum = np.square(np.abs(np.fft.rfft((loudness - loudness.mean()) * np.hanning(len(level)))))
    hz = np.arange(len(spectrum)) * frame_hz / len(level)
    paced = spectrum[(hz >= 3) & (hz < 8)].sum()
    return float(10 * np.log10((paced + 1e-9) / (spectrum[hz >= 0.5].sum() + 1e-9)))
