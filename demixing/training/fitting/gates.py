"""Fits the gates that silence stems: a logistic curve over the level relative to the mixture."""

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
"""Least number of songs with a silent stem, and of songs without, for a fit."""

WORTH_DB = 0.001
"""Least mean gain over all songs; below it, a gate is not used."""

RIDGE = 0.05
"""Ridge of the regression, which bounds the slope if the classes do not overlap."""


def fit(recipe: Recipe, songs: Sequence[SongGram], prior: float) -> dict[str, Gate]:
    """Fit a gate for each stem for which it gains on songs left out.

    Args:
        recipe: recipe with fitted weights and mixture consistency.
        songs: all songs; for each stem, those in which it is known are used. It must be silent in
            some and not in others.
        prior: part of all songs in which a stem is silent, 0 to 1. It is higher in the songs for a
            fit, so both kinds of songs are weighted.

    Returns:
        Gates by stem.
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
    """A stem of a song.

    Attributes:
        energies: energies of the estimate and of the mixture.
        silent: whether the true stem is silent.
        sdr_db: SDR of the estimate.
    """

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
    """Fit one gate; None if there are too few examples, or silent estimates are not quieter."""
    silent = np.array([one.silent for one in examples])
    if silent.sum() < LEAST or (~silent).sum() < LEAST:
        return None
    levels_db = np.array([one.level_db for one in examples])
    slope, offset = logistic(levels_db, silent)
    if slope >= 0:  # silent stems are not quieter
        return None
    # The odds among the examples differ from those among all songs.
    offset += math.log(prior / (1 - prior)) - math.log(silent.sum() / (~silent).sum())
    quiet = np.flatnonzero(~silent)
    quiet = quiet[levels_db[quiet].argsort()][: max(len(quiet) // 4, 1)]
    active_db = float(np.mean([examples[int(number)].sdr_db for number in quiet]))
    return Gate(midpoint_db=float(-offset / slope), width_db=float(-1 / slope), active_db=active_db)


def logistic(x: NDArray[np.float64], yes: NDArray[np.bool_]) -> tuple[float, float]:
    """Fit ``P(yes) = 1 / (1 + exp(-(slope x + offset)))`` by Newton's method.

    Args:
        x: ``(examples,)``.
        yes: ``(examples,)``.

    Returns:
        Slope and offset.

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
