"""Processing of recordings for film sound: levels, fades, panning, filters.

Conventions
-----------
A piece is float64 ``(samples,)``, a stem ``(2, samples)``, full scale at ±1, at 44.1 kHz.
The mixture is the sum of the stems.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from demixing.rendering.sound import HIGH_PASS_HZ, high_pass

Audio = NDArray[np.float64]

RATE_HZ = 44_100
STEMS = ("dialog", "effect", "music")
FADE_S = 0.01
"""Fade at both ends of every piece: shorter than a plosive, long enough to avoid clicks."""
OVERLAP_S = 0.4
"""Cross-fade between the takes of a bed."""
BLEED = 0.5
"""Crosstalk between the channels of a bed, without which low rumble sounds out of phase."""


def resampled(audio: Audio, rate_hz: int) -> Audio:
    """Resample ``(samples, channels)`` to ``(channels, samples)`` at :data:`RATE_HZ`."""
    converted: Audio = soxr.resample(audio, rate_hz, RATE_HZ, quality="VHQ").T
    return high_pass(converted, HIGH_PASS_HZ)


def active_level_db(audio: Audio) -> float:
    """RMS in dB over the blocks of about 50 ms that are within 20 dB of the loudest block.

    >>> round(active_level_db(np.concatenate([np.full(44_100, 0.1), np.zeros(44_100)])))
    -20
    """
    blocks = np.array_split(audio, max(1, audio.shape[-1] * 20 // RATE_HZ), axis=-1)
    powers = np.array([np.mean(block**2) for block in blocks])
    if not powers.any():
        return -math.inf
    return 10 * math.log10(powers[powers >= powers.max() / 100].mean())


def at_level(audio: Audio, level_db: float) -> Audio:
    """Scale ``(..., samples)`` to an :func:`active_level_db`; silence stays silence."""
    if not audio.any():
        return audio
    scaled: Audio = audio * 10 ** ((level_db - active_level_db(audio)) / 20)
    return scaled


def faded(audio: Audio, fade_s: float) -> Audio:
    """Fade ``(..., samples)`` in and out; overlapping fades have constant power.

    >>> ends = faded(np.ones(RATE_HZ), 0.01) ** 2
    >>> bool(np.allclose(ends[:441] + ends[-441:], 1))
    True
    """
    samples = round(fade_s * RATE_HZ)
    ramp = np.sin(np.pi / 2 * (np.arange(samples) + 0.5) / samples)
    result = audio.copy()
    result[..., :samples] *= ramp
    result[..., -samples:] *= ramp[::-1]
    return result


def panned(piece: Audio, pan: float) -> Audio:
    """Pan ``(samples,)`` between left, -1, and right, 1, with constant power, ``(2, samples)``.

    >>> panned(np.ones(1), 0.0).round(6).tolist()
    [[1.0], [1.0]]
    """
    angle = (pan + 1) * math.pi / 4
    gains = math.sqrt(2) * np.array([[math.cos(angle)], [math.sin(angle)]])
    stereo: Audio = gains * piece
    return stereo


def chained(pieces: Sequence[Audio], samples: int) -> Audio:
    """Repeat pieces, ``(samples,)`` each, in turn, cross-faded, to fill ``(samples,)``."""
    pieces = [faded(piece, OVERLAP_S) for piece in pieces]
    overlap = round(OVERLAP_S * RATE_HZ)
    channel = np.zeros(samples + 2 * overlap + max(map(len, pieces)))
    start, turn = 0, 0
    while start < samples + overlap:
        piece = pieces[turn % len(pieces)]
        channel[start : start + len(piece)] += piece
        start += len(piece) - overlap
        turn += 1
    return channel[overlap : overlap + samples]  # without the first piece's fade-in


def widened(left: Audio, right: Audio) -> Audio:
    """Make a stem, ``(2, samples)``, from two unrelated channels, with crosstalk."""
    bleed = np.array([[1, BLEED], [BLEED, 1]]) / math.hypot(1, BLEED)
    stem: Audio = bleed @ np.stack([left, right])
    return stem


def write_stems(folder: Path, stems: Audio) -> None:
    """Write ``(3, 2, samples)`` in the order of :data:`STEMS` as FLAC of 16 bits."""
    for name, stem in zip(STEMS, stems, strict=True):
        soundfile.write(
            folder / f"{name}.flac", stem.T, RATE_HZ, subtype="PCM_16", compression_level=1.0
        )
