"""Samples excerpts of songs for training examples; no audio is read here.

An :class:`Excerpt` is a place in a song, and each stem of an example is a sum of excerpts. Choices
(remix, mixup, silence) change excerpts, which costs nothing, and only the final ones are read.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from demixing.errors import ConfigError
from demixing.training.data.song_table import Song, Spans


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A place in a song.

    Attributes:
        song: its position among the songs.
        start: first sample that is read.
        gain: linear factor.
    """

    song: int
    start: int
    gain: float = 1.0


Excerpts = Mapping[str, tuple[Excerpt, ...]]
"""The excerpts that are summed, by stem; a stem without any is silent."""


class Sampler(Sequence[Song]):
    """Draws excerpts of songs by weight.

    Args:
        songs: songs with one rate, usually from :func:`demixing.training.data.songs.index`.
        stems: names of the stems to draw.
        weights: how often each song is drawn, relative to the others; equally often by default.
        active_only: draw only places where the stem is active. Otherwise draw any place.

    Raises:
        ConfigError: there are no songs, a stem is in none of them, or the weights are invalid.
    """

    def __init__(
        self,
        songs: Sequence[Song],
        stems: Sequence[str],
        weights: Sequence[float] | NDArray[np.float64] | None = None,
        *,
        active_only: bool = True,
    ) -> None:
        self._songs = songs
        self._active_only = active_only
        shares = _checked(weights, len(songs))
        self._having: dict[str, _Draw] = {}
        all_having: dict[str, list[int]] = {stem: [] for stem in stems}
        for number, song in enumerate(songs):
            for stem, having in all_having.items():
                if self._has(song, stem):
                    having.append(number)
        for stem, having in all_having.items():
            if not any(shares[number] for number in having):
                raise ConfigError(
                    f"expected at least one song in which {stem!r} is active, got none among "
                    f"{len(self._songs)}; add a folder that has it, or train without this stem"
                )
            self._having[stem] = _Draw(having, [shares[number] for number in having])
        drawn = sorted({number for having in all_having.values() for number in having})
        self._any = _Draw(drawn, [shares[number] for number in drawn])

    def excerpt(
        self, rng: np.random.Generator, stem: str, samples: int, gain: float = 1.0
    ) -> Excerpt:
        """Draw an excerpt of one stem: first a song by weight, then a place in it.

        Args:
            rng: source of all randomness.
            stem: the stem; it is active in the excerpt if only active places are drawn.
            samples: length of the excerpt.
            gain: linear factor of the excerpt.
        """
        number = self._having[stem].draw(rng)
        return Excerpt(number, self._start(rng, number, stem, samples), gain)

    def together(self, rng: np.random.Generator, samples: int) -> Excerpts:
        """Draw the same place for all stems of a song; at least one stem is active there.

        Args:
            rng: source of all randomness.
            samples: length of the excerpts.
        """
        number = self._any.draw(rng)
        song = self._songs[number]
        having = [stem for stem in self._having if self._has(song, stem)]
        stem = having[rng.integers(len(having))]
        excerpt = Excerpt(number, self._start(rng, number, stem, samples))
        return {stem: (excerpt,) if stem in song.stems else () for stem in self._having}

    def _has(self, song: Song, stem: str) -> bool:
        """Whether a stem can be drawn from a song."""
        return bool(song.stems.get(stem)) and (not self._active_only or bool(song.active.get(stem)))

    def _start(self, rng: np.random.Generator, number: int, stem: str, samples: int) -> int:
        """Draw a start such that an active second is in the excerpt, whole if it fits."""
        song = self._songs[number]
        last = max(song.samples - samples, 0)
        if not self._active_only:
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
    """Draws numbers by weight, by binary search, since there may be many songs.

    They are in arrays, which workers share; see :mod:`demixing.training.data.song_table`.
    """

    def __init__(self, numbers: Sequence[int], weights: Sequence[float]) -> None:
        kept = [(n, w) for n, w in zip(numbers, weights, strict=True) if w]
        self._numbers = np.array([number for number, _ in kept], np.int32)
        self._sums = np.array(list(itertools.accumulate(weight for _, weight in kept)))

    def draw(self, rng: np.random.Generator) -> int:
        """Draw one of the numbers."""
        place = self._sums.searchsorted(rng.random() * self._sums[-1], "right")
        return int(self._numbers[min(place, len(self._numbers) - 1)])  # a product may round up


def _second(rng: np.random.Generator, spans: Spans) -> int:
    """Draw one of the seconds in spans; each is equally likely."""
    left = int(rng.integers(sum(end - begin for begin, end in spans)))
    for begin, end in spans:
        if left < end - begin:
            return begin + left
        left -= end - begin
    raise AssertionError("fewer seconds in the spans than they sum to")


def _checked(weights: Sequence[float] | NDArray[np.float64] | None, songs: int) -> list[float]:
    """The weights of all songs as floats.

    Raises:
        ConfigError: there are no songs, or the weights are invalid.
    """
    if not songs:
        raise ConfigError("expected songs to train on, got none; check the folders of the run")
    given = [1.0] * songs if weights is None else [float(weight) for weight in weights]
    if len(given) != songs or not all(0 <= weight < math.inf for weight in given):
        raise ConfigError(
            f"expected a finite weight of 0 or above for each of {songs} songs, got {weights!r}"
        )
    return given
