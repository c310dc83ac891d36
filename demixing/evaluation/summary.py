"""Scores by song and stem -> the means that the board shows, and what they hide.

The score of a song is the plain mean over its stems, the score of a submission is the plain
mean over its songs, and so is each stem's column. A song counts the same however long it is.

One silent reference can cost a submission more than all that it does well, so the same figures
are also taken over the references that sound: see :class:`Figures`.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from demixing.evaluation.scoring import SongScore
from demixing.evaluation.songs import STEMS


@dataclass(frozen=True, slots=True)
class Figures:
    """One row below the songs, over the stems whose reference sounds.

    Attributes:
        song_db: over the songs, each of which is the mean of its sounding stems; None if no
            reference sounds.
        stems_db: over the songs by stem; None where no reference of the stem sounds.
    """

    song_db: float | None
    stems_db: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What the board shows of one submission.

    Attributes:
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        songs: scores, sorted by name of song.
        mean_db: the score of the submission.
        stems_db: mean over the songs by stem, in the order of the board's columns.
        sounding_mean: the same means without references that are silent or nearly so.
        sounding_median: medians in place of those means.
    """

    track: str
    songs: tuple[SongScore, ...]
    mean_db: float
    stems_db: Mapping[str, float]
    sounding_mean: Figures
    sounding_median: Figures


def summarise(scores: Iterable[SongScore], track: str) -> Summary:
    """Average scores as the board does; their order makes no difference.

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
        sounding_mean=_sounding(songs, track, _mean),
        sounding_median=_sounding(songs, track, statistics.median),
    )


def _sounding(
    songs: Iterable[SongScore], track: str, middle: Callable[[list[float]], float]
) -> Figures:
    """Take the middle of each column over the references that sound."""
    stems: dict[str, list[float]] = {stem: [] for stem in STEMS[track]}
    means_db = []
    for song in songs:
        for stem, score_db in song.sounding_db.items():
            stems[stem].append(score_db)
        if song.sounding_mean_db is not None:
            means_db.append(song.sounding_mean_db)
    return Figures(
        song_db=middle(means_db) if means_db else None,
        stems_db={stem: middle(scores) if scores else None for stem, scores in stems.items()},
    )


def _mean(values: Iterable[float]) -> float:
    """Plain mean; ``fsum`` rounds once, so that the order of the values cannot matter."""
    kept = list(values)
    return math.fsum(kept) / len(kept)
