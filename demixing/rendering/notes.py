"""Notes of a score in seconds, for instruments that are not soundfonts."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from demixing.rendering import midi

DEFAULT_US = 500_000
"""Default tempo in microseconds per quarter note."""
NOTE_OFF, NOTE_ON = "note_off", "note_on"
TEMPO = "set_tempo"


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """One note.

    Attributes:
        start_s: start of the note.
        key: MIDI number: 60 is middle C.
        length_s: length of the note.
        loudness: velocity, above 0 and up to 1.
    """

    start_s: float
    key: int
    length_s: float
    loudness: float

    @property
    def hz(self) -> float:
        """Frequency of the note.

        >>> Note(0.0, 57, 1.0, 1.0).hz
        220.0
        """
        return float(440 * 2 ** ((self.key - 69) / 12))


class Clock:
    """Converts ticks to seconds, by the tempo changes in the first track of a score."""

    def __init__(self, score: midi.Midi) -> None:
        self._division = score.division
        changes = {
            event.tick: int(event.message.tempo)
            for event in score.tracks[0].events
            if event.kind == TEMPO
        }
        self._ticks, self._tempi = [0], [changes.pop(0, DEFAULT_US)]
        self._seconds = [0.0]
        for tick, tempo in sorted(changes.items()):
            self._seconds.append(self.seconds(tick))
            self._ticks.append(tick)
            self._tempi.append(tempo)

    def seconds(self, tick: int) -> float:
        """Time of a tick in seconds."""
        at = bisect_right(self._ticks, tick) - 1
        ticks = tick - self._ticks[at]
        return self._seconds[at] + ticks * self._tempi[at] / 1e6 / self._division

    def beat_s(self, tick: int) -> float:
        """Length of a quarter note at a tick in seconds."""
        return self._tempi[bisect_right(self._ticks, tick) - 1] / 1e6


def notes(score: midi.Midi, tracks: Sequence[midi.Track]) -> list[Note]:
    """Notes of some tracks of a score, sorted; notes without an end last half a second."""
    clock = Clock(score)
    found: list[Note] = []
    for track in tracks:
        active: dict[int, tuple[float, float]] = {}
        for event in track.events:
            if event.kind not in (NOTE_ON, NOTE_OFF):
                continue
            key, velocity = event.message.note, event.message.velocity
            now_s = clock.seconds(event.tick)
            if key in active:
                start_s, loudness = active.pop(key)
                found.append(Note(start_s, key, max(now_s - start_s, 0.01), loudness))
            if event.kind == NOTE_ON and velocity:
                active[key] = (now_s, velocity / 127)
        found += [Note(start_s, key, 0.5, loud) for key, (start_s, loud) in active.items()]
    return sorted(found)
