"""Fit when a stem is silenced: a logistic curve over its level below the mixture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demixing.ensemble.gate import Gate
from demixing.evaluation.gram import Combination
from demixing.recipes.recipe import Recipe
from demixing.training.fitting.blending import sdr_db
from demixing.training.fitting.estimates import estimates
from demixing.training.fitting.groups import without_each
from demixing.training.fitting.song_gram import MIXTURE, SongGram

LEAST = 2
"""Songs with a silent stem, below which no gate is fitted for it."""

WORTH_DB = 0.001
"""A gate that gains less, in the mean over all songs, is not worth its risk."""

RIDGE = 0.05
"""Keeps the curve from becoming a step where the classes do not overlap."""


def fit(recipe: Recipe, songs: Sequence[SongGram], prior: float) -> dict[str, Gate]:
    """Fit a gate for each stem where it gains on songs left out.

    Args:
        recipe: with its blends and shares.
        songs: all of them; for each stem those count in which it is known. It must be silent in
            some and not in others.
        prior: part of all songs in which a stem is silent. Songs to fit on have more of them, or
            there would be nothing to learn from, so both kinds are weighed.
    """
    result = {}
    made = [estimates(recipe, song) for song in songs]
    for stem in recipe.track.stems:
        pairs = [pair for pair in zip(songs, made, strict=True) if pair[0].knows(stem)]
        examples = [_example(song, stem, own[stem]) for song, own in pairs]
        gate = of_examples(examples, prior)
        if gate is None:
            continue
        silent = np.array([one.silent for one in examples])
        share = np.where(silent, prior / max(silent.sum(), 1), (1 - prior) / (~silent).sum())
        gain_db = 0.0
        for own, rest in without_each([song for song, _ in pairs]):
            without = of_examples([examples[number] for number in rest], prior)
            for number in own:
                if without and without.silences(*examples[number].energies):
                    gain_db += float(share[number]) * (0.0 - examples[number].sdr_db)
        if gain_db >= WORTH_DB:
            result[stem] = gate
    return result


@dataclass(frozen=True, slots=True)
class Example:
    """A stem of a song: its estimate's and the mixture's energy, whether it is silent, its SDR."""

    energies: tuple[float, float]
    silent: bool
    sdr_db: float

    @property
    def level_db(self) -> float:
        """Level of the estimate relative to the mixture."""
        return 10 * math.log10((self.energies[0] + 1e-12) / (self.energies[1] + 1e-12))


def _example(song: SongGram, stem: str, own: Combination) -> Example:
    energies = song.energy(own), song.energy({MIXTURE: 1.0})
    return Example(energies, song.silent(stem), sdr_db(song, stem, own))


def of_examples(examples: Sequence[Example], prior: float) -> Gate | None:
    """Fit one gate; None if there is nothing to go by."""
    silent = np.array([one.silent for one in examples])
    if silent.sum() < LEAST or (~silent).sum() < LEAST:
        return None
    levels_db = np.array([one.level_db for one in examples])
    slope, offset = logistic(levels_db, silent)
    if slope >= 0:  # the silent ones are not quieter
        return None
    # The odds among the examples are not those among all songs.
    offset += math.log(prior / (1 - prior)) - math.log(silent.sum() / (~silent).sum())
    quiet = np.flatnonzero(~silent)
    quiet = quiet[levels_db[quiet].argsort()][: max(len(quiet) // 4, 1)]
    active_db = float(np.mean([examples[int(number)].sdr_db for number in quiet]))
    return Gate(midpoint_db=float(-offset / slope), width_db=float(-1 / slope), active_db=active_db)


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
