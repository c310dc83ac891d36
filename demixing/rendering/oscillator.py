"""A synthesiser: waves with a filter and an envelope, for basses, leads and pads.

Soundfonts have no sub-bass and no wide saw-tooth chords, which electronic songs need.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from demixing.rendering.notes import Note
from demixing.rendering.sound import RATE_HZ, Audio

TABLE = 2048
"""Samples of a period in the wavetable."""
WAVES: Mapping[str, float] = {"sine": 9.0, "triangle": 2.0, "square": 1.0, "saw": 1.0}
"""Decay of the harmonics: the n-th has the amplitude ``n**-x``."""
ODD = {"square", "triangle"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """Settings of the synthesiser.

    Attributes:
        wave: a key of :data:`WAVES`.
        octave: transposition in octaves.
        voices: oscillators per note.
        detune_cents: detuning of the outer voices.
        cutoff_hz: cutoff of the filter at the start of a note.
        closed_hz: cutoff of the filter later in a note.
        closing_s: time constant of the filter.
        attack_s: time to full loudness.
        decay_s: time constant of the decay to the sustain level.
        sustain: amplitude of a held note, 0 to 1.
        release_s: time of the decay after a note ends.
        width: stereo width of the voices, 0 to 1.
        glide_s: time constant of the glide from the previous note; 0 for polyphony.
    """

    wave: str
    octave: int = 0
    voices: int = 1
    detune_cents: float = 0.0
    cutoff_hz: float = 8000.0
    closed_hz: float = 2000.0
    closing_s: float = 0.2
    attack_s: float = 0.005
    decay_s: float = 0.2
    sustain: float = 0.7
    release_s: float = 0.08
    width: float = 0.0
    glide_s: float = 0.0


def bass(rng: np.random.Generator) -> Patch:
    """Draw a bass: from a bare sub to a saw-tooth."""
    wave = str(rng.choice(["sine", "sine", "triangle", "square", "saw", "saw"]))
    return Patch(
        wave=wave,
        octave=int(rng.choice([-1, -1, 0])),
        voices=1 if wave == "sine" else int(rng.choice([1, 1, 2])),
        detune_cents=float(rng.uniform(3, 12)),
        cutoff_hz=float(rng.uniform(300, 4000)),
        closed_hz=float(rng.uniform(80, 600)),
        closing_s=float(rng.uniform(0.05, 0.6)),
        decay_s=float(rng.uniform(0.1, 0.8)),
        sustain=float(rng.choice([1.0, rng.uniform(0.3, 1.0)])),
        release_s=float(rng.uniform(0.02, 0.3)),
        glide_s=float(rng.choice([0.0, 0.0, 0.03, 0.08])),
    )


def lead(rng: np.random.Generator) -> Patch:
    """Draw a patch for melodies and chords."""
    slow = rng.random() < 0.35
    return Patch(
        wave=str(rng.choice(["saw", "saw", "square", "triangle"])),
        octave=int(rng.choice([-1, 0, 0, 1])),
        voices=int(rng.choice([1, 2, 3, 5])),
        detune_cents=float(rng.uniform(4, 25)),
        cutoff_hz=float(rng.uniform(1500, 12_000)),
        closed_hz=float(rng.uniform(400, 6000)),
        closing_s=float(rng.uniform(0.05, 1.0)),
        attack_s=float(rng.uniform(0.1, 0.5) if slow else rng.uniform(0.002, 0.02)),
        decay_s=float(rng.uniform(0.05, 1.0)),
        sustain=float(rng.uniform(0.2, 1.0)),
        release_s=float(rng.uniform(0.3, 0.8) if slow else rng.uniform(0.03, 0.3)),
        width=float(rng.uniform(0.2, 1.0)),
    )


def play(
    rng: np.random.Generator, patch: Patch, notes: Sequence[Note], samples: int, lowest: int = 0
) -> Audio:
    """Play notes, ``(2, samples)``.

    Args:
        rng: draws the phases.
        patch: settings of the synthesiser.
        notes: sorted by start.
        samples: length of the result.
        lowest: lower keys are played an octave higher.
    """
    result = np.zeros((2, samples))
    before = 0.0
    for note in notes:
        phases = rng.uniform(0, 1, patch.voices)
        start = round(note.start_s * RATE_HZ)
        if start >= samples:
            break
        octave = patch.octave
        while note.key + 12 * octave < lowest:
            octave += 1
        hz = note.hz * 2.0**octave
        piece = _voices(patch, hz, before or hz, note.length_s, phases)[:, : samples - start]
        result[:, start : start + piece.shape[1]] += note.loudness * piece
        before = hz if patch.glide_s else 0.0
    return result


def _voices(patch: Patch, hz: float, before_hz: float, length_s: float, phases: Audio) -> Audio:
    """One note, ``(2, samples)``."""
    time_s = np.arange(round((length_s + patch.release_s) * RATE_HZ)) / RATE_HZ
    steps = np.full(len(time_s), hz / RATE_HZ)
    if before_hz != hz:
        steps *= (before_hz / hz) ** np.exp(-time_s / max(patch.glide_s, 1e-3))
    turns = np.cumsum(steps)
    bright, dark = (_table(patch.wave, hz, cutoff) for cutoff in (patch.cutoff_hz, patch.closed_hz))
    openness = np.exp(-time_s / patch.closing_s)
    result = np.zeros((2, len(time_s)))
    places = np.linspace(-1, 1, patch.voices) if patch.voices > 1 else np.zeros(1)
    for place, phase in zip(places, phases, strict=True):
        at = (turns * 2 ** (place * patch.detune_cents / 1200) + phase) % 1 * TABLE
        whole = at.astype(np.int64)
        part = at - whole
        wave = dark[whole] * (1 - part) + dark[whole + 1] * part
        if patch.closed_hz != patch.cutoff_hz:
            open_wave = bright[whole] * (1 - part) + bright[whole + 1] * part
            wave += openness * (open_wave - wave)
        angle = (patch.width * place + 1) * math.pi / 4
        result += np.array([[math.cos(angle)], [math.sin(angle)]]) * wave
    return result * _envelope(patch, time_s, length_s) / math.sqrt(patch.voices)


def _table(wave: str, hz: float, cutoff_hz: float) -> Audio:
    """One period and its first sample again, ``(TABLE + 1,)``, filtered and without aliasing."""
    number = np.arange(1, TABLE // 2)
    level = number ** -WAVES[wave]
    level[number * hz > 18_000] = 0
    if wave in ODD:
        level[number % 2 == 0] = 0
    level /= np.sqrt(1 + (number * hz / max(cutoff_hz, hz)) ** 4)
    spectrum = np.zeros(TABLE // 2 + 1, dtype=complex)
    spectrum[1:-1] = -0.5j * TABLE * level
    period = np.fft.irfft(spectrum, TABLE)
    return np.append(period, period[0])


def _envelope(patch: Patch, time_s: Audio, length_s: float) -> Audio:
    """Amplitude at times in seconds, both ``(samples,)``."""
    held = patch.sustain + (1 - patch.sustain) * np.exp(-time_s / patch.decay_s)
    held *= np.minimum(time_s / patch.attack_s, 1)
    late_s = np.clip(time_s - length_s, 0, None)
    result: Audio = held * np.clip(1 - late_s / patch.release_s, 0, 1) ** 2
    return result
