"""What an example will be made of, before anything of it is read.

A :class:`Pick` is a place in a song; the stems of an example are sums of picks. Whoever chooses
other material (songs remixed, a second voice, a stem left out) changes picks, which costs nothing,
and only what is left in the end is read.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np

from demixing.errors import ConfigError
from demixing.training.data.songs import Song, Spans


@dataclass(frozen=True, slots=True)
class Pick:
    """A place in a song.

    Attributes:
        song: its position among the songs.
        start: first sample that is read.
        gain: linear factor.
    """

    song: int
    start: int
    gain: float = 1.0


Picks = Mapping[str, tuple[Pick, ...]]
"""For each stem the picks that are summed; none is silence."""


class Pool(Sequence[Song]):
    """Songs to pick from; some may come more often than others.

    Args:
        songs: of one rate, usually from :func:`demixing.training.data.songs.index`.
        stems: what is picked.
        weights: how often each song is picked, relative to the others; equally often by default.
        sounding: pick only places where the stem is heard. Otherwise anywhere.

    Raises:
        ConfigError: there is no song, none has one of the stems, or the weights are no weights.
    """

    def __init__(
        self,
        songs: Sequence[Song],
        stems: Sequence[str],
        weights: Sequence[float] | None = None,
        *,
        sounding: bool = True,
    ) -> None:
        self._songs = tuple(songs)
        self._sounding = sounding
        self._weights = _checked(weights, len(self._songs))
        self._having: dict[str, _Draw] = {}
        for stem in stems:
            having = [number for number, song in enumerate(self._songs) if self._has(song, stem)]
            if not any(self._weights[number] for number in having):
                raise ConfigError(
                    f"expected at least one song in which {stem!r} is heard, got none among "
                    f"{len(self._songs)}; add a folder that has it, or train without this stem"
                )
            self._having[stem] = _Draw(having, [self._weights[number] for number in having])
        heard = sorted({number for draw in self._having.values() for number in draw.numbers})
        self._any = _Draw(heard, [self._weights[number] for number in heard])

    def pick(self, rng: np.random.Generator, stem: str, samples: int, gain: float = 1.0) -> Pick:
        """Choose a place for one stem: by weight among the songs that have it, then anywhere.

        Args:
            rng: all randomness.
            stem: that must be heard there.
            samples: how much will be read.
            gain: linear factor of the pick.
        """
        number = self._having[stem].draw(rng)
        return Pick(number, self._start(rng, number, stem, samples), gain)

    def together(self, rng: np.random.Generator, samples: int) -> Picks:
        """Choose one place for all stems, as they are in a song; at least one is heard there."""
        number = self._any.draw(rng)
        song = self._songs[number]
        heard = [stem for stem in self._having if self._has(song, stem)]
        stem = heard[rng.integers(len(heard))]
        pick = Pick(number, self._start(rng, number, stem, samples))
        return {stem: (pick,) if stem in song.stems else () for stem in self._having}

    def _has(self, song: Song, stem: str) -> bool:
        """Whether a stem can be picked from a song."""
        return bool(song.stems.get(stem)) and (not self._sounding or bool(song.active.get(stem)))

    def _start(self, rng: np.random.Generator, number: int, stem: str, samples: int) -> int:
        """Choose a start in a song so that an active second is heard, whole if that fits."""
        song = self._songs[number]
        last = max(song.samples - samples, 0)
        if not self._sounding:
            return int(rng.integers(last + 1))
        begin = _second(rng, song.active[stem]) * song.rate_hz
        other = begin + song.rate_hz - samples
        start = int(rng.integers(min(begin, other), max(begin, other) + 1))
        return min(max(start, 0), last)

    @overload
    def __getitem__(self, number: int) -> Song: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Song]: ...
    def __getitem__(self, number: int | slice) -> Song | Sequence[Song]:
        return self._songs[number]

    def __len__(self) -> int:
        return len(self._songs)


class _Draw:
    """Draws from numbers by weight; binary search, since there may be many songs."""

    def __init__(self, numbers: Sequence[int], weights: Sequence[float]) -> None:
        kept = [(n, w) for n, w in zip(numbers, weights, strict=True) if w]
        self.numbers = [number for number, _ in kept]
        self._sums = list(itertools.accumulate(weight for _, weight in kept))

    def draw(self, rng: np.random.Generator) -> int:
        """Choose one of the numbers."""
        place = bisect.bisect_right(self._sums, rng.random() * self._sums[-1])
        return self.numbers[min(place, len(self.numbers) - 1)]  # a product may round up


def _second(rng: np.random.Generator, spans: Spans) -> int:
    """Choose one of the seconds in spans; each is equally likely."""
    left = int(rng.integers(sum(end - begin for begin, end in spans)))
    for begin, end in spans:
        if left < end - begin:
            return begin + left
        left -= end - begin
    raise AssertionError("fewer seconds in the spans than they sum to")


def _checked(weights: Sequence[float] | None, songs: int) -> list[float]:
    """Return the weights of all songs as floats."""
    if not songs:
        raise ConfigError("expected songs to train on, got none; check the folders of the run")
    given = [1.0] * songs if weights is None else [float(weight) for weight in weights]
    if len(given) != songs or not all(0 <= weight < math.inf for weight in given):
        raise ConfigError(
            f"expected a finite weight of 0 or above for each of {songs} songs, got {weights!r}"
        )
    return given
