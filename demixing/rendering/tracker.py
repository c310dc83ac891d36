"""Tracker songs: every instrument can be played alone, so stems are exact.

Names of instruments do not tell which is a drum: composers use them for greetings. So an instrument
is classified by its sound and its number of notes: a drum has one pitch or two, or is noise.

Source: libopenmpt's C interface, with its extension "interactive", which mutes instruments.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from demixing.errors import ConfigError
from demixing.rendering import midi
from demixing.rendering.arrangement import Arrangement, Chord
from demixing.rendering.sound import RATE_HZ, Audio, active_level_db

LIBRARY = "libopenmpt.so.0"
MUTE = 12
"""Index of ``set_instrument_mute_status`` among the sixteen functions of the extension."""
FUNCTIONS = 16
TRIES = 40
BAR_S = 2.0
BEFORE_S = 10.0
"""Playback starts this much before an excerpt, since notes may begin before it."""
FRAME = 4096
BASS_HZ = 250.0
"""A bass has most of its power below this frequency."""
LOW = 0.8
"""Least share of the power of a bass that is below :data:`BASS_HZ`."""
NOISY = 0.2
"""Least flatness of noise: geometric over arithmetic mean of the spectrum."""
FEW, LONG = 2, 0.6
"""Maximum number of notes of a drum, unless it sounds for this fraction of the time, like a pad."""
NOTE, INSTRUMENT = 0, 1
LAST_NOTE = 120
"""Columns of a pattern, and the highest note; higher values stop a note."""


@dataclass(frozen=True, slots=True)
class Timbre:
    """Measurements of the sound of an instrument.

    Attributes:
        low: share of the power below :data:`BASS_HZ`.
        flatness: flatness of the spectrum: 0 for a tone, 1 for noise.
        held: part of the time between onsets in which it sounds.
    """

    low: float
    flatness: float
    held: float

    def stem(self, pitches: int) -> str:
        """The stem of an instrument that plays this number of different notes."""
        if self.flatness > NOISY or (pitches <= FEW and self.held < LONG):
            return "drums"
        return "bass" if self.low > LOW else "other"


def library() -> ctypes.CDLL:
    """Load libopenmpt.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise ConfigError(
            f"expected {LIBRARY} to play tracker songs, but {error}; "
            "install it with `apt-get install libopenmpt0`, or omit --tracker-songs"
        ) from error


_MODULE, _COUNT, _ADDRESS = ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p
SIGNATURES: Mapping[str, tuple[Any, ...]] = {
    "ext_create_from_memory": (_MODULE, ctypes.c_char_p, ctypes.c_size_t, *[_ADDRESS] * 7),
    "ext_get_module": (_MODULE, _MODULE),
    "ext_get_interface": (ctypes.c_int, _MODULE, ctypes.c_char_p, _ADDRESS, ctypes.c_size_t),
    "ext_destroy": (None, _MODULE),
    "get_num_instruments": (_COUNT, _MODULE),
    "get_num_samples": (_COUNT, _MODULE),
    "get_num_channels": (_COUNT, _MODULE),
    "get_num_patterns": (_COUNT, _MODULE),
    "get_pattern_num_rows": (_COUNT, _MODULE, _COUNT),
    "get_pattern_row_channel_command": (ctypes.c_uint8, _MODULE, *[_COUNT] * 4),
    "get_duration_seconds": (ctypes.c_double, _MODULE),
    "set_position_seconds": (ctypes.c_double, _MODULE, ctypes.c_double),
    "set_repeat_count": (ctypes.c_int, _MODULE, _COUNT),
    "read_float_stereo": (ctypes.c_size_t, _MODULE, _COUNT, ctypes.c_size_t, *[_ADDRESS] * 2),
}
"""Types of results and arguments of the functions; their names begin with ``openmpt_module_``."""


