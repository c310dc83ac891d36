"""Makes singing from speech: the vocoder WORLD stretches the vowels and gives them a melody.

Speech is analysed into pitch, envelope and noise. Voiced frames are stretched, the pitch is
replaced by notes of the chords with vibrato and glides, and the result is synthesised. Speech at
half the rate gets artificial high frequencies, so that its bandwidth does not identify vocals.

Source: Morise et al., "WORLD", IEICE 2016, through the package pyworld.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from demixing.errors import ConfigError
from demixing.machine.installation import install_command
from demixing.rendering.arrangement import Arrangement
from demixing.rendering.sound import RATE_HZ, Audio, active_level_db, faded

FRAME_S = 0.005
SHORTEST_S, LONGEST_S = 0.5, 6.0
FULL_BAND_HZ = 15_000
"""Speech with a lower bandwidth gets artificial high frequencies."""

LEVEL_DB = -20.0


def vocoder() -> ModuleType:
    """Import pyworld.

    Raises:
        ConfigError: it or one of its dependencies is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pkg_resources announces its removal
            import pyworld
    except ImportError as error:
        raise ConfigError(
            f"expected the package pyworld for the vocals, but {str(error).lower()}; "
            f"install it with `{install_command('rendering')}`"
        ) from error
    return pyworld  # type: ignore[no-any-return]


def draw(
    rng: np.random.Generator,
    clips: Sequence[Path],
    arrangement: Arrangement,
    samples: int,
    *,
    shortest_s: float = SHORTEST_S,
    again: bool = False,
) -> tuple[Audio, list[Path]]:
    """Sing to an arrangement.

    Args:
        rng: draws clips, melody and pauses.
        clips: files of one speaker.
        arrangement: provides the chords and the length of bars.
        samples: length of the result.
        shortest_s: shorter clips are not used.
        again: whether to reuse the clips, with other notes, once all have been sung.

    Returns:
        ``(samples,)``, and the clips used.

    Raises:
        ConfigError: pyworld is missing, or no clip is suitable.
    """
    world = vocoder()
    vocals = np.zeros(samples)
    used: list[Path] = []
    beat_s = arrangement.bar_s / 4
    centre = rng.uniform(-4, 4)
    at_s = beat_s * int(rng.integers(0, 8))
    for clip in _shuffled(rng, clips, used if again else None):
        speech = _read(clip, shortest_s)
        if speech is None:
            continue
        phrase = _sing(world, rng, *speech, arrangement, at_s, centre)
        start = round(at_s * RATE_HZ)
        piece = faded(phrase)[: max(samples - start, 0)]
        vocals[start : start + len(piece)] += piece
        used.append(clip)
        at_s += len(phrase) / RATE_HZ
        at_s = beat_s * (math.ceil(at_s / beat_s) + int(rng.choice([0, 0, 1, 1, 2, 4])))
        if at_s * RATE_HZ >= samples:
            return vocals, used
    if not used:
        raise ConfigError(f"expected speech for the vocals, found none in {len(clips)} clips")
    return vocals, used


def _shuffled(
    rng: np.random.Generator, clips: Sequence[Path], used: Sequence[Path] | None
) -> Iterator[Path]:
    """Yield the clips in random order; repeatedly, if any has been used."""
    yield from rng.permutation(np.array(clips, dtype=object))
    while used:
        yield from rng.permutation(np.array(clips, dtype=object))


def _read(path: Path, shortest_s: float) -> tuple[Audio, float] | None:
    """Read a clip, ``(samples,)``, without surrounding silence, and its bandwidth in Hz."""
    try:
        audio, rate_hz = soundfile.read(path, always_2d=True)
    except soundfile.LibsndfileError:
        return None
    if rate_hz < 22_050 or not audio.any():
        return None
    mono = soxr.resample(audio.mean(axis=1), rate_hz, RATE_HZ, quality="VHQ")
    loud = np.flatnonzero(np.abs(mono) > np.abs(mono).max() / 30)
    mono = mono[loud[0] : loud[-1] + 1]
    if not shortest_s <= len(mono) / RATE_HZ <= LONGEST_S:
        return None
    gain = 10 ** ((LEVEL_DB - active_level_db(mono)) / 20)
    return np.ascontiguousarray(gain * mono), rate_hz / 2


