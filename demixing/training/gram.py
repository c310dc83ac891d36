"""All that fitting needs of a song: the products of all its signals, summed in bands.

Every blend of answers is linear, so its error follows from these sums alone: a song is separated
once, and thousands of blends are then compared in no time. What is mended band by band is linear
in each band, so it follows, too.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

MIXTURE = "mixture"

SILENT_DB = -60.0
"""A true stem whose energy is so far below that of the mixture is silent."""

Combination = Mapping[str, float | NDArray[np.float64]]
"""A weighted sum of signals, by their names; a weight is a number or ``(bands,)``."""


def answer(member: str, stem: str) -> str:
    """Name the signal that is a member's answer for a stem."""
    return f"{member}/{stem}"


@dataclass(frozen=True)
class Moments:
    """Sums of products of the signals of one song.

    Attributes:
        song: its name.
        folder: that it comes from.
        signals: names: answers as :func:`answer` has them, :data:`MIXTURE`, and the true stems
            by their own names; a stem of which nothing is known is missing.
        products: ``(bands, signals, signals)``, summed over the samples and channels of the song.
        artist: whose songs count and are left out together; None: see :attr:`group`.
        seen_by: names of the members that were trained on the song.
        weight: how much the song counts beside others.
    """

    song: str
    folder: str
    signals: tuple[str, ...]
    products: NDArray[np.float64]
    sample_rate_hz: int = 44_100
    artist: str | None = None
    seen_by: frozenset[str] = frozenset()
    weight: float = 1.0

    @property
    def group(self) -> str:
        """What counts as much as any other: the artist, or else the folder."""
        return self.artist or self.folder

    @property
    def fold(self) -> str:
        """What is left out together: the artist, or else this song alone."""
        return self.artist or self.path

    @property
    def path(self) -> str:
        """Folder and name, which no other song has."""
        return f"{self.folder}/{self.song}"

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.signals)}

    @cached_property
    def _whole(self) -> NDArray[np.float64]:
        """Products of all bands together."""
        return np.asarray(self.products.sum(axis=0), dtype=np.float64)

    def _places(self, names: Sequence[str]) -> list[int]:
        return [self._index[name] for name in names]

    def among(self, rows: Sequence[str], columns: Sequence[str]) -> NDArray[np.float64]:
        """Products of some signals with others in all bands together, ``(rows, columns)``."""
        return self._whole[np.ix_(self._places(rows), self._places(columns))]

    def energy(self, combination: Combination) -> float:
        """Energy of a weighted sum of signals."""
        if any(isinstance(weight, np.ndarray) for weight in combination.values()):
            return float(self.energies(combination).sum())
        names = list(combination)
        weights = np.array([combination[name] for name in names])
        return max(float(weights @ self.among(names, names) @ weights), 0.0)

    def energies(self, combination: Combination) -> NDArray[np.float64]:
        """Energy of a weighted sum of signals in each band, ``(bands,)``."""
        weights, products = self._in_bands([combination], list(combination))
        return np.asarray((weights @ products @ weights.mT)[:, 0, 0].clip(min=0.0))

    def _in_bands(
        self, combinations: Sequence[Combination], names: Sequence[str]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights ``(bands, combinations, names)`` and products ``(bands, names, names)``."""
        places = self._places(names)
        weights = np.zeros((len(self.products), len(combinations), len(names)))
        for row, combination in enumerate(combinations):
            for column, name in enumerate(names):
                weights[:, row, column] = combination.get(name, 0.0)
        return weights, self.products[:, places][:, :, places]

    def combined(self, signals: Mapping[str, Combination], weight: float = 1.0) -> "Moments":
        """The same song with weighted sums as its only signals, by new names.

        Args:
            signals: what each is the sum of.
            weight: how much this song counts beside others.
        """
        names = list(dict.fromkeys(name for parts in signals.values() for name in parts))
        weights, products = self._in_bands(list(signals.values()), names)
        return dataclasses.replace(
            self,
            signals=tuple(signals),
            products=weights @ products @ weights.mT,
            weight=weight,
        )

    def knows(self, stem: str) -> bool:
        """Whether the true stem is known."""
        return stem in self._index

    def silent(self, stem: str) -> bool:
        """Whether the true stem, which must be known, is silent."""
        limit = 10 ** (SILENT_DB / 10) * self.energy({MIXTURE: 1.0})
        return self.energy({stem: 1.0}) <= limit


def audible(songs: Sequence[Moments], stem: str) -> list[Moments]:
    """Songs in which a stem is known and not silent."""
    return [song for song in songs if song.knows(stem) and not song.silent(stem)]


def unseen(songs: Sequence[Moments], members: Collection[str]) -> list[Moments]:
    """Songs on which none of the members was trained."""
    return [song for song in songs if not song.seen_by.intersection(members)]
