"""Arrangements written by people: an excerpt of a MIDI file, in another key and tempo.

Source: the package openttd-openmsx.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from demixing.errors import ConfigError
from demixing.rendering import midi
from demixing.rendering.arrangement import Arrangement, Chord, stem_of
from demixing.rendering.notes import NOTE_OFF, NOTE_ON, TEMPO, Clock, Note, notes

TRIES = 60
BEATS = 4
"""Beats per bar; in waltzes, singers just change chords at odd times."""
HIGHEST_KEY, LEAD = 52, 81
"""A part mostly above this key is not a bass; and the program of General MIDI's saw-tooth lead."""
SLOWEST_US = 0xFF_FFFF
"""The longest quarter note that MIDI can express, in microseconds."""
SEMITONES = 4
"""Largest transposition, up or down."""


def draw(
    rng: np.random.Generator, files: Sequence[Path], duration_s: float
) -> tuple[Path, Arrangement]:
    """Draw a file and an excerpt of it in which drums, bass and others all play.

    Raises:
        ConfigError: none was found.
    """
    for _ in range(TRIES):
        path = files[int(rng.integers(len(files)))]
        score = midi.decode(path.read_bytes())
        clock = Clock(score)
        bar = BEATS * score.division
        last = max((track.events[-1].tick for track in score.tracks if track.events), default=0)
        start = bar * int(rng.integers(max(1, last // bar)))
        shift, faster = int(rng.integers(-SEMITONES, SEMITONES + 1)), float(rng.uniform(0.88, 1.14))
        piece = excerpt(_with_low_basses(score), start, shift, faster)
        if clock.seconds(last) - clock.seconds(start) < duration_s * faster:
            continue
        bar_s = BEATS * clock.beat_s(start) / faster
        bars = int(duration_s / bar_s) + 2
        playing = [track for track in piece.tracks[1:] if _plays(piece, track, duration_s)]
        if {stem_of(track) for track in playing} >= {"drums", "bass", "other"}:
            pitched = [track for track in playing if stem_of(track) != "drums"]
            chords = tuple(chord_of(notes(piece, pitched), n * bar_s, bar_s) for n in range(bars))
            return path, Arrangement(piece.only(playing), chords, bar_s)
    raise ConfigError(f"expected a score with drums, bass and others, found none in {TRIES} tries")


def _with_low_basses(score: midi.Midi) -> midi.Midi:
    """Give high parts of bass instruments to a synthesiser's lead."""
    tracks = []
    for track in score.tracks:
        keys = [note.key for note in notes(score, [track])]
        high = stem_of(track) == "bass" and bool(keys) and float(np.median(keys)) > HIGHEST_KEY
        tracks.append(track.on_program(track.channel or 0, 0, LEAD) if high else track)
    return midi.Midi(score.division, tuple(tracks))


def excerpt(score: midi.Midi, start: int, shift: int, faster: float) -> midi.Midi:
    """Start a score at a tick, with the instruments that are set there.

    Args:
        score: the whole score.
        start: the tick.
        shift: transposition in semitones, not of drums.
        faster: factor of the tempo.
    """
    return midi.Midi(
        score.division,
        tuple(_excerpt(track, start, shift, faster) for track in score.tracks),
    )


def _excerpt(track: midi.Track, start: int, shift: int, faster: float) -> midi.Track:
    """Start a track at a tick."""
    kept = []
    for event in track.events:
        is_note = event.kind in (NOTE_ON, NOTE_OFF)
        if is_note and event.tick < start:
            continue
        if event.kind == TEMPO:
            event = event.changed(tempo=min(round(event.message.tempo / faster), SLOWEST_US))
        elif is_note and event.channel != midi.DRUM_CHANNEL:
            event = event.changed(note=min(max(event.message.note + shift, 0), 127))
        kept.append(replace(event, tick=max(event.tick - start, 0)))
    return midi.Track(tuple(kept))


def _plays(score: midi.Midi, track: midi.Track, duration_s: float) -> bool:
    """Whether a track plays for a good share of the time."""
    found = [note.start_s for note in notes(score, [track]) if note.start_s < duration_s]
    return len(found) > duration_s / 8


def chord_of(found: Sequence[Note], start_s: float, length_s: float) -> Chord:
    """The best triad for the notes in a time span; C major if there are none."""
    weights = np.zeros(12)
    for note in found:
        end_s = min(note.start_s + note.length_s, start_s + length_s)
        weights[note.key % 12] += max(end_s - max(note.start_s, start_s), 0)
    triads = [Chord(root, minor) for minor in (False, True) for root in range(12)]
    return max(triads, key=lambda triad: weights[list(triad.notes)].sum() + weights[triad.root])
