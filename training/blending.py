"""Weights of a blend in closed form, for the highest mean of dB over songs.

For one song the weights that leave the least energy of error solve a linear system. Over many
songs, the mean of their SDR is what the board scores, so each song's error is weighed by the
inverse of what is left of it, and solved again, round by round. A ridge draws the weights to the
plain mean, where the songs say too little.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from evaluator.metrics.sdr import DELTA
from training.moments import MIXTURE, Moments, shares_of

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
            the plain mean; the one that serves songs left out best is taken.
        mixture: whether the mixture itself may have a weight.
        non_negative: whether weights below zero are refused.
        mean_of_db: whether songs are weighed for the mean of their dB; else the loudest errors
            count most.
    """

    ridges: tuple[float, ...] = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
    mixture: bool = True
    non_negative: bool = False
    mean_of_db: bool = True


def sdr_db(moments: Moments, stem: str, estimate: Mapping[str, float]) -> float:
    """Official SDR of a weighted sum of signals, without the rounding to 16 bits."""
    error = moments.energy({**estimate, stem: estimate.get(stem, 0.0) - 1.0})
    return 10 * math.log10((moments.energy({stem: 1.0}) + DELTA) / (error + DELTA))


def mean_db(songs: Sequence[Moments], stem: str, estimate: Mapping[str, float]) -> float:
    """Mean over folders of the mean over their songs of :func:`sdr_db`."""
    return float(shares_of(songs) @ [sdr_db(song, stem, estimate) for song in songs])


def plain_mean(answers: Sequence[str]) -> dict[str, float]:
    """The blend that nobody fitted."""
    return dict.fromkeys(answers, 1 / len(answers))


def fit(
    songs: Sequence[Moments], stem: str, answers: Sequence[str], method: Method
) -> dict[str, float]:
    """Solve for the weights of ``answers``, and of the mixture, with the best ridge.

    Args:
        songs: in which the stem is not silent, at least one.
        stem: what the blend shall be.
        answers: names of signals.
        method: how.

    Returns:
        Weights by the names of the signals.
    """
    return solved(songs, stem, answers, method, best_ridge(songs, stem, answers, method))


def best_ridge(
    songs: Sequence[Moments], stem: str, answers: Sequence[str], method: Method
) -> float:
    """Choose the ridge by the scores of folds of songs left out.

    Of those that are not surely worse than the best, it is the largest: a few songs differ more
    by chance than by what suits them.
    """
    if len(method.ridges) == 1 or len(songs) < FOLDS:
        return max(method.ridges)
    counts = shares_of(songs)
    scores = np.zeros((len(method.ridges), len(songs)))
    for row, ridge in zip(scores, method.ridges, strict=True):
        for fold in range(FOLDS):
            others = [song for number, song in enumerate(songs) if number % FOLDS != fold]
            weights = solved(others, stem, answers, method, ridge)
            for number in range(fold, len(songs), FOLDS):
                row[number] = sdr_db(songs[number], stem, weights)
    best = scores[(scores @ counts).argmax()]
    return max(
        ridge
        for ridge, row in zip(method.ridges, scores, strict=True)
        if not surely(best - row, counts)
    )


def surely(gains_db: NDArray[np.float64], counts: NDArray[np.float64]) -> bool:
    """Whether a mean gain is larger than its own standard error, or than nothing if alike.

    Args:
        gains_db: of each song.
        counts: how much each counts, with a sum of 1.

    >>> surely(np.array([1.0, 1.2]), np.ones(2) / 2), surely(np.array([1.0, -0.9]), np.ones(2) / 2)
    (True, False)
    """
    mean = counts @ gains_db
    return bool(mean > np.sqrt(np.square(counts) @ np.square(gains_db - mean)) + 1e-9)


def solved(
    songs: Sequence[Moments], stem: str, answers: Sequence[str], method: Method, ridge: float
) -> dict[str, float]:
    """Solve as :func:`fit` does, with one ridge: see :class:`Method`."""
    names = [*answers, *([MIXTURE] if method.mixture else [])]
    prior = np.array([plain_mean(answers).get(name, 0.0) for name in names])
    grams = [song.among(names, names) for song in songs]
    crosses = [song.among(names, [stem])[:, 0] for song in songs]
    energies = [song.energy({stem: 1.0}) for song in songs]
    weights = prior
    for _ in range(ROUNDS if method.mean_of_db else 1):
        left = [1.0] * len(songs)
        if method.mean_of_db:
            left = [
                max(energy - 2 * weights @ cross + weights @ gram @ weights, 0.0)
                + FLOOR * energy
                + DELTA
                for gram, cross, energy in zip(grams, crosses, energies, strict=True)
            ]
        counts = shares_of(songs) / left
        gram = np.tensordot(counts, grams, axes=1)
        cross = np.tensordot(counts, crosses, axes=1)
        scale = ridge * np.trace(gram) / len(names) + 1e-12
        new = solve(gram + scale * np.eye(len(names)), cross + scale * prior, method.non_negative)
        if np.allclose(new, weights, rtol=0, atol=1e-6):
            break
        weights = new
    return dict(zip(names, map(float, weights), strict=True))


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


def left_out_db(
    songs: Sequence[Moments], stem: str, answers: Sequence[str], method: Method
) -> list[float]:
    """Score each song with the weights that the other songs ask for."""
    scores = []
    for number, song in enumerate(songs):
        others = [*songs[:number], *songs[number + 1 :]]
        weights = fit(others, stem, answers, method) if others else plain_mean(answers)
        scores.append(sdr_db(song, stem, weights))
    return scores
