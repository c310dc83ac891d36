"""Scores by song and stem -> the means of the leaderboard, and means without silent references.

The score of a song is the plain mean over its stems. The score of a submission is the plain mean
over its songs, and so is each stem's column. All songs count the same, regardless of length.

One silent reference can cost a submission more than everything it does well, so the same figures
are also computed over active references alone: see :class:`Figures`.

Further metrics are averaged in the same way, over the values that exist: see :class:`Averages`.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from demixing.evaluation.scoring import SongScore
from demixing.evaluation.songs import STEMS


@dataclass(frozen=True, slots=True)
class Figures:
    """One row below the songs, over the stems with an active reference.

    Attributes:
        song_db: mean or median over songs, of the mean of each song's active stems; None if no
            reference is active.
        stems_db: mean or median over songs, by stem; None where no reference is active.
    """

    song_db: float | None
    stems_db: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Averages:
    """Values of one metric, and their mean or median.

    Attributes:
        mean: over the stems of a song, or over songs of that; None if nothing is defined.
        stems: by stem; None where nothing is defined.
    """

    mean: float | None
    stems: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """One metric besides the official one; undefined values are left out of all means.

    Attributes:
        songs: values and their mean over stems, by name of song.
        all: means over songs.
        active_mean: the same without silent and nearly silent references.
        active_median: medians instead of those means.
    """

    songs: Mapping[str, Averages]
    all: Averages
    active_mean: Averages
    active_median: Averages


@dataclass(frozen=True, slots=True)
class Summary:
    """What the leaderboard shows of one submission.

    Attributes:
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        songs: scores, sorted by name of song.
        mean_db: score of the submission.
        stems_db: mean over songs by stem, in the order of the leaderboard's columns.
        active_mean: the same means without silent and nearly silent references.
        active_median: medians instead of those means.
        further: other metrics, by name.
    """

    track: str
    songs: tuple[SongScore, ...]
    mean_db: float
    stems_db: Mapping[str, float]
    active_mean: Figures
    active_median: Figures
    further: Mapping[str, MetricSummary] = field(default_factory=dict)

    def _repr_html_(self) -> str:
        """The table in a notebook."""
        from demixing.evaluation import html_table

        return html_table.of_summary(self)


def summarise(scores: Iterable[SongScore], track: str) -> Summary:
    """Average scores as the leaderboard does; their order does not matter.

    Args:
        scores: one per song, each with all stems of the track.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.

    Raises:
        ValueError: there are no scores, or two of one song.
    """
    songs = tuple(sorted(scores, key=lambda score: score.name))
    if not songs:
        raise ValueError("expected the score of at least one song, got none")
    names = {score.name for score in songs}
    if len(names) < len(songs):
        raise ValueError(f"expected one score per song, got {len(songs)} of {len(names)} songs")
    return Summary(
        track=track,
        songs=songs,
        mean_db=_mean(score.mean_db for score in songs),
        stems_db={stem: _mean(score.stems_db[stem] for score in songs) for stem in STEMS[track]},
        active_mean=_active(songs, track, _mean),
        active_median=_active(songs, track, statistics.median),
        further={name: _further(songs, name, track) for name in songs[0].further},
    )


def _further(songs: Iterable[SongScore], name: str, track: str) -> MetricSummary:
    """Average one metric.

    Args:
        songs: scores that have it.
        name: of the metric.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
    """
    values = {song.name: song.further[name] for song in songs}
    active = [{stem: values[song.name][stem] for stem in song.active} for song in songs]
    return MetricSummary(
        songs={song: Averages(_over_defined(row.values()), row) for song, row in values.items()},
        all=_over_songs(values.values(), track, _mean),
        active_mean=_over_songs(active, track, _mean),
        active_median=_over_songs(active, track, statistics.median),
    )


def _over_songs(
    rows: Iterable[Mapping[str, float | None]],
    track: str,
    middle: Callable[[list[float]], float],
) -> Averages:
    """Mean or median over songs: of each song's mean, and of each stem.

    Args:
        rows: values of each song by stem; stems may be missing.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        middle: mean or median.
    """
    kept = list(rows)
    return Averages(
        mean=_over_defined((_over_defined(row.values()) for row in kept), middle),
        stems={
            stem: _over_defined((row.get(stem) for row in kept), middle) for stem in STEMS[track]
        },
    )


def _active(
    songs: Iterable[SongScore], track: str, middle: Callable[[list[float]], float]
) -> Figures:
    """One row over active references.

    Args:
        songs: scores.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        middle: mean or median.
    """
    stems: dict[str, list[float]] = {stem: [] for stem in STEMS[track]}
    means_db = []
    for song in songs:
        for stem, score_db in song.active_db.items():
            stems[stem].append(score_db)
        if song.active_mean_db is not None:
            means_db.append(song.active_mean_db)
    return Figures(
        song_db=middle(means_db) if means_db else None,
        stems_db={stem: middle(scores) if scores else None for stem, scores in stems.items()},
    )


def _over_defined(
    values: Iterable[float | None], middle: Callable[[list[float]], float] | None = None
) -> float | None:
    """Mean, or another middle, of the defined values; None if there are none."""
    defined = [value for value in values if value is not None]
    return (middle or _mean)(defined) if defined else None


def _mean(values: Iterable[float]) -> float:
    """Plain mean; ``fsum`` rounds once, so the order of the values does not matter."""
    kept = list(values)
    return math.fsum(kept) / len(kept)
