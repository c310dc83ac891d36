"""More studio effects: distortion, doubling, ducking, compression of the mixture.

Audio is ``(2, samples)`` as in :mod:`demixing.rendering.sound`; silence stays silence.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, uniform_filter1d
from scipy.signal import butter, sosfilt

from demixing.rendering.sound import RATE_HZ, Audio, active_level_db, levelled

DRIVEN_DB = -12.0
"""Input level of the waveshaper without drive."""


def distorted(
    audio: Audio, rng: np.random.Generator, drive_db: float, cabinet: bool = True
) -> Audio:
    """Distort with an asymmetric waveshaper, like a valve, and optionally a loudspeaker cabinet.

    Args:
        audio: ``(2, samples)``.
        rng: draws the asymmetry and the cabinet.
        drive_db: gain before the waveshaper.
        cabinet: whether low and high frequencies are removed afterwards.

    Returns:
        ``(2, samples)``, at the same active level.
    """
    bias, low_hz, high_hz = rng.uniform((0, 60, 3500), (0.4, 120, 6500))
    if not audio.any():
        return audio
    level_db = active_level_db(audio)
    driven = levelled(audio, DRIVEN_DB) * 10 ** (drive_db / 20)
    shaped = np.tanh(driven + bias) - np.tanh(bias)
    if cabinet:
        band = butter(2, [low_hz, high_hz], "bandpass", fs=RATE_HZ, output="sos")
        shaped = sosfilt(band, shaped)
    return levelled(shaped, level_db)


def doubled(audio: Audio, rng: np.random.Generator, width: float = 1.0) -> Audio:
    """Double a track: two takes of the middle, slightly out of time and tune, left and right.

    Args:
        audio: ``(2, samples)``.
        rng: draws the differences of the takes.
        width: 1 puts the takes at the sides, 0 in the middle.

    Returns:
        ``(2, samples)``.
    """
    middle = audio.mean(axis=0)
    takes = np.stack([_late(middle, rng), _late(middle, rng)])
    blend = np.array([[1 + width, 1 - width], [1 - width, 1 + width]]) / 2
    result: Audio = blend @ takes
    return result


def _late(mono: Audio, rng: np.random.Generator) -> Audio:
    """Delay ``(samples,)`` by a varying time, which varies the pitch as well."""
    samples = len(mono)
    points = rng.standard_normal(samples // 2205 + 2)
    wander = gaussian_filter1d(points, rng.uniform(3, 12))
    wander *= rng.uniform(20, 120) / (np.abs(wander).max() + 1e-9)
    delay = np.interp(np.arange(samples) / 2205, np.arange(len(wander)), wander)
    at = np.arange(samples) - (delay + rng.uniform(150, 1200))
    result: Audio = np.interp(at, np.arange(samples), mono, left=0.0)
    return result


def ducked(audio: Audio, times_s: Sequence[float], depth_db: float, release_s: float) -> Audio:
    """Reduce the level of ``(2, samples)`` at each kick, like a compressor with a side chain.

    Args:
        audio: ``(2, samples)``.
        times_s: times of the kicks.
        depth_db: reduction at a kick.
        release_s: time of the recovery.
    """
    samples = audio.shape[-1]
    last = np.full(samples, -np.inf)
    starts = [round(time_s * RATE_HZ) for time_s in times_s if 0 <= time_s * RATE_HZ < samples]
    last[starts] = starts
    since_s = (np.arange(samples) - np.maximum.accumulate(last)) / RATE_HZ
    down_db = depth_db * np.clip(1 - since_s / release_s, 0, 1) ** 2
    gain = uniform_filter1d(10 ** (-down_db / 20), 220)  # a faster step would click
    result: Audio = audio * gain
    return result


def trembling(audio: Audio, rng: np.random.Generator, rate_hz: float) -> Audio:
    """Tremolo or auto-pan of ``(2, samples)`` at a rate."""
    depth, shift = rng.uniform(0.3, 0.9), rng.choice([0.0, np.pi])
    time_s = np.arange(audio.shape[-1]) / RATE_HZ
    phase = 2 * np.pi * rate_hz * time_s + rng.uniform(0, 2 * np.pi)
    result: Audio = audio * (1 - depth * (0.5 + 0.5 * np.sin([phase, phase + shift])))
    return result


def glued(stems: Mapping[str, Audio], above_db: float, ratio: float) -> dict[str, Audio]:
    """Compress the mixture: stems, ``(2, samples)``, get the gain of a compressor on the sum."""
    mixture = sum(stems.values(), np.zeros(()))
    power = uniform_filter1d(maximum_filter1d(np.square(mixture).max(axis=0), 882), 4410)
    threshold_db = active_level_db(mixture) + above_db
    over_db = np.maximum(10 * np.log10(power + 1e-12) - threshold_db, 0)
    gain = 10 ** (-over_db * (1 - 1 / ratio) / 20)
    return {stem: audio * gain for stem, audio in stems.items()}
