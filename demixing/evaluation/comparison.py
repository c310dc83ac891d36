"""Compares systems on the same songs: differences of scores, with confidence intervals.

Songs differ more than systems do, so scores are subtracted song by song, and the interval is that
of the mean difference. Silent and nearly silent references do not count, as in the rows ``active``
of :mod:`demixing.evaluation.report`: one of them can outweigh all others.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from demixing.evaluation.summary import Summary

RESAMPLES = 10_000
LEVEL = 0.95
"""Confidence level of the intervals."""

SEED = 0
"""The same scores have the same interval in every run."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Difference of two systems in one column.

    Attributes:
        mean_db: mean over songs of the second system's score minus the first's.
        interval_db: confidence interval of that mean; None for a single song.
        better: number of songs in which the second system is better.
        songs: number of songs with an active reference.
    """

    mean_db: float
    interval_db: tuple[float, float] | None
    better: int
    songs: int


def differences(
    first: Summary, second: Summary
) -> tuple[Difference | None, dict[str, Difference | None]]:
    """Compare two systems.

    Args:
        first: scores of one system.
        second: scores of another, on the same songs.

    Returns:
        The difference of the songs' means over active stems, and that of each stem; None where no
        reference is active.

    Raises:
        ValueError: the songs differ.
    """
    if [song.name for song in first.songs] != [song.name for song in second.songs]:
        raise ValueError("expected scores of the same songs")
    pairs = list(zip(first.songs, second.songs, strict=True))
    means = [
        after.active_mean_db - before.active_mean_db
        for before, after in pairs
        if before.active_mean_db is not None and after.active_mean_db is not None
    ]
    stems = {
        stem: [
            after.stems_db[stem] - before.stems_db[stem]
            for before, after in pairs
            if stem in before.active_db
        ]
        for stem in first.stems_db
    }
    return difference(means), {stem: difference(gains_db) for stem, gains_db in stems.items()}


def difference(gains_db: Sequence[float]) -> Difference | None:
    """Summarise the gains of all songs; None if there are none.

    The interval is that of the percentile bootstrap: songs are drawn with replacement.

    >>> difference([1.0, 3.0]).mean_db
    2.0
    """
    if not gains_db:
        return None
    gains = np.asarray(gains_db)
    return Difference(
        mean_db=math.fsum(gains_db) / len(gains_db),
        interval_db=_interval(gains) if len(gains) > 1 else None,
        better=int((gains > 0).sum()),
        songs=len(gains),
    )


def _interval(gains: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    """Percentile bootstrap of the mean."""
    counts = np.random.default_rng(SEED).multinomial(
        len(gains), np.full(len(gains), 1 / len(gains)), size=RESAMPLES
    )
    means = counts @ gains / len(gains)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def as_json(summaries: Mapping[str, Summary]) -> dict[str, object]:
    """All figures of a comparison with the first system, in types that JSON has."""
    names = list(summaries)
    first = summaries[names[0]]
    return {
        "systems": {
            name: {
                "mean_db": one.mean_db,
                "active_mean_db": one.active_mean.song_db,
                "active_stems_db": dict(one.active_mean.stems_db),
            }
            for name, one in summaries.items()
        },
        "songs": [song.name for song in first.songs],
        "confidence": LEVEL,
        "differences": {name: _plain(first, summaries[name]) for name in names[1:]},
    }


def _plain(first: Summary, second: Summary) -> dict[str, object]:
    """The differences of two systems as plain values; null where no reference is active."""
    mean, stems = differences(first, second)
    return {
        name: None
        if one is None
        else {
            "mean_db": one.mean_db,
            "interval_db": list(one.interval_db) if one.interval_db else None,
            "better": one.better,
            "songs": one.songs,
        }
        for name, one in {"mean": mean, **stems}.items()
    }
