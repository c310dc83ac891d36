"""Arrangements of a band: random chords, played by mma in one of its grooves."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demixing.errors import ConfigError
from demixing.machine import programs
from demixing.rendering import midi, packages

Random = np.random.Generator

NOTES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")

PROGRESSIONS = (
    "I V vi IV",
    "vi IV I V",
    "I vi IV V",
    "I IV V IV",
    "ii V I I",
    "I iii IV V",
    "vi V IV V",
    "I IV vi V",
    "IV I V vi",
    "I I IV IV I I V IV",
    "I I I I IV IV I I V IV I V",
    "i VII VI VII",
    "i VI III VII",
    "i iv VII III",
    "i iv v i",
    "i i iv V",
)
"""Chords by the degree of the scale, one per bar; lower case is minor."""

DEGREES: Mapping[str, int] = {"i": 0, "ii": 2, "iii": 4, "iv": 5, "v": 7, "vi": 9, "vii": 11}
MINOR_DEGREES: Mapping[str, int] = {**DEGREES, "iii": 3, "vi": 8, "vii": 10}
"""Semitones above the key by degree, in major and in minor."""

BASS_PROGRAMS = {32, 33, 34, 35, 36, 37, 38, 39, 43, 58}
"""Basses, contrabass and tuba of General MIDI, counted from zero."""

TIMEOUT_S = 60
TRIES = 100
"""Maximum number of grooves to try; about two in three have drums, bass and others."""


@dataclass(frozen=True, slots=True)
class Chord:
    """A chord of a bar.

    Attributes:
        root: semitones above C, 0 to 11.
        minor: whether its third is minor.
        extension: suffix of the chord in mma's notation, such as ``7``.
    """

    root: int
    minor: bool
    extension: str = ""

    @property
    def name(self) -> str:
        """Name of the chord in mma's notation.

        >>> Chord(9, True, "7").name
        'Am7'
        """
        return NOTES[self.root] + "m" * self.minor + self.extension

    @property
    def notes(self) -> tuple[int, int, int]:
        """The triad, in semitones above C."""
        return self.root, (self.root + 4 - self.minor) % 12, (self.root + 7) % 12


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A score with its chords.

    Attributes:
        score: score of all instruments.
        chords: one per bar.
        bar_s: length of a bar.
    """

    score: midi.Midi
    chords: tuple[Chord, ...]
    bar_s: float

    def group(self, stem: str) -> list[midi.Track]:
        """Tracks of the instruments that belong to ``drums``, ``bass`` or ``other``."""
        return [track for track in self.score.tracks[1:] if stem_of(track) == stem]


def stem_of(track: midi.Track) -> str | None:
    """The stem of an instrument; None if it plays nothing."""
    if track.channel is None:
        return None
    if track.channel == midi.DRUM_CHANNEL:
        return "drums"
    return "bass" if track.program in BASS_PROGRAMS else "other"


def draw_chords(rng: Random, bars: int) -> tuple[Chord, ...]:
    """Draw a key and chords for a number of bars: a verse and a chorus in turn."""
    minor = bool(rng.random() < 0.4)
    known = [text for text in PROGRESSIONS if text.split()[0].startswith("i") == minor]
    parts = [str(rng.choice(known)).split() for _ in range(2)]
    key = int(rng.integers(12))
    sevenths = float(rng.choice([0, 0.2, 0.6]))
    steps = MINOR_DEGREES if minor else DEGREES
    section = [
        Chord(
            root=(key + steps[degree.lower()]) % 12,
            minor=degree.islower(),
            extension="7"
            if rng.random() < sevenths and (degree.islower() or degree == "V")
            else "",
        )
        for part in parts
        for degree in part * (2 if len(part) == 4 else 1)
    ]
    return tuple(section[bar % len(section)] for bar in range(bars))


def play(
    mma: str, groove: str, chords: Sequence[Chord], tempo: int, seed: int, folder: Path
) -> Arrangement:
    """Play chords in a groove with mma.

    Args:
        mma: path of the program.
        groove: a name from its library.
        chords: one per bar.
        tempo: tempo in beats per minute.
        seed: seed of mma's random choices.
        folder: folder for temporary files.

    Raises:
        ConfigError: mma fails.
    """
    lines = [f"RndSeed {seed}", f"Tempo {tempo}", f"Groove {groove}"]
    lines += [f"{bar} {chord.name}" for bar, chord in enumerate(chords, 1)]
    script, output = folder / "song.mma", folder / "song.mid"
    script.write_text("\n".join([*lines, "MidiMark end", ""]), encoding="ascii")
    output.unlink(missing_ok=True)
    command = [mma, "-f", str(output), str(script)]
    done = programs.run(command, timeout_s=TIMEOUT_S)
    if not output.is_file():
        printed = re.sub(r"\s+", " ", f"{done.stdout} {done.stderr}").strip()
        raise ConfigError(f"expected mma to play groove {groove!r}, but it printed: {printed}")
    song = midi.decode(output.read_bytes())
    ticks = max((tick for tick, _ in song.tracks[0].markers), default=0)
    bar_s = ticks / len(chords) / song.division * 60 / tempo
    return Arrangement(song, tuple(chords), bar_s)


def draw(
    rng: Random, grooves: Sequence[Sequence[str]], duration_s: float, folder: Path
) -> tuple[str, int, Arrangement]:
    """Draw a groove, a tempo and chords until drums, bass and others all play.

    Args:
        rng: source of all randomness.
        grooves: names, by file of mma's library; all files are equally likely.
        duration_s: least length of the arrangement.
        folder: folder for temporary files.

    Returns:
        Name of the groove, beats per minute, and the arrangement.

    Raises:
        ConfigError: mma is missing, or always fails.
    """
    mma = packages.tool("mma")
    refusal = ConfigError(f"expected a groove with drums, bass and others, found none in {TRIES}")
    for _ in range(TRIES):
        variants = grooves[int(rng.integers(len(grooves)))]
        groove = variants[int(rng.integers(len(variants)))]
        tempo = int(rng.integers(75, 150))
        bars = 2 + int(duration_s * tempo / 60 / 2)  # enough even for two beats per bar
        chords = draw_chords(rng, bars)
        seed = int(rng.integers(1, 1 << 16))
        try:
            arrangement = play(mma, groove, chords, tempo, seed, folder)
        except ConfigError as error:  # some grooves need other chords
            refusal = error
            continue
        long_enough = arrangement.bar_s * bars >= duration_s
        if long_enough and all(arrangement.group(stem) for stem in ("drums", "bass", "other")):
            return groove, tempo, arrangement
    raise refusal
