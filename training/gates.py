"""Fit when a stem is silenced: a logistic curve over its level below the mixture."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from my_submission.gate import Gate
from my_submission.recipe import Recipe
from training.blending import sdr_db
from training.moments import MIXTURE, Moments

LEAST = 2
"""Songs with a silent stem, below which no gate is fitted for it."""

RIDGE = 0.05
"""Keeps the curve from becoming a step where the classes do not overlap."""

Signals = Callable[[Recipe, str], Mapping[str, float]]


def fit(recipe: Recipe, songs: Sequence[Moments], signals_of: Signals) -> dict[str, Gate]:
    """Fit a gate for each stem that is silent in some songs and not in others."""
    result = {}
    for stem in recipe.track.stems:
        own = signals_of(recipe, stem)
        levels_db = np.array([level_db(song, own) for song in songs])
        silent = np.array([song.silent(stem) for song in songs])
        if silent.sum() < LEAST or (~silent).sum() < LEAST:
            continue
        slope, offset = logistic(levels_db, silent)
        if slope >= 0:  # the silent ones are not quieter: nothing to go by
            continue
        quiet = np.flatnonzero(~silent)
        quiet = quiet[levels_db[quiet].argsort()][: max(len(quiet) // 4, 1)]
        active_db = float(np.mean([sdr_db(songs[int(number)], stem, own) for number in quiet]))
        result[stem] = Gate(
            midpoint_db=float(-offset / slope), width_db=float(-1 / slope), active_db=active_db
        )
    return result


def level_db(song: Moments, estimate: Mapping[str, float]) -> float:
    """Level of an estimate relative to the mixture."""
    mixture = song.energy({MIXTURE: 1.0})
    return 10 * math.log10((song.energy(estimate) + 1e-12) / (mixture + 1e-12))


def logistic(x: NDArray[np.float64], yes: NDArray[np.bool_]) -> tuple[float, float]:
    """Fit ``P(yes) = 1 / (1 + exp(-(slope x + offset)))`` by Newton's method.

    >>> levels_db = np.array([-50.0, -40, -42, -20, -10, -43])
    >>> slope, offset = logistic(levels_db, np.array([1, 1, 0, 0, 0, 1]) > 0)
    >>> slope < 0, -50 < -offset / slope < -20
    (True, True)
    """
    middle, spread = x.mean(), x.std() + 1e-9
    design = np.stack([(x - middle) / spread, np.ones_like(x)], axis=1)
    weights = np.zeros(2)
    for _ in range(100):
        chance = 1 / (1 + np.exp(-design @ weights))
        slope = design.T @ (yes - chance) - RIDGE * weights * [1, 0]
        curve = (design * (chance * (1 - chance))[:, None]).T @ design + RIDGE * np.eye(2)
        weights = weights + np.linalg.solve(curve, slope)
    return float(weights[0] / spread), float(weights[1] - weights[0] * middle / spread)
