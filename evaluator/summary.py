"""Scores by song and stem -> the means that the board shows.

The score of a song is the plain mean over its stems, the score of a submission is the plain
mean over its songs, and so is each stem's column. A song counts the same however long it is.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evaluator.scoring import SongScore
from evaluator.songs import STEMS


@dataclass(frozen=True, slots=True)
class Summary:
    """What the board shows of one submission.

    Attributes:
        track: a key of :data:`evaluator.songs.STEMS`.
        songs: scores, sorted by name of song.
        mean_db: the score of the submission.
        stems_db: mean over the songs by stem, in the order of the board's columns.
    """

    track: str
    songs: tuple[SongScore, ...]
    mean_db: float
    stems_db: Mapping[str, float]


def summarise(scores: Iterable[SongScore], track: str) -> Summary:
    """Average scores as the board does; their order makes no difference.

    Args:
        scores: one per song, each with all stems of the track.
        track: a key of :data:`evaluator.songs.STEMS`.

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
    )


def _mean(values: Iterable[float]) -> float:
    """Plain mean; ``fsum`` rounds once, so that the order of the values cannot matter."""
    kept = list(values)
    return math.fsum(kept) / len(kept)
