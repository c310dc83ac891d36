"""Draws clips of film sound: lines of speech, ambience, events and music, at random levels.

Levels and silence follow what is known about the challenge's film sound: dialog is loudest, music
softest, and a stem may be silent for a whole clip.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demixing.errors import ConfigError
from demixing.rendering import sound
from demixing.rendering.film import audio as film_audio
from demixing.rendering.film.audio import RATE_HZ, STEMS, Audio
from demixing.rendering.film.files import Recording
from demixing.rendering.film.sources import Source

LEVELS_DB = {"dialog": -20.0, "effect": -24.0, "music": -27.0}
"""Active level of each stem, on average."""
SPREAD_DB = 4.0
"""Largest deviation of a level from its average."""
SILENT_EVERY = 8
"""One of this many clips lacks a stem; each stem in turn."""
PEAK_LIMIT = 0.98
BED_S = 4.0
"""Recordings of effects from this length on are ambience, shorter ones single events."""
BED_TAKE_S = (4.0, 10.0)
"""Range of the length of a take from a bed."""
EVENTS_PER_S = (0.15, 0.5)
EVENT_DB = (-6.0, 5.0)
"""Level of an event over that of the bed."""
LINES_PER_PHRASE = (1, 4)
BREATH_S = (0.1, 0.4)
"""Pause between the lines of a phrase."""
PAUSE_S = (0.5, 2.5)
"""Pause between phrases."""
SILENCE_DB = -40.0
"""Ends of a recording that are this far below the loudest block are cut off."""
ROOM_S = (0.1, 0.4)
"""Time in which the reverberation decays by 20 dB."""
ROOM_DB = (-20.0, -8.0)
"""Level of the reverberation relative to the direct sound."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Stems and their sources.

    Attributes:
        audio: ``(2, samples)``, or ``(3, 2, samples)`` in the order of :data:`STEMS`.
        lowest_hz: the lowest rate of the recordings.
        recordings: the recordings used, in order.
    """

    audio: Audio
    lowest_hz: int
    recordings: tuple[Recording, ...]


Shelf = tuple[tuple[Recording, ...], ...]
"""Groups of recordings, such as sources; all groups are drawn equally often."""


@dataclass(frozen=True, slots=True)
class Stock:
    """The recordings of one split, sorted by their use.

    Attributes:
        voices: speech, per source and folder: a folder has one voice or one conversation.
        beds: long effects.
        events: short effects.
        music: music.
    """

    voices: tuple[Shelf, ...]
    beds: Shelf
    events: Shelf
    music: Shelf


def fill_stock(unpacked: Path, sources: Mapping[str, Sequence[Source]]) -> Stock:
    """Find all recordings of a split.

    Raises:
        ConfigError: a source has no recordings.
    """
    voices, beds, events = [], [], []
    for source in sources["dialog"]:
        folders: dict[Path, list[Recording]] = {}
        for recording in source.recordings(unpacked):
            folders.setdefault(recording.folder, []).append(recording)
        voices.append(tuple(map(tuple, folders.values())))
    for source in sources["effect"]:
        lengths_s = {effect: effect.duration_s() for effect in source.recordings(unpacked)}
        beds.append(tuple(effect for effect in lengths_s if lengths_s[effect] >= BED_S))
        events.append(tuple(effect for effect in lengths_s if lengths_s[effect] < BED_S))
    music = [tuple(source.recordings(unpacked)) for source in sources["music"]]
    stock = Stock(tuple(voices), *(tuple(filter(None, kind)) for kind in (beds, events, music)))
    if not stock.beds or not stock.events:
        raise ConfigError("expected long and short effects, found only one kind; unpack more")
    return stock


def draw_clip(stock: Stock, clip_s: float, seed: int, index: int) -> Drawn:
    """Draw the stems of one clip.

    Args:
        stock: recordings to draw from.
        clip_s: length of the clip.
        seed: seed of all clips.
        index: number of the clip.

    Returns:
        All three stems; recordings of a silent stem are not listed.
    """
    rng = np.random.default_rng([seed, index])
    samples = round(clip_s * RATE_HZ)
    drawn = [
        draw_dialog(stock.voices, samples, rng),
        draw_effect(stock.beds, stock.events, samples, rng),
        draw_music(stock.music, samples, rng),
    ]
    stems = np.stack([part.audio for part in drawn])
    if rng.random() < 0.5:
        # All stems get the lowest bandwidth, otherwise speech is recognised by its missing high
        # frequencies. Old recordings have a bandwidth of somewhat less than half their rate.
        lowest_hz = min(part.lowest_hz for part in drawn[:2])
        stems = sound.low_pass(stems, lowest_hz * rng.uniform(0.35, 0.45))
    turn, silence = divmod(index, SILENT_EVERY)
    used: list[Recording] = []
    for number, stem in enumerate(STEMS):
        level_db = LEVELS_DB[stem] + rng.uniform(-SPREAD_DB, SPREAD_DB)
        stems[number] = film_audio.at_level(stems[number], level_db)
        if silence == SILENT_EVERY - 1 and turn % len(STEMS) == number:
            stems[number] = 0
        else:
            used.extend(drawn[number].recordings)
    peak = max(np.abs(stems).max(), np.abs(stems.sum(axis=0)).max())
    faded = film_audio.faded(stems * min(1, PEAK_LIMIT / peak), 2 * film_audio.FADE_S)
    return Drawn(faded, min(part.lowest_hz for part in drawn), tuple(dict.fromkeys(used)))


def draw_dialog(voices: tuple[Shelf, ...], samples: int, rng: np.random.Generator) -> Drawn:
    """Chain lines of speech into phrases with pauses, here and there in a room."""
    lines = _shuffled(voices[rng.integers(len(voices))], rng)
    stem = np.zeros((2, samples))
    pan, lowest_hz = rng.normal(0, 0.15), RATE_HZ
    used: list[Recording] = []
    start = _samples(rng.uniform(0, 1))
    in_phrase = rng.integers(*LINES_PER_PHRASE, endpoint=True)
    for recording in lines:
        line, rate_hz = _mono(recording, rng, spread_db=2)
        if start + len(line) > samples:
            if start > samples * 0.7 or len(line) > samples:
                break  # without a line that is short enough, the end stays silent
            line = film_audio.faded(line[: samples - start], film_audio.FADE_S)
        lowest_hz = min(lowest_hz, rate_hz)
        used.append(recording)
        stem[:, start : start + len(line)] += film_audio.panned(line, float(np.clip(pan, -1, 1)))
        in_phrase -= 1
        start += len(line) + _samples(rng.uniform(*(BREATH_S if in_phrase else PAUSE_S)))
        if not in_phrase:
            in_phrase = rng.integers(*LINES_PER_PHRASE, endpoint=True)
        if start >= samples:
            break
    stem = reverberated(stem, rng) if rng.random() < 0.4 else stem
    return Drawn(stem, lowest_hz, tuple(used))


def draw_effect(beds: Shelf, events: Shelf, samples: int, rng: np.random.Generator) -> Drawn:
    """Draw single events over an ambience, ``(2, samples)``."""
    bed = _pick(beds, rng)
    length_s = bed.duration_s()
    sides = []
    for _ in range(2):  # takes of one recording, so that left and right are from one place
        takes = []
        for _ in range(3):
            take_s = min(rng.uniform(*BED_TAKE_S), length_s)
            begin_s = rng.uniform(0, length_s - take_s)
            take, lowest_hz = bed.read(begin_s, begin_s + take_s)
            takes.append(film_audio.resampled(take, lowest_hz).mean(axis=0))
        sides.append(film_audio.chained(takes, samples))
    wide = film_audio.widened(sides[0], sides[1])
    stem, used = film_audio.at_level(wide, 0.0), [bed]
    for _ in range(round(rng.uniform(*EVENTS_PER_S) * samples / RATE_HZ)):
        recording = _pick(events, rng)
        event, rate_hz = _mono(recording, rng, spread_db=0)
        if not len(event):
            continue
        used.append(recording)
        piece = film_audio.at_level(event[:samples], rng.uniform(*EVENT_DB))
        start = rng.integers(samples - len(piece), endpoint=True)
        stem[:, start : start + len(piece)] += film_audio.panned(piece, rng.uniform(-0.8, 0.8))
        lowest_hz = min(lowest_hz, rate_hz)
    return Drawn(stem, lowest_hz, tuple(used))


def draw_music(music: Shelf, samples: int, rng: np.random.Generator) -> Drawn:
    """Cut an excerpt from a tune, ``(2, samples)``, or repeat a tune shorter than the clip."""
    tune = _pick(music, rng)
    clip_s, length_s = samples / RATE_HZ, tune.duration_s()
    begin_s = rng.uniform(0, max(length_s - clip_s, 0))
    part, rate_hz = tune.read(begin_s, begin_s + clip_s + 0.1)
    cut = film_audio.resampled(part, rate_hz)
    stereo = np.broadcast_to(cut, (2, cut.shape[1])) if len(cut) == 1 else cut[:2]
    stem: Audio = np.tile(stereo, -(-samples // stereo.shape[1]))[:, :samples]
    # A tune may have only noise at its start or in a pause, which must not be amplified.
    if film_audio.active_level_db(stem) > -60:
        return Drawn(stem, rate_hz, (tune,))
    return draw_music(music, samples, rng)


def reverberated(stem: Audio, rng: np.random.Generator) -> Audio:
    """Add reverberation to ``(2, samples)``: decaying noise, different in each channel."""
    seconds, level_db = rng.uniform(*ROOM_S), rng.uniform(*ROOM_DB)
    tail = np.arange(_samples(2 * seconds)) / RATE_HZ
    noise = rng.standard_normal((2, len(tail))) * 10 ** (-tail / seconds)
    noise *= 10 ** (level_db / 20) / np.sqrt((noise**2).sum(axis=1, keepdims=True))
    size = stem.shape[1] + len(tail)
    echo = np.fft.irfft(np.fft.rfft(stem, size) * np.fft.rfft(noise, size), size)
    wet: Audio = stem + echo[:, : stem.shape[1]]
    return wet


def _shuffled(folders: Shelf, rng: np.random.Generator) -> Iterator[Recording]:
    """Yield all recordings repeatedly, with folders and their contents in random order."""
    while True:
        for folder in rng.permutation(len(folders)):
            for line in rng.permutation(len(folders[folder])):
                yield folders[folder][line]


def _pick(shelf: Shelf, rng: np.random.Generator) -> Recording:
    """Draw a source, then one of its recordings, so that small sources count as much as large."""
    part = shelf[rng.integers(len(shelf))]
    return part[rng.integers(len(part))]


def _mono(recording: Recording, rng: np.random.Generator, *, spread_db: float) -> tuple[Audio, int]:
    """Read a recording, ``(samples,)``, at about 0 dB, without silence at its ends, and its rate.

    Some files of games are empty; the result is then empty too.
    """
    audio, rate_hz = recording.read()
    if not len(audio):
        return np.zeros(0), rate_hz
    piece = film_audio.at_level(trimmed(film_audio.resampled(audio, rate_hz).mean(axis=0)), 0.0)
    return piece * 10 ** (rng.normal(0, spread_db) / 20), rate_hz


def trimmed(piece: Audio) -> Audio:
    """Cut silence off both ends of ``(samples,)`` and fade the rest.

    >>> tone = np.sin(np.arange(RATE_HZ))
    >>> round(len(trimmed(np.concatenate([0 * tone, tone, 0 * tone]))) / RATE_HZ, 1)
    1.1
    """
    block = RATE_HZ // 40
    count = max(len(piece) // block, 1)
    powers = np.array([np.mean(part**2) for part in np.array_split(piece, count)])
    (loud,) = np.nonzero(powers >= powers.max() * 10 ** (SILENCE_DB / 10))
    ends = np.cumsum([0, *(len(part) for part in np.array_split(piece, count))])
    kept = piece[ends[max(loud[0] - 1, 0)] : ends[min(loud[-1] + 2, count)]]
    return film_audio.faded(kept, film_audio.FADE_S)


def _samples(seconds: float) -> int:
    """Convert seconds to samples."""
    return round(seconds * RATE_HZ)
