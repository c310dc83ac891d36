"""Fingerprints that all copies of a recording share, with any start and at any level.

A mark is a sample whose magnitude is the largest within a quarter of a second on both sides. The
distances from one mark to the next two, in samples, are a pair of numbers that hardly ever occurs
twice by chance. Louder, softer, inverted, delayed or cut copies have the same pairs, and so have
copies with another bit depth. Equalisation, lossy codecs and resampling change them, so such copies
are not found.
"""

import numpy as np
from numpy.typing import NDArray

STEP = 256
"""Only the peak of this many samples is kept."""
REACH_S = 0.25
"""A mark is the largest sample within this time on both sides."""
QUIET = 1e-3
"""Peaks below -60 dB are not marks, since they may be dither."""


class Peaks:
    """Collects the largest sample of every :data:`STEP` samples of a song, 12 bytes each."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._start = 0
        self._values: list[NDArray[np.float32]] = []
        self._places: list[NDArray[np.int64]] = []

    def add(self, mono: NDArray[np.float32]) -> None:
        """Add the next samples, ``(samples,)``."""
        joined = np.concatenate((self._rest, np.abs(mono)))
        whole = len(joined) // STEP
        table = joined[: whole * STEP].reshape(whole, STEP)
        places = table.argmax(axis=1)
        self._values.append(table[np.arange(whole), places])
        self._places.append(self._start + STEP * np.arange(whole) + places)
        self._rest = joined[whole * STEP :]
        self._start += whole * STEP

    def pairs(self, rate_hz: int) -> list[tuple[int, int, int]]:
        """The fingerprint: place and two distances of every mark but the last two, in samples."""
        if not self._values:
            return []
        values, places = np.concatenate(self._values), np.concatenate(self._places)
        return of_marks(marks(values, places, round(REACH_S * rate_hz)))


def marks(values: NDArray[np.float32], places: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """Places whose value is the largest within ``reach`` on both sides.

    Args:
        values: magnitudes of peaks, ``(peaks,)``.
        places: their places in samples, ascending, ``(peaks,)``.
        reach: distance in samples.

    Returns:
        Places of the marks in samples, ``(marks,)``.
    """
    found = []
    place = 0
    order = np.searchsorted(places, places + reach, side="right")
    first = np.searchsorted(places, places - reach, side="left")
    while place < len(values):
        window = values[first[place] : order[place]]
        if values[place] >= QUIET and values[place] == window.max():
            found.append(places[place])
            place = int(order[place])  # nothing within reach can be a mark
        else:
            place += 1
    return np.array(found, np.int64)


def of_marks(found: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Place of each mark, ``(marks,)`` in samples, and distances to the next two.

    >>> of_marks(np.array([10, 30, 35, 100]))
    [(10, 20, 5), (30, 5, 65)]
    """
    steps = np.diff(found)
    return [
        (int(place), int(one), int(two))
        for place, one, two in zip(found, steps, steps[1:], strict=False)
    ]
