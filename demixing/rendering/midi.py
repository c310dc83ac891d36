"""The little of MIDI files that is needed to take an arrangement apart.

Source: Standard MIDI Files 1.0. Format 1 only: a first track with the tempo, then one track per
instrument.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

DRUM_CHANNEL = 9
"""Channel 10, counted from zero."""

META = 0xFF
TRACK_NAME, MARKER, END_OF_TRACK = 0x03, 0x06, 0x2F
CONTROL, PROGRAM, SYSTEM = 0xB0, 0xC0, 0xF0
BANK, BANK_FINE, PAN = 0, 32, 10


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        tick: since the start of the song.
        status: first byte; 0xFF for text and tempo.
        data: what follows; the kind comes first if the status is 0xFF.
    """

    tick: int
    status: int
    data: bytes

    @property
    def kind(self) -> int:
        """Status without the channel."""
        return self.status & 0xF0 if self.status < SYSTEM else self.status


@dataclass(frozen=True, slots=True)
class Track:
    """The events of one instrument, in order."""

    events: tuple[Event, ...]

    @property
    def name(self) -> str:
        """Name of the track; empty if it has none."""
        return next((text for _, text in self.texts(TRACK_NAME)), "")

    @property
    def channel(self) -> int | None:
        """Channel of the first event that has one."""
        return next((event.status & 15 for event in self.events if event.status < SYSTEM), None)

    @property
    def program(self) -> int:
        """The first instrument by its number in General MIDI, counted from zero."""
        return next((event.data[0] for event in self.events if event.kind == PROGRAM), 0)

    def texts(self, kind: int) -> list[tuple[int, str]]:
        """Tick and text of every text event of one kind."""
        return [
            (event.tick, event.data[1:].decode("latin-1"))
            for event in self.events
            if event.status == META and event.data[0] == kind
        ]

    def panned(self, position: float) -> Track:
        """Set the place between left (-1) and right (1)."""
        if self.channel is None:
            return self
        value = round(64 + 63 * position)
        pan = Event(0, CONTROL | self.channel, bytes([PAN, value]))
        return Track((pan, *(e for e in self.events if not _is_control(e, PAN))))

    def on_program(self, channel: int, bank: int, program: int) -> Track:
        """Move to another channel, played by another preset of the soundfont."""
        start = (
            Event(0, CONTROL | channel, bytes([BANK, bank])),
            Event(0, PROGRAM | channel, bytes([program])),
        )
        kept = (
            replace(event, status=event.kind | channel) if event.status < SYSTEM else event
            for event in self.events
            if event.kind != PROGRAM and not _is_control(event, BANK, BANK_FINE)
        )
        return Track((*start, *kept))


@dataclass(frozen=True, slots=True)
class Midi:
    """A whole file.

    Attributes:
        division: ticks per quarter note.
        tracks: the first holds the tempo.
    """

    division: int
    tracks: tuple[Track, ...]

    def only(self, tracks: list[Track]) -> Midi:
        """The same song with other instruments."""
        return Midi(self.division, (self.tracks[0], *tracks))


def _is_control(event: Event, *controls: int) -> bool:
    return event.kind == CONTROL and event.data[0] in controls


def decode(data: bytes) -> Midi:
    """Read a file.

    Raises:
        ValueError: it is not a MIDI file.
    """
    if data[:4] != b"MThd":
        raise ValueError(f"expected a MIDI file, got one that starts with {data[:4]!r}")
    tracks, at = [], 8 + int.from_bytes(data[4:8], "big")
    while at < len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "big")
        if data[at : at + 4] == b"MTrk":
            tracks.append(_decode_track(data[at + 8 : at + 8 + size]))
        at += 8 + size
    return Midi(int.from_bytes(data[12:14], "big"), tuple(tracks))


def _decode_track(data: bytes) -> Track:
    """Read the events of a track; a status that repeats may be left out in the file."""
    events: list[Event] = []
    at = tick = status = 0
    while at < len(data):
        wait, at = _read_number(data, at)
        tick += wait
        if data[at] & 0x80:
            status, at = data[at], at + 1
        if status == META:
            size, start = _read_number(data, at + 1)
            body = data[at : at + 1] + data[start : start + size]
            at = start + size
        elif status >= SYSTEM:
            size, start = _read_number(data, at)
            body = data[start : start + size]
            at = start + size
        else:
            size = 1 if status & 0xF0 in (0xC0, 0xD0) else 2
            body = data[at : at + size]
            at += size
        events.append(Event(tick, status, body))
    return Track(tuple(events))


def encode(midi: Midi) -> bytes:
    """Write a file.

    >>> song = Midi(192, (Track((Event(0, 0x90, bytes([60, 64])), Event(300, META, b"/"))),))
    >>> decode(encode(song)) == song
    True
    """
    parts = [b"MThd", (6).to_bytes(4, "big"), (1).to_bytes(2, "big")]
    parts += [len(midi.tracks).to_bytes(2, "big"), midi.division.to_bytes(2, "big")]
    for track in midi.tracks:
        body, before = b"", 0
        for event in track.events:
            body += _number(event.tick - before) + bytes([event.status])
            if event.status == META:
                body += event.data[:1] + _number(len(event.data) - 1) + event.data[1:]
            elif event.status >= SYSTEM:
                body += _number(len(event.data)) + event.data
            else:
                body += event.data
            before = event.tick
        parts += [b"MTrk", len(body).to_bytes(4, "big"), body]
    return b"".join(parts)


def _read_number(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte; return it and where it ends."""
    value = 0
    while data[at] & 0x80:
        value, at = value << 7 | data[at] & 0x7F, at + 1
    return value << 7 | data[at], at + 1


def _number(value: int) -> bytes:
    r"""Write a number as :func:`_read_number` reads it.

    >>> _number(300)
    b'\x82,'
    """
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))
