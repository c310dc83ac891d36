"""Ensemble weights in closed form, for the highest mean SDR over songs.

For one song, the weights with the least energy of the error solve a linear system. The leaderboard
scores the mean SDR over many songs, so each song is weighted by the inverse of its error, and the
system is solved again until the weights converge. A ridge pulls the weights towards a prior,
usually the plain mean, where the songs do not determine them.
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
"""Part of the true stem's energy that is added to each song's error. Otherwise the song that is
separated best would decide the weights alone."""
FOLDS = 5
"""Number of folds in the choice of a ridge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """How weights are fitted.

    Attributes:
        ridges: candidates for the ridge, relative to the mean energy of the estimates; the one
            with the best scores on songs left out is used.
        mixture: whether the mixture itself may have a weight.
        non_negative: whether weights below zero are excluded.
        mean_of_db: whether songs are weighted for the mean of their SDR in dB; otherwise the
            loudest errors count most.
    """

    ridges: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
    mixture: bool = True
    non_negative: bool = False
    mean_of_db: bool = True


def sdr_db(song: SongGram, stem: str, estimate: Combination) -> float:
    """Official SDR in dB of a weighted sum of signals, without the rounding to 16 bits."""
    error = song.energy({**estimate, stem: estimate.get(stem, 0.0) - 1.0})
    return 10 * math.log10((song.energy({stem: 1.0}) + DELTA) / (error + DELTA))


def mean_db(songs: Sequence[SongGram], stem: str, estimate: Combination) -> float:
    """Mean of :func:`sdr_db` over songs, weighted by :func:`shares_of`; NaN without songs."""
    return mean_of(songs, [sdr_db(song, stem, estimate) for song in songs])


def mean_of(songs: Sequence[SongGram], values_db: Sequence[float]) -> float:
    """Mean of the values of songs, weighted by :func:`shares_of`; NaN without songs."""
    return float(shares_of(songs) @ np.array(values_db)) if songs else math.nan


def plain_mean(signals: Sequence[str]) -> dict[str, float]:
    """Equal weights with the sum 1, by name."""
    return dict.fromkeys(signals, 1 / len(signals))


@dataclass(frozen=True, slots=True)
class Problem:
    """The least-squares problem of some songs.

    Attributes:
        songs: at least one.
        names: names of the signals that get a weight.
        prior: weights towards which the ridge pulls, ``(names,)``.
        grams: inner products of the signals, ``(songs, names, names)``.
        crosses: inner products of the signals with the true stem, ``(songs, names)``.
        energies: energies of the true stem, ``(songs,)``.
    """

    songs: tuple[SongGram, ...]
    names: tuple[str, ...]
    prior: NDArray[np.float64]
    grams: NDArray[np.float64]
    crosses: NDArray[np.float64]
    energies: NDArray[np.float64]

    def of(self, numbers: Sequence[int]) -> "Problem":
        """The problem of some of the songs, by index."""
        return Problem(
            tuple(self.songs[number] for number in numbers),
            self.names,
            self.prior,
            self.grams[numbers],
            self.crosses[numbers],
            self.energies[numbers],
        )

    def errors(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Energy of the error in each song, ``(songs,)``, for weights ``(names,)``."""
        errors = self.energies - 2 * self.crosses @ weights + self.grams @ weights @ weights
        return np.asarray(errors.clip(min=0.0))

    def scores_db(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """SDR in dB in each song, ``(songs,)``, for weights ``(names,)``."""
        scores = 10 * np.log10((self.energies + DELTA) / (self.errors(weights) + DELTA))
        return np.asarray(scores)

    def solved(self, method: Method, ridge: float) -> NDArray[np.float64]:
        """Solve with one ridge, see :class:`Method`; returns weights, ``(names,)``."""
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
        """Choose a ridge by the scores of folds that are left out.

        It is the largest of those that are not significantly worse than the best, because scores
        of a few songs differ by chance.
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
        """Solve with the best ridge; returns the weights by name of the signal."""
        weights = self.solved(method, self.best_ridge(method))
        return dict(zip(self.names, map(float, weights), strict=True))


def problem(
    songs: Sequence[SongGram],
    stem: str,
    signals: Sequence[str],
    method: Method,
    prior: Mapping[str, float] | None = None,
) -> Problem:
    """Build the least-squares problem of a stem.

    Args:
        songs: songs in which the stem is not silent, at least one.
        stem: name of the true stem.
        signals: names of the estimates.
        method: how it will be solved.
        prior: weights of the estimates; the plain mean if None.
    """
    names = (*signals, *([MIXTURE] if method.mixture else []))
    known = plain_mean(signals) if prior is None else prior
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
    signals: Sequence[str],
    method: Method,
    prior: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Solve for the weights of estimates, and of the mixture, with the best ridge.

    See :func:`problem` for the arguments.

    Returns:
        Weights by the names of the signals.
    """
    return problem(songs, stem, signals, method, prior).fit(method)


def solve(
    gram: NDArray[np.float64], cross: NDArray[np.float64], non_negative: bool
) -> NDArray[np.float64]:
    """Minimise ``w G w - 2 w c``.

    Args:
        gram: G, positive definite, ``(names, names)``.
        cross: c, ``(names,)``.
        non_negative: whether weights below zero are excluded.

    Returns:
        w, ``(names,)``.

    >>> solve(np.eye(2), np.array([1.0, -1.0]), non_negative=True).tolist()
    [1.0, 0.0]
    """
    if not non_negative:
        return np.asarray(np.linalg.solve(gram, cross), dtype=np.float64)
    factor = np.linalg.cholesky(gram)
    weights: NDArray[np.float64] = nnls(factor.T, np.linalg.solve(factor, cross))[0]
    return weights
