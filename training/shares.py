"""Fit each stem's share in what all stems leave of the mixture."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from my_submission.recipe import Recipe
from training.blending import sdr_db, surely
from training.moments import MIXTURE, Moments, shares_of

GRID = np.linspace(0.0, 1.0, 101)
WORTH_DB = 0.01
"""A share that gains less on songs left out is not worth a line in the recipe."""

Signals = Callable[[Recipe, str], Mapping[str, float]]


def left_of(recipe: Recipe, signals_of: Signals) -> dict[str, float]:
    """What all stems leave of the mixture, as weights of signals."""
    left = {MIXTURE: 1.0}
    for stem in recipe.track.stems:
        for name, weight in signals_of(recipe, stem).items():
            left[name] = left.get(name, 0.0) - weight
    return left


def applied(recipe: Recipe, stem: str, signals_of: Signals) -> dict[str, float]:
    """A stem with its share, as weights of signals."""
    result = dict(signals_of(recipe, stem))
    share = recipe.consistency.get(stem, 0.0)
    if share:
        for name, weight in left_of(recipe, signals_of).items():
            result[name] = result.get(name, 0.0) + share * weight
    return result


def fit(recipe: Recipe, songs: Sequence[Moments], signals_of: Signals) -> dict[str, float]:
    """Choose shares that gain on songs left out; together they are at most 1.

    Args:
        recipe: with its blends; one with a residual has nothing to share.
        songs: all of them; for each stem those count in which it is not silent.
        signals_of: what the recipe makes a stem of.
    """
    if recipe.residual:
        return {}
    left = left_of(recipe, signals_of)
    result = {}
    for stem in recipe.track.stems:
        having = [song for song in songs if not song.silent(stem)]
        own = signals_of(recipe, stem)

        def shared(share: float, own: Mapping[str, float] = own) -> dict[str, float]:
            names = {*own, *left}
            return {name: own.get(name, 0.0) + share * left.get(name, 0.0) for name in names}

        scores = np.array([[sdr_db(one, stem, shared(share)) for share in GRID] for one in having])
        if len(having) < 2:
            continue
        counts = shares_of(having)
        total = counts @ scores
        others = (total - counts[:, None] * scores).argmax(axis=1)
        gains_db = scores[np.arange(len(having)), others] - scores[:, 0]
        if counts @ gains_db >= WORTH_DB and surely(gains_db, counts):
            result[stem] = float(GRID[total.argmax()])
    whole = sum(result.values())
    return {stem: share / max(whole, 1.0) for stem, share in result.items()}
