"""Gram matrices: the inner products of all signals of a song with each other.

Gains, correlations and errors of weighted sums of signals are quadratic forms of these numbers. So
the audio is read once, and any number of sums can then be compared at almost no cost: with the Gram
matrix G of signals s_i, the energy of the sum of w_i s_i is w' G w.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

Combination = Mapping[str, float | NDArray[np.float64]]
"""A weighted sum of signals, by their names; a weight is a number or ``(bands,)``."""


@dataclass(frozen=True)
class Gram:
    """The Gram matrix of a song's signals, in one band or in several.

    Attributes:
        signals: names, in the order of rows and columns.
        products: ``(bands, signals, signals)``, summed over the samples of the song.
    """

    signals: tuple[str, ...]
    products: NDArray[np.float64]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.signals)}

    @cached_property
    def _whole(self) -> NDArray[np.float64]:
        """Products of all bands together, ``(signals, signals)``."""
        return np.asarray(self.products.sum(axis=0), dtype=np.float64)

    def _places(self, names: Sequence[str]) -> list[int]:
        return [self._index[name] for name in names]

    def among(self, rows: Sequence[str], columns: Sequence[str]) -> NDArray[np.float64]:
        """Products of some signals with others in all bands together, ``(rows, columns)``.

        Raises:
            KeyError: a name is unknown.
        """
        return self._whole[np.ix_(self._places(rows), self._places(columns))]

    def energy(self, combination: Combination) -> float:
        """Energy of a weighted sum of signals, at least 0."""
        if any(isinstance(weight, np.ndarray) for weight in combination.values()):
            return float(self.energies(combination).sum())
        names = list(combination)
        weights = np.array([combination[name] for name in names])
        return max(float(weights @ self.among(names, names) @ weights), 0.0)

    def energies(self, combination: Combination) -> NDArray[np.float64]:
        """Energy of a weighted sum of signals in each band, ``(bands,)``, at least 0."""
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

    def combined(self, signals: Mapping[str, Combination]) -> Self:
        """The Gram matrix of weighted sums of the signals.

        Args:
            signals: the sums, by new name.
        """
        names = list(dict.fromkeys(name for parts in signals.values() for name in parts))
        weights, products = self._in_bands(list(signals.values()), names)
        return dataclasses.replace(
            self, signals=tuple(signals), products=weights @ products @ weights.mT
        )
