"""Scores of songs that the weights were not fitted to, for tests of the fit."""

from collections.abc import Sequence

import numpy as np

from demixing.training.fitting.blending import Method, problem
from demixing.training.fitting.groups import without_each
from demixing.training.fitting.song_gram import SongGram


def left_out_db(
    songs: Sequence[SongGram], stem: str, answers: Sequence[str], method: Method
) -> list[float]:
    """SDR in dB of each song, with the weights that fit the songs of all other folds."""
    whole = problem(songs, stem, answers, method)
    scores = np.zeros(len(songs))
    for own, others in without_each(songs):
        weights = whole.prior
        if others:
            rest = whole.of(others)
            weights = rest.solved(method, rest.best_ridge(method))
        scores[own] = whole.of(own).scores_db(weights)
    return [float(score) for score in scores]
