"""Scores: MIDI files as tracks of messages with absolute times.

mido reads and writes the files. Format 1 only: the first track has the tempo, and each other track
has one instrument.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

from demixing.errors import ConfigError
from demixing.machine.installation import install_command

try:
    import mido
except ImportError as error:
    raise ConfigError(
        f"expected the package mido for scores, but {str(error).lower()}; "
        f"install it with `{install_command('rendering')}`"
    ) from error

DRUM_CHANNEL = 9
"""Channel 10, counted from zero."""

BANK, BANK_FINE, PAN = 0, 32, 10
"""Numbers of controllers."""


@dataclass(frozen=True, slots=True)
class Event:
    """A message and its time.

    Attributes:
        tick: time since the start of the song.
        message: a ``mido.Message`` or ``mido.MetaMessage`` whose own time is 0.
    """

    tick: int
    message: Any

    @property
    def kind(self) -> str:
        """Mido's name for the type of the message, such as ``note_on``."""
        return str(self.message.type)

    @property
    def channel(self) -> int | None:
        """Channel of the message, if it has one."""
        return None if self.message.is_meta else getattr(self.message, "channel", None)

    def changed(self, **values: int) -> Event:
        """The event with other values of its message."""
        return replace(self, message=self.message.copy(**values))


def control(channel: int, number: int, value: int) -> Event:
    """Set a controller at the start of the song."""
    return Event(0, mido.Message("control_change", channel=channel, control=number, value=value))


def program(channel: int, number: int) -> Event:
    """Choose an instrument, counted from zero as in General MIDI, at the start of the song."""
    return Event(0, mido.Message("program_change", channel=channel, program=number))


def tempo(tick: int, us: int) -> Event:
    """Set the tempo in microseconds per quarter note."""
    return Event(tick, mido.MetaMessage("set_tempo", tempo=us))


@dataclass(frozen=True, slots=True)
class Track:
    """The events of one instrument, in order."""

    events: tuple[Event, ...]

    @property
    def name(self) -> str:
        """Name of the track; empty if it has none."""
        return next((one.message.name for one in self.events if one.kind == "track_name"), "")

    @property
    def channel(self) -> int | None:
        """Channel of the first event that has one."""
        return next((one.channel for one in self.events if one.channel is not None), None)

    @property
    def program(self) -> int:
        """The first instrument by its number in General MIDI, counted from zero."""
        return next((one.message.program for one in self.events if one.kind == "program_change"), 0)

    @property
    def markers(self) -> list[tuple[int, str]]:
        """Tick and text of every marker."""
        return [(one.tick, one.message.text) for one in self.events if one.kind == "marker"]

    def panned(self, position: float) -> Track:
        """Place the instrument between left (-1) and right (1)."""
        if self.channel is None:
            return self
        start = control(self.channel, PAN, round(64 + 63 * position))
        return Track((start, *(one for one in self.events if not _is_control(one, PAN))))

    def on_program(self, channel: int, bank: int, number: int) -> Track:
        """Move to another channel, played by another preset of the soundfont."""
        kept = (
            one if one.channel is None else one.changed(channel=channel)
            for one in self.events
            if one.kind != "program_change" and not _is_control(one, BANK, BANK_FINE)
        )
        return Track((control(channel, BANK, bank), program(channel, number), *kept))


@dataclass(frozen=True, slots=True)
class Midi:
    """A whole file.

    Attributes:
        division: ticks per quarter note.
        tracks: the first has the tempo.
    """

    division: int
    tracks: tuple[Track, ...]

    def only(self, tracks: list[Track]) -> Midi:
        """The same song with other instruments."""
        return Midi(self.division, (self.tracks[0], *tracks))


def _is_control(event: Event, *numbers: int) -> bool:
    return event.kind == "control_change" and event.message.control in numbers


def decode(data: bytes) -> Midi:
    """Read a file. Data bytes above 127, which are invalid, are read as 127.

    Raises:
        ValueError: it is not a MIDI file, or it is damaged.
    """
    if data[:4] != b"MThd":
        raise ValueError(f"expected a MIDI file, got one that starts with {data[:4]!r}")
    try:
        file = mido.MidiFile(file=io.BytesIO(data), clip=True)
    except (OSError, EOFError, mido.KeySignatureError) as error:
        raise ValueError(f"expected a MIDI file, got a damaged one: {error!r}") from error
    return Midi(file.ticks_per_beat, tuple(_absolute(track) for track in file.tracks))


def _absolute(messages: mido.MidiTrack) -> Track:
    """Add up the times of messages, each relative to the previous message."""
    events, tick = [], 0
    for message in messages:
        tick += message.time
        message.time = 0
        events.append(Event(tick, message))
    return Track(tuple(events))


def encode(midi: Midi) -> bytes:
    """Write a file.

    >>> end = Event(300, mido.MetaMessage("end_of_track"))
    >>> song = Midi(192, (Track((program(0, 5), end)),))
    >>> decode(encode(song)) == song
    True
    """
    file = mido.MidiFile(type=1, ticks_per_beat=midi.division)
    for track in midi.tracks:
        before, messages = 0, mido.MidiTrack()
        for event in track.events:
            messages.append(event.message.copy(time=event.tick - before))
            before = event.tick
        file.tracks.append(messages)
    written = io.BytesIO()
    file.save(file=written)
    return written.getvalue()
