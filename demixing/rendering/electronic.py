"""Electronic drums: synthesised hits, ``(samples,)`` each; no two kits are the same."""

import numpy as np
from scipy.signal import butter, sosfilt

from demixing.rendering.drums import Kit, Layer
from demixing.rendering.sound import RATE_HZ, Audio

RINGING = 0.08
"""Fraction of kicks that ring, like that of an 808."""


def draw(rng: np.random.Generator) -> Kit:
    """Draw a kit."""
    hat_hz = rng.uniform(5000, 9000)
    metal = rng.uniform(300, 800, 6)
    tone_hz, bell_hz = rng.uniform((70, 500), (120, 600))
    parts = {
        "kick": kick(rng),
        "snare": snare(rng),
        "rim": _tone(rng.uniform(400, 900), 1.0, 0.02),
        "clap": clap(rng),
        "closed_hat": hat(rng, metal, hat_hz, rng.uniform(0.02, 0.08)),
        "open_hat": hat(rng, metal, hat_hz, rng.uniform(0.15, 0.5)),
        "crash": hat(rng, metal, 0.6 * hat_hz, rng.uniform(0.6, 1.5)),
        "ride": hat(rng, metal * 1.5, hat_hz, rng.uniform(0.3, 0.8)),
        "shaker": hat(rng, metal, 1.2 * hat_hz, 0.05),
        "cowbell": _tone(bell_hz, 1.0, 0.1) + _tone(1.48 * bell_hz, 1.0, 0.1),
    }
    for part, up in (("low_tom", 1.0), ("mid_tom", 1.4), ("high_tom", 1.9)):
        parts[part] = _tone(tone_hz * up, 1.6, 0.2)
    levels = {"kick": 1.0, "snare": 0.7, "clap": 0.6, "crash": 0.4}
    return Kit(
        {
            part: (Layer(np.stack([hit, hit]) * (levels.get(part, 0.35) / np.abs(hit).max())),)
            for part, hit in parts.items()
        }
    )


def kick(rng: np.random.Generator) -> Audio:
    """A tone, ``(samples,)``, that drops quickly to its pitch, sometimes distorted, with a click.

    Only a few ring: networks trained on many long kicks mistook sub-bass for kicks.
    """
    end_hz, octaves = rng.uniform(38, 75), rng.uniform(1.5, 4.0)
    rings = rng.random() < RINGING
    decay_s = rng.uniform(0.35, 0.6) if rings else rng.uniform(0.08, 0.35)
    fall_s = rng.uniform(0.01, 0.06)
    time_s = _time(decay_s)
    hz = end_hz * 2 ** (octaves * np.exp(-time_s / fall_s))
    tone = np.sin(2 * np.pi * np.cumsum(hz) / RATE_HZ) * np.exp(-4 * time_s / decay_s)
    drive = 1.0 if rings else rng.choice([1.0, 1.0, 3.0, 8.0])
    click = rng.standard_normal(len(time_s)) * np.exp(-time_s / 0.002)
    result: Audio = np.tanh(drive * tone) + rng.uniform(0, 0.3) * click
    return result


def snare(rng: np.random.Generator) -> Audio:
    """Two tones and noise, ``(samples,)``."""
    decay_s, base_hz = rng.uniform(0.08, 0.35), rng.uniform(140, 260)
    noise = _band(rng, decay_s, rng.uniform(800, 2500), 14_000)
    loud = rng.uniform(0.2, 1.0)
    for tone in (_tone(base_hz, 1.3, decay_s / 2), 0.6 * _tone(1.6 * base_hz, 1.2, decay_s / 3)):
        noise[: len(tone)] += loud * tone
    return noise


def clap(rng: np.random.Generator) -> Audio:
    """A few bursts of noise and a tail, ``(samples,)``."""
    noise = _band(rng, rng.uniform(0.15, 0.4), rng.uniform(700, 1200), 6000)
    result = 0.5 * noise
    for _ in range(3):
        late = round(rng.uniform(0.005, 0.03) * RATE_HZ)
        burst = noise[: len(noise) - late] * np.exp(-np.arange(len(noise) - late) / 300)
        result[late:] += burst
    return result


def hat(rng: np.random.Generator, metal: Audio, cutoff_hz: float, decay_s: float) -> Audio:
    """Inharmonic square waves and noise, high-passed, ``(samples,)``."""
    time_s = _time(2 * decay_s)
    squares = sum(np.sign(np.sin(2 * np.pi * hz * 8 * time_s)) for hz in metal)
    mixed = squares / 6 + rng.uniform(0.3, 1.5) * rng.standard_normal(len(time_s))
    high = sosfilt(butter(4, cutoff_hz, "highpass", fs=RATE_HZ, output="sos"), mixed)
    result: Audio = high * np.exp(-4 * time_s / decay_s)
    return result


def _tone(hz: float, fall: float, decay_s: float) -> Audio:
    """A tone, ``(samples,)``, that starts at ``fall`` times its frequency."""
    time_s = _time(decay_s)
    pitch = hz * (1 + (fall - 1) * np.exp(-time_s / 0.03))
    result: Audio = np.sin(2 * np.pi * np.cumsum(pitch) / RATE_HZ) * np.exp(-4 * time_s / decay_s)
    return result


def _band(rng: np.random.Generator, decay_s: float, low_hz: float, high_hz: float) -> Audio:
    """Decaying noise between two frequencies, ``(samples,)``."""
    time_s = _time(decay_s)
    band = butter(2, [low_hz, high_hz], "bandpass", fs=RATE_HZ, output="sos")
    noise: Audio = sosfilt(band, rng.standard_normal(len(time_s))) * np.exp(-4 * time_s / decay_s)
    return noise


def _time(decay_s: float) -> Audio:
    """Times of the samples of a hit in seconds, ``(samples,)``, until it has decayed by 50 dB."""
    return np.arange(max(64, round(1.5 * decay_s * RATE_HZ))) / RATE_HZ
