"""Fits mixture consistency: shares of the stems in the difference to the mixture."""

from collections.abc import Sequence

import numpy as np

from demixing.recipes.recipe import Recipe
from demixing.training.fitting.blending import sdr_db
from demixing.training.fitting.estimates import leak_filtered, passed, shared, unshared
from demixing.training.fitting.groups import folds_of, shares_of, surely
from demixing.training.fitting.song_gram import MIXTURE, SongGram, audible

GRID = np.linspace(0.0, 1.0, 101)
WORTH_DB = 0.01
"""Least gain on songs left out; below it, a stem gets no share."""


def fit(recipe: Recipe, songs: Sequence[SongGram]) -> dict[str, float]:
    """Choose shares that gain on songs left out; their sum is at most 1.

    The leakage filter of the recipe is included, because it may remove a leak that a share brings
    back. Members with a doubt are not included, because they come after mixture consistency.

    Args:
        recipe: recipe with fitted weights; one with a residual has nothing to share.
        songs: songs on which no other member was trained; for each stem, only those in which it is
            known and not silent are used.

    Returns:
        Shares by stem, 0 to 1.
    """
    if recipe.residual:
        return {}
    result = {}
    made = [_made(recipe, song) for song in songs]
    for stem in recipe.track.stems:
        having = audible(made, stem)
        if len(folds_of(having)) < 2:
            continue
        scores = np.array([_scores_db(recipe, song, stem) for song in having])
        counts = shares_of(having)
        folds = [song.fold for song in having]
        total = counts @ scores
        others = [
            (total - counts[own] @ scores[own]).argmax()
            for own in ([one == fold for one in folds] for fold in folds)
        ]
        gains_db = scores[np.arange(len(having)), others] - scores[:, 0]
        if counts @ gains_db >= WORTH_DB and surely(gains_db, counts, folds):
            result[stem] = float(GRID[total.argmax()])
    whole = sum(result.values())
    return {stem: share / max(whole, 1.0) for stem, share in result.items()}


def _made(recipe: Recipe, song: SongGram) -> SongGram:
    """The song with the recipe's stems as its signals, for trying all shares."""
    own = {_name(stem): made for stem, made in unshared(recipe).items()}
    true = {stem: {stem: 1.0} for stem in recipe.track.stems if song.knows(stem)}
    return song.combined({MIXTURE: {MIXTURE: 1.0}, **true, **own})


def _name(stem: str) -> str:
    return f"made {stem}"


def _scores_db(recipe: Recipe, made: SongGram, stem: str) -> list[float]:
    """SDR in dB of a stem with each share of the grid, while the other stems have none."""
    stems = {one: {_name(one): 1.0} for one in recipe.track.stems}
    part = passed(recipe, made)
    return [
        sdr_db(
            made, stem, leak_filtered(shared(stems, {stem: share}, part), recipe.leaks, made)[stem]
        )
        for share in GRID
    ]