def _sing(
    world: ModuleType,
    rng: np.random.Generator,
    speech: Audio,
    bandwidth_hz: float,
    arrangement: Arrangement,
    at_s: float,
    centre: float,
) -> Audio:
    """Sing one clip, ``(samples,)``, that starts at ``at_s`` in the song."""
    rough_hz, times_s = world.dio(speech, RATE_HZ, frame_period=1000 * FRAME_S)
    pitch_hz = world.stonemask(speech, rough_hz, times_s, RATE_HZ)
    envelope = world.cheaptrick(speech, pitch_hz, times_s, RATE_HZ)
    noise = world.d4c(speech, pitch_hz, times_s, RATE_HZ)
    if bandwidth_hz < FULL_BAND_HZ:
        _add_treble(envelope, noise, 0.65 * bandwidth_hz)
    voiced = pitch_hz > 0
    if not voiced.any():
        return speech
    frames = stretched(voiced, rng.uniform(1.3, 2.4))
    middle = 12 * math.log2(np.median(pitch_hz[voiced]) / 440) + 69 + 3 + centre
    notes = _melody(rng, arrangement, at_s, len(frames), middle)
    sung_hz = 440 * 2 ** ((notes - 69) / 12)
    sung_hz[~voiced[frames]] = 0
    parts = (sung_hz, envelope[frames], noise[frames])
    result: Audio = world.synthesize(*map(np.ascontiguousarray, parts), RATE_HZ, 1000 * FRAME_S)
    return result


def stretched(voiced: NDArray[np.bool_], factor: float) -> NDArray[np.int64]:
    """Number of the frame at each time, if voiced frames last ``factor`` times as long.

    Args:
        voiced: ``(frames,)``.
        factor: factor of the duration of voiced frames.

    >>> stretched(np.array([False, True, True, False]), 2.0).tolist()
    [0, 1, 1, 2, 2, 3]
    """
    ends = np.cumsum(np.where(voiced, factor, 1.0))
    times = np.arange(round(ends[-1])) + 0.5
    frames: NDArray[np.int64] = np.minimum(np.searchsorted(ends, times), len(voiced) - 1)
    return frames


def _melody(
    rng: np.random.Generator, arrangement: Arrangement, at_s: float, frames: int, middle: float
) -> Audio:
    """Notes as MIDI numbers, ``(frames,)``: notes of the current chord near the last note."""
    notes = np.empty(frames)
    beats = np.empty(frames)  # since the start of the note
    beat = arrangement.bar_s / 4 / FRAME_S
    last, at = middle, 0
    while at < frames:
        bar = int((at_s + at * FRAME_S) / arrangement.bar_s) % len(arrangement.chords)
        tones = [
            tone + 12 * octave for tone in arrangement.chords[bar].notes for octave in range(3, 8)
        ]
        # Near the last note and the middle of the voice, but rarely the same note.
        away = [
            abs(tone - last) + 0.3 * abs(tone - middle) + rng.exponential(3.0) for tone in tones
        ]
        last = float(tones[int(np.argmin(away))])
        end = min(frames, at + max(1, round(beat * float(rng.choice([0.5, 0.5, 1, 1, 2])))))
        notes[at:end] = last
        beats[at:end] = np.arange(end - at) / beat
        at = end
    glided = gaussian_filter1d(notes, 0.03 / FRAME_S)
    time_s = np.arange(frames) * FRAME_S
    depth = 0.35 * np.clip(beats - 0.4, 0, 1)
    vibrato = depth * np.sin(2 * np.pi * rng.uniform(4.8, 6.2) * time_s)
    drift = gaussian_filter1d(rng.standard_normal(frames), 0.1 / FRAME_S) * 0.3
    result: Audio = glided + vibrato + drift
    return result


def _add_treble(envelope: Audio, noise: Audio, edge_hz: float) -> None:
    """Continue spectra, ``(frames, bins)``, above ``edge_hz`` with decaying noise, in place."""
    bins = envelope.shape[1]
    hz = np.linspace(0, RATE_HZ / 2, bins)
    edge = int(np.searchsorted(hz, edge_hz))
    fall = (hz[edge:] / hz[edge]) ** -3.0
    envelope[:, edge:] = envelope[:, edge - 8 : edge].mean(axis=1, keepdims=True) * fall
    noise[:, edge:] = np.maximum(noise[:, edge : edge + 1], 0.7)
