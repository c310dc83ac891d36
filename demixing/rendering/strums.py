"""A real guitar: recorded strums of chords, played in a rhythm.

Source: the kit belofilms_GuitarStrums of the package hydrogen-drumkits-effects.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from demixing.rendering.arrangement import Arrangement, Chord
from demixing.rendering.sound import RATE_HZ, Audio, active_level_db, faded

NAME = re.compile(r"([A-G])(sharp|flat)? ?(major|minor)(?:_(UP|DOWN))?_\d", re.IGNORECASE)
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
PATTERNS = (
    "D---D-U-",
    "D-DU-UDU",
    "D-D-D-D-",
    "D-DU--DU",
    "DDDDDDDD",
    "D-------",
    "--D---D-",
    "D--D--D-",
)
"""Eight strokes per bar: down, up, or let it ring."""
LEVEL_DB = -20.0


@dataclass(frozen=True, slots=True)
class Strum:
    """A recorded chord.

    Attributes:
        path: path of the file.
        root: semitones above C.
        minor: whether its third is minor.
        upward: whether the hand went up.
    """

    path: Path
    root: int
    minor: bool
    upward: bool


def read_names(paths: Iterable[Path]) -> list[Strum]:
    """The chords in files, by their names; files without a triad are left out."""
    strums = []
    for path in paths:
        if found := NAME.match(path.stem):
            letter, sign, kind, hand = (part.lower() if part else "" for part in found.groups())
            root = STEPS[letter.upper()] + {"sharp": 1, "flat": -1, "": 0}[sign]
            strums.append(Strum(path, root % 12, kind == "minor", hand == "up"))
    return strums


def play(
    rng: np.random.Generator, strums: Sequence[Strum], arrangement: Arrangement, samples: int
) -> tuple[Audio, list[Path]]:
    """Play the chords of an arrangement; returns ``(2, samples)``, and the files used."""
    pattern = str(rng.choice(PATTERNS))
    eighth_s = arrangement.bar_s / 8
    strokes = [place for place, stroke in enumerate(pattern) if stroke != "-"]
    result, known = np.zeros((2, samples)), dict[tuple[Path, int], Audio]()
    for bar, chord in enumerate(arrangement.chords):
        for place, following in zip(strokes, [*strokes[1:], 8 + strokes[0]], strict=True):
            start = round((bar * 8 + place) * eighth_s * RATE_HZ + rng.uniform(0, 400))
            strum, shift = _nearest(rng, strums, chord, upward=pattern[place] == "U")
            if start >= samples:
                continue
            if (strum.path, shift) not in known:
                known[strum.path, shift] = _read(strum.path, shift)
            ringing = round((following - place) * eighth_s * RATE_HZ)
            piece = faded(known[strum.path, shift][:, :ringing], 0.005)[:, : samples - start]
            result[:, start : start + piece.shape[1]] += piece * rng.uniform(0.6, 1.0)
    return result, sorted({path for path, _ in known})


def _nearest(
    rng: np.random.Generator, strums: Sequence[Strum], chord: Chord, *, upward: bool
) -> tuple[Strum, int]:
    """A recording of the chord or of the nearest one, and its transposition in semitones."""

    def shift(strum: Strum) -> int:
        return (chord.root - strum.root + 6) % 12 - 6

    alike = [strum for strum in strums if strum.minor == chord.minor and strum.upward == upward]
    least = min(abs(shift(strum)) for strum in alike)
    best = [strum for strum in alike if abs(shift(strum)) == least]
    chosen = best[int(rng.integers(len(best)))]
    return chosen, shift(chosen)


def _read(path: Path, shift: int) -> Audio:
    """Read a strum as ``(2, samples)``, transposed by semitones, at a fixed level."""
    audio, rate_hz = soundfile.read(path, always_2d=True)
    stereo = np.broadcast_to(audio[:, :2], (len(audio), 2))
    moved = soxr.resample(stereo, rate_hz * 2 ** (shift / 12), RATE_HZ, quality="HQ").T
    result: Audio = moved * 10 ** ((LEVEL_DB - active_level_db(moved)) / 20)
    return result