class TrackerSong:
    """An open tracker song, which must be closed."""

    def __init__(self, data: bytes) -> None:
        """Open a tracker song.

        Raises:
            ConfigError: libopenmpt is missing.
            ValueError: it is not a tracker song.
        """
        self._library = library()
        for name, (result, *arguments) in SIGNATURES.items():
            function = getattr(self._library, f"openmpt_module_{name}")
            function.restype, function.argtypes = result, arguments
        self._data = data
        self._whole = self._call("ext_create_from_memory", data, len(data), *[None] * 7)
        if not self._whole:
            raise ValueError("expected a tracker song")
        self._module = self._call("ext_get_module", self._whole)
        table = (ctypes.c_void_p * FUNCTIONS)()
        self._call("ext_get_interface", self._whole, b"interactive", table, ctypes.sizeof(table))
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int)
        self._mute = kind(table[MUTE] or 0)
        self._call("set_repeat_count", self._module, -1)

    def _call(self, name: str, *arguments: object) -> int:
        return getattr(self._library, f"openmpt_module_{name}")(*arguments)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Free the memory."""
        self._call("ext_destroy", self._whole)

    @property
    def instruments(self) -> int:
        """Number of instruments; of samples in old formats."""
        return self._call("get_num_instruments", self._module) or self._call(
            "get_num_samples", self._module
        )

    @property
    def duration_s(self) -> float:
        """Length of the song in seconds."""
        return self._call("get_duration_seconds", self._module)

    def pitches(self) -> list[int]:
        """Number of different notes of each instrument in the patterns."""
        found: list[set[int]] = [set() for _ in range(self.instruments)]
        channels = self._call("get_num_channels", self._module)
        for pattern in range(self._call("get_num_patterns", self._module)):
            for row in range(self._call("get_pattern_num_rows", self._module, pattern)):
                for channel in range(channels):
                    place = (self._module, pattern, row, channel)
                    by = self._call("get_pattern_row_channel_command", *place, INSTRUMENT)
                    if 0 < by <= len(found):
                        note = self._call("get_pattern_row_channel_command", *place, NOTE)
                        found[by - 1] |= {note} if 0 < note <= LAST_NOTE else set()
        return [len(notes) for notes in found]

    def play(self, start_s: float, samples: int, only: int | None = None) -> Audio:
        """Play one instrument or all from a given time, ``(2, samples)``."""
        for number in range(self.instruments):
            self._mute(self._whole, number, int(only not in (None, number)))
        before_s = min(start_s, BEFORE_S)
        self._call("set_position_seconds", self._module, start_s - before_s)
        skipped = round(before_s * RATE_HZ)
        audio = np.zeros((2, skipped + samples), dtype=np.float32)
        left, right = (row.ctypes.data for row in audio)
        done = 0
        while done < audio.shape[1]:
            got = self._call(
                "read_float_stereo",
                self._module,
                RATE_HZ,
                audio.shape[1] - done,
                left + 4 * done,
                right + 4 * done,
            )
            if not got:
                break
            done += got
        return audio[:, skipped:].astype(np.float64)


def draw(
    rng: np.random.Generator, files: Sequence[Path], duration_s: float
) -> tuple[Path, dict[str, Audio], Arrangement]:
    """Draw an excerpt of a tracker song in which drums, bass and others all play.

    Returns:
        The file, stems without vocals, ``(2, samples)``, and chords for a singer; the score is
        empty.

    Raises:
        ConfigError: none was found, or libopenmpt is missing.
    """
    samples = round(duration_s * RATE_HZ)
    for _ in range(TRIES):
        path = files[int(rng.integers(len(files)))]
        song = TrackerSong(path.read_bytes())
        try:
            start_s = float(rng.uniform(0, max(song.duration_s - duration_s, 0)))
            pitches = song.pitches()
            stems = {stem: np.zeros((2, samples)) for stem in ("drums", "bass", "other")}
            for number in range(song.instruments):
                audio = song.play(start_s, samples, only=number)
                if np.abs(audio).max(initial=0) > 1e-4:
                    stems[timbre_of(audio).stem(pitches[number])] += audio
        finally:
            song.close()
        if all(active_level_db(audio) > -50 for audio in stems.values()):
            chords = chords_of(stems["other"] + stems["bass"])
            score = midi.Midi(1, (midi.Track(()),))
            return path, stems, Arrangement(score, chords, BAR_S)
    raise ConfigError(
        f"expected a tracker song with drums, bass and others, found none in {TRIES} tries"
    )


def timbre_of(audio: Audio) -> Timbre:
    """Measure an instrument, ``(2, samples)``, that is not silent."""
    mono = audio.mean(axis=0) if np.abs(audio.mean(axis=0)).max() > 1e-5 else audio[0]
    count = len(mono) // FRAME
    frames = mono[: count * FRAME].reshape(count, FRAME)
    power = np.abs(np.fft.rfft(frames * np.hanning(FRAME), axis=1)) ** 2
    level = power.sum(axis=1)
    loud = level > level.max() / 100
    mean = power[loud].mean(axis=0) + 1e-12
    band = mean[1 : round(8000 * FRAME / RATE_HZ)]
    rises = np.flatnonzero(level[1:] > 2 * level[:-1]).size + 1
    return Timbre(
        low=float(mean[: round(BASS_HZ * FRAME / RATE_HZ)].sum() / mean.sum()),
        flatness=float(np.exp(np.log(band).mean()) / band.mean()),
        held=float((loud.sum() - rises) / max(count - rises, 1)),
    )


def chords_of(audio: Audio) -> tuple[Chord, ...]:
    """The best triad for each bar of :data:`BAR_S` of ``(2, samples)``."""
    bar = round(BAR_S * RATE_HZ)
    hz = np.fft.rfftfreq(bar, 1 / RATE_HZ)
    tonal = (hz > 60) & (hz < 1500)
    pitch = np.round(12 * np.log2(hz[tonal] / 440) + 69).astype(int) % 12
    triads = [Chord(root, minor) for minor in (False, True) for root in range(12)]
    chords = []
    for start in range(0, audio.shape[1], bar):
        spectrum = np.abs(np.fft.rfft(audio[:, start : start + bar].mean(axis=0), bar))[tonal]
        chroma = np.bincount(pitch, spectrum, minlength=12)
        fits = [chroma[list(triad.notes)].sum() + 0.3 * chroma[triad.root] for triad in triads]
        chords.append(triads[int(np.argmax(fits))])
    return tuple(chords)
