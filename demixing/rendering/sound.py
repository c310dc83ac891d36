"""Studio effects: equaliser, compressor, reverb, panning, level.

Conventions
-----------
Audio is float64 ``(2, samples)`` at :data:`RATE_HZ`, full scale at ±1. Silence stays silence.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import fftconvolve, oaconvolve

Audio = NDArray[np.float64]

RATE_HZ = 44_100
HIGH_PASS_HZ = 30.0
"""Cutoff that removes constant offsets of sources, which are inaudible but affect scores."""


def active_level_db(audio: Audio) -> float:
    """RMS in dB over the blocks of about 50 ms that are within 20 dB of the loudest block.

    Args:
        audio: ``(..., samples)``.

    >>> round(active_level_db(np.repeat([[0.1, 0.0], [0.1, 0.0]], 44_100, axis=1)))
    -20
    """
    blocks = np.array_split(audio, max(1, audio.shape[-1] * 20 // RATE_HZ), axis=-1)
    powers = np.array([np.mean(block**2) for block in blocks])
    loudest = powers.max()
    return 10 * math.log10(powers[powers >= loudest / 100].mean()) if loudest else -math.inf


def levelled(audio: Audio, level_db: float) -> Audio:
    """Scale ``(..., samples)`` to a given :func:`active_level_db`."""
    now_db = active_level_db(audio)
    gain = 10 ** ((level_db - now_db) / 20) if math.isfinite(now_db) else 0.0
    return gain * audio


def equalised(audio: Audio, rng: np.random.Generator, *, fast: bool = False) -> Audio:
    """Equalise at random: two shelves and a bell with zero phase.

    Args:
        audio: ``(..., samples)``.
        rng: draws the curve.
        fast: whether to use a faster FFT, which rounds differently from the first generation.
    """
    samples = audio.shape[-1]
    size = samples + RATE_HZ // 4  # room to ring without wrapping around
    size = next_fast_len(size, real=True) if fast else size
    octave = np.log2(np.maximum(np.fft.rfftfreq(size, 1 / RATE_HZ), 1.0))
    low_hz, bell_hz, high_hz = rng.uniform((80, 300, 4000), (300, 3000, 10_000))
    low_db, bell_db, high_db = rng.uniform((-4, -4, -2), (4, 4, 8))  # commercial records are bright
    gain_db = low_db / (1 + np.exp(4 * (octave - math.log2(low_hz))))
    gain_db += bell_db * np.exp(-((octave - math.log2(bell_hz)) ** 2))
    gain_db += high_db / (1 + np.exp(-4 * (octave - math.log2(high_hz))))
    result: Audio = np.fft.irfft(np.fft.rfft(audio, size) * 10 ** (gain_db / 20), size)
    return result[..., :samples]


def compressed(audio: Audio, above_db: float, ratio: float) -> Audio:
    """Compress ``(2, samples)``, both channels alike.

    Args:
        audio: ``(2, samples)``.
        above_db: threshold over the active level.
        ratio: dB of input level per dB of output level, above the threshold.
    """
    power = uniform_filter1d(maximum_filter1d(np.square(audio).max(axis=0), 441), 2205)
    # Rounding in the running sum may make the power of silence after loud parts negative.
    level_db = 10 * np.log10(np.maximum(power, 0) + 1e-12)
    threshold_db = active_level_db(audio) + above_db
    over_db = np.maximum(level_db - threshold_db, 0)
    result: Audio = audio * 10 ** (-over_db * (1 - 1 / ratio) / 20)
    return result


def reverberated(
    audio: Audio, rng: np.random.Generator, decay_s: float, wet: float, *, fast: bool = False
) -> Audio:
    """Add reverberation: decaying noise, faster at high frequencies, different in each channel.

    Args:
        audio: dry sound, ``(2, samples)``.
        rng: draws the noise.
        decay_s: time in which the reverberation decays by 60 dB.
        wet: energy of the impulse response.
        fast: whether to convolve faster, which rounds differently from the first generation.
    """
    samples = round(decay_s * RATE_HZ)
    time_s = np.arange(samples) / RATE_HZ
    noise = rng.standard_normal((2, samples))
    dull = uniform_filter1d(noise, 24, axis=-1) * math.sqrt(24)
    bright = noise * 10 ** (-6 * time_s / decay_s)  # decays twice as fast
    room = (dull + 0.5 * bright) * 10 ** (-3 * time_s / decay_s)
    room[:, : round(rng.uniform(0.005, 0.03) * RATE_HZ)] = 0  # the distance to the first wall
    room *= wet / math.sqrt(np.square(room).sum(axis=-1).mean())
    convolved = (oaconvolve if fast else fftconvolve)(audio, room, axes=-1)
    result: Audio = audio + convolved[:, : audio.shape[-1]]
    return result


def high_pass(audio: Audio, cutoff_hz: float) -> Audio:
    """Remove frequencies below half the cutoff, and keep those above the cutoff.

    >>> tone, middle = np.sin(np.arange(RATE_HZ) / 16), slice(10_000, -10_000)
    >>> bool(np.allclose(high_pass(tone + 0.3, 30.0)[middle], tone[middle], atol=1e-3))
    True
    """
    centred = audio - audio.mean(axis=-1, keepdims=True)
    return _filtered(centred, lambda hz: 2 * hz / cutoff_hz - 1)


def low_pass(audio: Audio, cutoff_hz: float) -> Audio:
    """Keep frequencies below the cutoff, and remove those a tenth of an octave above it.

    >>> tone, middle = np.sin(np.arange(RATE_HZ) / 16), slice(10_000, -10_000)
    >>> noise = 0.3 * np.sin(np.arange(RATE_HZ) / 2)
    >>> bool(np.allclose(low_pass(tone + noise, 2000.0)[middle], tone[middle], atol=1e-3))
    True
    """
    return _filtered(audio, lambda hz: (2**0.1 - hz / cutoff_hz) / (2**0.1 - 1))


def _filtered(audio: Audio, slope: Callable[[NDArray[np.floating]], NDArray[np.floating]]) -> Audio:
    """Filter with zero phase; the gain is 0 where ``slope`` (of Hz) is below 0, 1 where above 1."""
    samples = audio.shape[-1]
    size = samples + RATE_HZ // 4  # room for the filter to ring without wrapping around
    hz = np.fft.rfftfreq(size, 1 / RATE_HZ)
    gain = np.sin(np.pi / 2 * np.clip(slope(hz), 0, 1)) ** 2
    filtered: Audio = np.fft.irfft(np.fft.rfft(audio, size) * gain, size)[..., :samples]
    return filtered


def placed(mono: Audio, pan: float) -> Audio:
    """Pan ``(samples,)`` between left (-1) and right (1) with constant power, ``(2, samples)``."""
    angle = (pan + 1) * math.pi / 4
    return np.stack([math.cos(angle) * mono, math.sin(angle) * mono])


def faded(audio: Audio, fade_s: float = 0.02) -> Audio:
    """Fade the ends of ``(..., samples)`` in and out."""
    samples = min(round(fade_s * RATE_HZ), audio.shape[-1])
    ramp = np.sin(np.pi / 2 * (np.arange(samples) + 0.5) / samples)
    result = audio.copy()
    result[..., :samples] *= ramp
    result[..., audio.shape[-1] - samples :] *= ramp[::-1]
    return result
