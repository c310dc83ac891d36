"""The scores of some songs -> the range of ranks that their mean would have had on a leaderboard.

The uncertainty from the choice of songs is the interval of :mod:`demixing.evaluation.comparison`:
the songs are resampled, and both ends of the interval are placed on the board. It does not cover
that the board's songs may be harder or easier as a whole.
"""

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from demixing.evaluation.board_place import Place, placed, ranks
from demixing.evaluation.boards import Board, Row
from demixing.evaluation.comparison import bootstrap

OTHER_SONGS = (
    "The board's songs are hidden and others than these: this is not the score that the board "
    "would have shown."
)
LISTENING_TEST = (
    "The listening test of MDX'23 ranked differently from SDR: kimberley_jensen 1st, ZFTurbo 2nd, "
    "SAMI-ByteDance 3rd (doi:10.5334/tismir.171)."
)
WIDTH = 100
"""Columns of the printed lines."""

FEW_SONGS = 10
"""With fewer songs, the interval is too narrow."""

ONE_SONG = "One song has no interval: it does not show how much other songs differ."


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Where the mean of some songs would have stood.

    Attributes:
        board: the leaderboard.
        mean_db: official score.
        songs: number of songs.
        place: of the mean.
        interval_db: 95 % confidence interval of the mean; None for a single song.
        worst: place of the interval's lower end; None without an interval.
        best: place of its upper end; None without an interval.
        active_mean_db: mean without silent references; None if all are active, or none is.
    """

    board: Board
    mean_db: float
    songs: int
    place: Place
    interval_db: tuple[float, float] | None
    worst: Place | None
    best: Place | None
    active_mean_db: float | None

    @property
    def interval_ranks(self) -> str | None:
        """The range of ranks of the interval in words; None without an interval."""
        if self.best is None or self.worst is None:
            return None
        return ranks(self.best.first, self.worst.last)


def predicted(
    board: Board, means_db: Sequence[float], active_mean_db: float | None = None
) -> Prediction:
    """Place the mean of some songs on a board.

    Args:
        board: of the songs' track.
        means_db: official score of each song, at least one.
        active_mean_db: mean without silent and nearly silent references; None if there is none.
    """
    interval_db = bootstrap.interval(np.asarray(means_db))
    mean_db = math.fsum(means_db) / len(means_db)
    low, high = interval_db or (None, None)
    return Prediction(
        board=board,
        mean_db=mean_db,
        songs=len(means_db),
        place=placed(board, mean_db),
        interval_db=interval_db,
        worst=None if low is None else placed(board, low),
        best=None if high is None else placed(board, high),
        active_mean_db=None if active_mean_db == mean_db else active_mean_db,
    )


def lines(found: Prediction) -> Iterator[str]:
    """Describe a prediction for people, with what it does not say."""
    for sentence in _sentences(found):
        yield from textwrap.wrap(
            sentence,
            WIDTH,
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _sentences(found: Prediction) -> Iterator[str]:
    """A heading, and facts below it that are indented by two."""
    board = found.board
    yield f"A mean of {found.mean_db:.3f} dB on {board.title} ({board.training}):"
    yield f"  {found.place.ranks}, {found.place}"
    for row in board.rows:
        if row.baseline:
            side = "below" if found.mean_db < row.mean_db else "above"
            yield f"  {side} the {row}"
    if found.interval_db is None:
        yield f"  {ONE_SONG}"
    else:
        low, high = found.interval_db
        narrow = (
            f", too narrow with fewer than {FEW_SONGS} songs" if found.songs < FEW_SONGS else ""
        )
        yield (
            f"  {found.interval_ranks} for the 95 % interval over these {found.songs} songs, "
            f"{low:.3f} to {high:.3f} dB{narrow}"
        )
    if found.active_mean_db is not None:
        yield (
            f"  {placed(board, found.active_mean_db).ranks} for {found.active_mean_db:.3f} dB, the "
            "mean without silent references (the board counts such references, too)"
        )
    yield f"  {OTHER_SONGS}"
    yield f"  {LISTENING_TEST}"


def as_json(found: Prediction) -> dict[str, object]:
    """A prediction in types that JSON has."""
    return {
        "name": found.board.name,
        "title": found.board.title,
        "mean_db": found.mean_db,
        "songs": found.songs,
        "place": _place(found.place),
        "interval_db": list(found.interval_db) if found.interval_db else None,
        "interval_place": _interval(found),
        "active_mean_db": found.active_mean_db,
        "active_place": None
        if found.active_mean_db is None
        else _place(placed(found.board, found.active_mean_db)),
        "no_interval": None if found.interval_db else ONE_SONG,
        "caveats": [OTHER_SONGS, LISTENING_TEST],
    }


def _interval(found: Prediction) -> dict[str, object] | None:
    """The ranks of the interval."""
    if found.best is None or found.worst is None:
        return None
    return {"first": found.best.first, "last": found.worst.last, "ranks": found.interval_ranks}


def _place(place: Place) -> dict[str, object]:
    """One place; ``last`` is null if it is below all known ranks."""
    return {
        "first": place.first,
        "last": place.last,
        "ranks": place.ranks,
        "above": _row(place.above),
        "below": _row(place.below),
        "unknown": list(place.unknown),
    }


def _row(row: Row | None) -> dict[str, object] | None:
    """An entry of the board."""
    if row is None:
        return None
    return {"team": row.team, "mean_db": row.mean_db, "ranks": list(row.ranks)}
