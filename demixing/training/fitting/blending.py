"""Weights of a blend in closed form, for the highest mean of dB over songs.

For one song the weights that leave the least energy of error solve a linear system. Over many
songs, the mean of their SDR is what the board scores, so each song's error is weighed by the
inverse of what is left of it, and solved again, round by round. A ridge draws the weights to a
prior, as a rule the plain mean, where the songs say too little.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from demixing.evaluation.gram import Combination
from demixing.evaluation.metrics.sdr import DELTA
from demixing.training.fitting.groups import shares_of, surely, without_each
from demixing.training.fitting.song_gram import MIXTURE, SongGram

ROUNDS = 30
FLOOR = 0.1
"""Of the true stem's energy, added to each song's error: or the one song that is separated best
would decide the weights alone."""
FOLDS = 5
"""Into which songs are parted to choose a ridge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How weights are fitted.

    Attributes:
        ridges: of the mean energy of the answers, added for each unit that a weight is away from
            the prior; the one that serves songs left out best is taken.
        mixture: whether the mixture itself may have a weight.
        non_negative: whether weights below zero are refused.
        mean_of_db: whether songs are weighed for the mean of their dB; else the loudest errors
            count most.
    """

    ridges: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
    mixture: bool = True
    non_negative: bool = False
    mean_of_db: bool = True


def sdr_db(song: SongGram, stem: str, estimate: Combination) -> float:
    """Official SDR of a weighted sum of signals, without the rounding to 16 bits."""
    error = song.energy({**estimate, stem: estimate.get(stem, 0.0) - 1.0})
    return 10 * math.log10((song.energy({stem: 1.0}) + DELTA) / (error + DELTA))


def mean_db(songs: Sequence[SongGram], stem: str, estimate: Combination) -> float:
    """Mean of :func:`sdr_db` over songs as :func:`shares_of` counts them; NaN without songs."""
    return mean_of(songs, [sdr_db(song, stem, estimate) for song in songs])


def mean_of(songs: Sequence[SongGram], values_db: Sequence[float]) -> float:
    """Mean of each song's value as :func:`shares_of` counts them; NaN without songs."""
    return float(shares_of(songs) @ np.array(values_db)) if songs else math.nan


def plain_mean(answers: Sequence[str]) -> dict[str, float]:
    """The blend without any fitting."""
    return dict.fromkeys(answers, 1 / len(answers))


@dataclass(frozen=True, slots=True)
class Problem:
    """The least squares of some songs.

    Attributes:
        songs: at least one.
        names: of the signals that have a weight.
        prior: of the weights, ``(names,)``.
        grams: products of the signals, ``(songs, names, names)``.
        crosses: products with the true stem, ``(songs, names)``.
        energies: of the true stem, ``(songs,)``.
    """

    songs: tuple[SongGram, ...]
    names: tuple[str, ...]
    prior: NDArray[np.float64]
    grams: NDArray[np.float64]
    crosses: NDArray[np.float64]
    energies: NDArray[np.float64]

    def of(self, numbers: Sequence[int]) -> "Problem":
        """The least squares of some of the songs."""
        return Problem(
            tuple(self.songs[number] for number in numbers),
            self.names,
            self.prior,
            self.grams[numbers],
            self.crosses[numbers],
            self.energies[numbers],
        )

    def errors(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Energy of the error in each song, ``(songs,)``."""
        errors = self.energies - 2 * self.crosses @ weights + self.grams @ weights @ weights
        return np.asarray(errors.clip(min=0.0))

    def scores_db(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """SDR in each song, ``(songs,)``."""
        scores = 10 * np.log10((self.energies + DELTA) / (self.errors(weights) + DELTA))
        return np.asarray(scores)

    def solved(self, method: Method, ridge: float) -> NDArray[np.float64]:
        """Weights with one ridge, ``(names,)``: see :class:`Method`."""
        shares = shares_of(self.songs)
        weights = self.prior
        for _ in range(ROUNDS if method.mean_of_db else 1):
            counts = shares
            if method.mean_of_db:
                counts = shares / (self.errors(weights) + FLOOR * self.energies + DELTA)
            gram = np.tensordot(counts, self.grams, axes=1)
            cross = counts @ self.crosses
            scale = ridge * np.trace(gram) / len(weights) + 1e-12
            gram = gram + scale * np.eye(len(weights))
            new = solve(gram, cross + scale * self.prior, method.non_negative)
            if np.allclose(new, weights, rtol=0, atol=1e-6):
                break
            weights = new
        return weights

    def best_ridge(self, method: Method) -> float:
        """Choose the ridge by the scores of folds that are left out.

        Of those that are not surely worse than the best, it is the largest: a few songs differ
        more by chance than by what suits them.
        """
        together = [own for own, _ in without_each(self.songs)]
        if len(method.ridges) == 1 or len(together) < FOLDS:
            return max(method.ridges)
        counts = shares_of(self.songs)
        scores = np.zeros((len(method.ridges), len(self.songs)))
        for fold in range(FOLDS):
            own = [number for part in together[fold::FOLDS] for number in part]
            left, others = self.of(own), self.of(sorted({*range(len(self.songs))} - {*own}))
            for row, ridge in zip(scores, method.ridges, strict=True):
                row[own] = left.scores_db(others.solved(method, ridge))
        best = scores[(scores @ counts).argmax()]
        folds = [song.fold for song in self.songs]
        return max(
            ridge
            for ridge, row in zip(method.ridges, scores, strict=True)
            if not surely(best - row, counts, folds)
        )

    def fit(self, method: Method) -> dict[str, float]:
        """Solve with the best ridge; weights by the names of the signals."""
        weights = self.solved(method, self.best_ridge(method))
        return dict(zip(self.names, map(float, weights), strict=True))


def problem(
    songs: Sequence[SongGram],
    stem: str,
    answers: Sequence[str],
    method: Method,
    prior: Mapping[str, float] | None = None,
) -> Problem:
    """State the least squares for a stem.

    Args:
        songs: in which the stem is not silent, at least one.
        stem: what the blend shall be.
        answers: names of signals.
        method: how it will be solved.
        prior: weights of the answers; None: the plain mean.
    """
    names = (*answers, *([MIXTURE] if method.mixture else []))
    known = plain_mean(answers) if prior is None else prior
    return Problem(
        tuple(songs),
        names,
        np.array([known.get(name, 0.0) for name in names]),
        np.stack([song.among(names, names) for song in songs]),
        np.stack([song.among(names, [stem])[:, 0] for song in songs]),
        np.array([song.energy({stem: 1.0}) for song in songs]),
    )


def fit(
    songs: Sequence[SongGram],
    stem: str,
    answers: Sequence[str],
    method: Method,
    prior: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Solve for the weights of ``answers``, and of the mixture, with the best ridge.

    Args and errors: as for :func:`problem`.

    Returns:
        Weights by the names of the signals.
    """
    return problem(songs, stem, answers, method, prior).fit(method)


def solve(
    gram: NDArray[np.float64], cross: NDArray[np.float64], non_negative: bool
) -> NDArray[np.float64]:
    """Minimise ``w G w - 2 w c``, for positive definite G.

    >>> solve(np.eye(2), np.array([1.0, -1.0]), non_negative=True).tolist()
    [1.0, 0.0]
    """
    if not non_negative:
        return np.asarray(np.linalg.solve(gram, cross), dtype=np.float64)
    factor = np.linalg.cholesky(gram)
    weights: NDArray[np.float64] = nnls(factor.T, np.linalg.solve(factor, cross))[0]
    return weights
