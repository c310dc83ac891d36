"""Notes of a score in seconds, for instruments that are no soundfonts."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from demixing.rendering import midi

DEFAULT_US = 500_000
"""Microseconds per quarter note where a score does not say."""
NOTE_OFF, NOTE_ON = "note_off", "note_on"
TEMPO = "set_tempo"


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """One note.

    Attributes:
        start_s: when it begins.
        key: number in MIDI: 60 is middle C.
        length_s: until it is let go.
        loudness: how hard it is played, above 0 and up to 1.
    """

    start_s: float
    key: int
    length_s: float
    loudness: float

    @property
    def hz(self) -> float:
        """Its pitch.

        >>> Note(0.0, 57, 1.0, 1.0).hz
        220.0
        """
        return float(440 * 2 ** ((self.key - 69) / 12))


class Clock:
    """Tells when a tick is, by the changes of tempo in a score's first track."""

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
        """When a tick is."""
        at = bisect_right(self._ticks, tick) - 1
        ticks = tick - self._ticks[at]
        return self._seconds[at] + ticks * self._tempi[at] / 1e6 / self._division

    def beat_s(self, tick: int) -> float:
        """How long a quarter note lasts there."""
        return self._tempi[bisect_right(self._ticks, tick) - 1] / 1e6


def notes(score: midi.Midi, tracks: Sequence[midi.Track]) -> list[Note]:
    """Notes of some tracks of a score, sorted; one that never ends lasts half a second."""
    clock = Clock(score)
    found: list[Note] = []
    for track in tracks:
        sounding: dict[int, tuple[float, float]] = {}
        for event in track.events:
            if event.kind not in (NOTE_ON, NOTE_OFF):
                continue
            key, velocity = event.message.note, event.message.velocity
            now_s = clock.seconds(event.tick)
            if key in sounding:
                start_s, loudness = sounding.pop(key)
                found.append(Note(start_s, key, max(now_s - start_s, 0.01), loudness))
            if event.kind == NOTE_ON and velocity:
                sounding[key] = (now_s, velocity / 127)
        found += [Note(start_s, key, 0.5, loud) for key, (start_s, loud) in sounding.items()]
    return sorted(found)
