"""Songs without references: the mixture, its stems, and what their sum leaves of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from demixing.printing import printable
from demixing.report.evaluated import Put
from demixing.report.measuring import Meter, Plain, Track, chart, measured
from demixing.report.seconds import Seconds
from demixing.report.signs import MINUS
from demixing.report.sounds import Sound

VOICE = {"vocals", "dialog"}
INSTRUMENTAL = "instrumental"
"""The mixture without :data:`VOICE`."""


@dataclass(frozen=True, slots=True)
class Separation:
    """A song and its stems, all of one format.

    Attributes:
        name: of the song.
        mixture: the song.
        stems: by name, in the order of the page.
    """

    name: str
    mixture: Sound
    stems: Mapping[str, Sound]


def song(number: int, one: Separation, kbit_s: int, put: Put) -> Plain:
    """Measure one song.

    Args:
        number: of the song on the page.
        one: the song.
        kbit_s: bit rate of the sound.
        put: stores sound and pictures.

    Returns:
        Values for the page.

    Raises:
        DemixError: a file cannot be read.
    """
    track = Track(key="mixture", role="mixture", name="Mixture")
    mixture = measured(track, one.mixture, kbit_s)
    put(f"{number}-mixture", {"mixture": mixture.part()})
    tracks = [
        Track(key=f"stem-{place}", role="estimate", name=printable(stem), system=0)
        for place, stem in enumerate(one.stems)
    ]
    rest = Track(key="error", role="error", name=f"Mixture {MINUS} sum", system=0)
    meters = [Meter(row, one.mixture, pictured=True, kbit_s=kbit_s) for row in (*tracks, rest)]
    seconds = Seconds(one.mixture.rate_hz)
    counted = np.array([stem in summed(one.stems) for stem in one.stems])
    streams = (one.mixture.blocks(), *(stem.blocks() for stem in one.stems.values()))
    for whole, *blocks in zip(*streams, strict=True):
        total = np.sum([block for block, counts in zip(blocks, counted, strict=True) if counts], 0)
        seconds.push(whole, total)
        for meter, block in zip(meters, [*blocks, whole - total], strict=True):
            meter.push(block)
    found = [meter.finish() for meter in meters]
    put(f"{number}-0", {row.track.key: row.part() for row in found})
    charts = [chart(seconds.finish(), "sum of the stems", 0)]
    view = {"name": "all stems", "tracks": [row.plain() for row in found], "charts": charts}
    return {
        "name": printable(one.name),
        "track": "",
        "seconds": round(one.mixture.seconds, 6),
        "rate": one.mixture.rate_hz,
        "mixture": mixture.plain(),
        "views": [view],
    }


def summed(stems: Collection[str]) -> set[str]:
    """The stems that make up a mixture: an instrumental contains all others but the voice.

    >>> sorted(summed(["vocals", "drums", "instrumental"]))
    ['drums', 'vocals']
    >>> sorted(summed(["vocals", "instrumental"]))
    ['instrumental', 'vocals']
    """
    others = {*stems} - VOICE - {INSTRUMENTAL}
    return {stem for stem in stems if stem != INSTRUMENTAL or not others}


def seconds_of_sound(one: Separation) -> float:
    """Length of all tracks together."""
    return one.mixture.seconds * (len(one.stems) + 2)
