"""Paired systems -> means, and differences with intervals and p-values.

Songs differ more than systems do, so scores are subtracted song by song. The column ``mean`` is,
for each song, the mean over its active stems. Silent and nearly silent references count in the
official mean only, since one of them can outweigh everything else; their differences are listed
apart and never tested.

With ``per_artist``, the means over the songs of each artist take the place of songs: in the means,
in the intervals and in the tests. Songs of one artist are not independent, and without it twelve
songs of one and one song of another weigh 12 to 1.

P-values of the means are corrected by Holm's procedure over all systems but the first, and p-values
of stems over all stems of all these systems: what is compared at once is tested at once.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from demixing.evaluation.comparison import bootstrap, holm, power, sign_flip
from demixing.evaluation.comparison.pairing import Paired
from demixing.evaluation.comparison.results import (
    MEAN,
    Comparison,
    Difference,
    Means,
    Move,
    Quiet,
    Versus,
)


def compare(paired: Paired, *, per_artist: bool = False) -> Comparison:
    """Compare all systems with the first one.

    Args:
        paired: their scores.
        per_artist: let each artist count once, instead of each song.
    """
    groups = paired.artists if per_artist else paired.songs
    tables = [_with_mean(np.where(paired.active, scores, np.nan)) for scores in paired.scores]
    versus = [
        _versus(paired, number, table - tables[0], groups)
        for number, table in enumerate(tables[1:], 1)
    ]
    return Comparison(
        paired=paired,
        per_artist=per_artist,
        means=[
            _means(paired, scores, per_group(table, groups))
            for scores, table in zip(paired.scores, tables, strict=True)
        ],
        versus=_corrected(versus),
    )


def _means(paired: Paired, scores: NDArray[np.float64], units: NDArray[np.float64]) -> Means:
    """The means of one system.

    Args:
        paired: scores of all systems.
        scores: its own, ``(songs, stems)``.
        units: the active ones, ``(units, columns)``.
    """
    columns = zip(_columns(paired), _plain(means_known(units)), strict=True)
    return Means(official=_official(scores), columns=dict(columns))


def _columns(paired: Paired) -> tuple[str, ...]:
    """Names of the columns."""
    return (MEAN, *paired.stems)


def _with_mean(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put the mean of each song before its stems: ``(songs, stems)`` to ``(songs, 1 + stems)``."""
    return np.column_stack([means_known(scores.T), scores])


def means_known(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over the first axis of what is not NaN; NaN where there is nothing.

    >>> print(means_known(np.array([[1.0, np.nan], [3.0, np.nan]])))
    [ 2. nan]
    """
    known = ~np.isnan(values)
    counts = known.sum(axis=0)
    sums = np.where(known, values, 0.0).sum(axis=0)
    return np.asarray(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))


def per_group(values: NDArray[np.float64], groups: Sequence[str]) -> NDArray[np.float64]:
    """Means over the rows of each group, ``(rows, columns)`` to ``(groups, columns)``.

    >>> print(per_group(np.array([[1.0], [3.0], [9.0]]), ["x", "x", "y"]).ravel())
    [2. 9.]
    """
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return np.array([means_known(values[own]) for own in rows.values()])


def _official(scores: NDArray[np.float64]) -> float | None:
    """Mean over all songs of the mean over all stems; None if a score is missing."""
    return None if np.isnan(scores).any() else float(scores.mean(axis=1).mean())


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    """Numbers; None in place of NaN."""
    return [None if np.isnan(value) else float(value) for value in values]


def _versus(
    paired: Paired, number: int, gains: NDArray[np.float64], groups: Sequence[str]
) -> Versus:
    """Compare one system with the first.

    Args:
        paired: scores of all systems.
        number: of the system.
        gains: differences, ``(songs, columns)``, NaN where a reference is not active.
        groups: the unit of each song.
    """
    sign = 1 if paired.systems[0].metric.higher_is_better else -1
    units = per_group(gains, groups)
    songs = (~np.isnan(gains)).sum(axis=0)
    columns = {
        name: _difference(units[:, column], int(songs[column]), sign)
        for column, name in enumerate(_columns(paired))
    }
    quiet = np.where(paired.quiet, paired.scores[number] - paired.scores[0], np.nan)
    return Versus(columns=columns, moves=_moves(paired, gains), quiet=_quiet(paired, quiet))


def _difference(units: NDArray[np.float64], songs: int, sign: int) -> Difference | None:
    """Summarise one column; None if there is nothing in it.

    Args:
        units: differences of all units, NaN where there is none.
        songs: number of songs in them.
        sign: -1 if lower scores are better.
    """
    gains = units[~np.isnan(units)]
    if not len(gains):
        return None
    p = sign_flip.p_value(gains)
    return Difference(
        mean=float(gains.mean()),
        interval=bootstrap.interval(gains),
        p=p,
        p_holm=p,
        better=int((sign * gains > 0).sum()),
        worse=int((sign * gains < 0).sum()),
        units=len(gains),
        songs=songs,
        smallest=power.smallest_difference(gains),
    )


def _moves(paired: Paired, gains: NDArray[np.float64]) -> list[Move]:
    """Differences of the songs, the largest first."""
    moves = [
        Move(
            song=name,
            mean=float(row[0]),
            stems={
                stem: float(gain)
                for stem, gain in zip(paired.stems, row[1:], strict=True)
                if not np.isnan(gain)
            },
        )
        for name, row in zip(paired.songs, gains, strict=True)
        if not np.isnan(row[0])
    ]
    return sorted(moves, key=lambda move: -move.mean)


def _quiet(paired: Paired, gains: NDArray[np.float64]) -> Quiet | None:
    """Differences at quiet references; gains are ``(songs, stems)``, NaN at all others."""
    known = ~np.isnan(gains)
    if not known.any():
        return None
    counts = known.sum(axis=0)
    means = means_known(gains)
    return Quiet(
        mean=float(gains[known].mean()),
        references=int(known.sum()),
        songs=int(known.any(axis=1).sum()),
        stems={
            stem: (float(means[column]), int(counts[column]))
            for column, stem in enumerate(paired.stems)
            if counts[column]
        },
    )


def _corrected(versus: Sequence[Versus]) -> list[Versus]:
    """Correct the p-values: those of means together, and those of stems together."""
    keys = [(number, name) for number, one in enumerate(versus) for name in one.columns]
    corrected: dict[tuple[int, str], float] = {}
    for family in (
        [key for key in keys if key[1] == MEAN],
        [key for key in keys if key[1] != MEAN],
    ):
        found = {key: one.p for key in family if (one := versus[key[0]].columns[key[1]])}
        corrected |= zip(found, holm.adjusted(list(found.values())), strict=True)
    return [
        replace(
            one,
            columns={
                name: column and replace(column, p_holm=corrected[number, name])
                for name, column in one.columns.items()
            },
        )
        for number, one in enumerate(versus)
    ]
