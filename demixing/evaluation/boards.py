"""The contest's leaderboards, and where a mean would have stood on one of them.

The figures are in ``boards.toml``, with a source and a degree of certainty for each. They are
incomplete: some ranks are in no public source, and two sources may disagree about a rank. So
:func:`placed` returns a range of ranks.
"""

import difflib
import functools
import itertools
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from demixing.errors import EvaluationError
from demixing.evaluation.songs import STEMS

ANY_DATA = "any data"
"""What a board admits that has no rule about training data."""

CERTAINTIES = ("confirmed", "transcribed", "recalled")
"""Read in the source; read in notes that quote the source; remembered, only its sums checked."""

OTHER_SONGS = (
    "The board's songs are hidden and others than these: this is not the score that the board "
    "would have shown."
)
LISTENING_TEST = (
    "The listening test of MDX'23 ranked otherwise than SDR: kimberley_jensen 1st, ZFTurbo 2nd, "
    "SAMI-ByteDance 3rd (doi:10.5334/tismir.171)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One entry of a board.

    Attributes:
        team: name of the team.
        mean_db: its score.
        certainty: one of :data:`CERTAINTIES`.
        source: where the figures were published.
        stems_db: score by stem, in the board's order; empty if not known.
        rank: from 1; None if it is not known, or for a baseline.
        other_rank: what another source states; None if none does.
        baseline: whether it is the organisers' system, which has no rank.
        decimals: digits of the mean after the point.
        stem_decimals: digits of the stems; None: those of the mean.
        averages: whether the stems' mean is ``mean_db``.
    """

    team: str
    mean_db: float
    certainty: str
    source: str
    stems_db: tuple[float, ...] = ()
    rank: int | None = None
    other_rank: int | None = None
    baseline: bool = False
    decimals: int = 3
    stem_decimals: int | None = None
    averages: bool = True

    @property
    def ranks(self) -> tuple[int, ...]:
        """All ranks that sources state."""
        return tuple(rank for rank in (self.rank, self.other_rank) if rank is not None)

    def __str__(self) -> str:
        score = f"{self.team} {self.mean_db:.{self.decimals}f}"
        if self.ranks:
            return f"rank {' or '.join(map(str, self.ranks))} ({score})"
        return score if self.baseline else f"{score} (rank unknown)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One leaderboard.

    Attributes:
        name: such as ``mdx23-c``.
        contest: its full name.
        year: of the contest.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.
        letter: name of the board within its contest.
        training: the training data that it admits, in words.
        rows: known entries, best mean first.
    """

    name: str
    contest: str
    year: int
    track: str
    letter: str
    training: str
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """Short name for people.

        >>> named("C", "mdx").title
        "MDX'23 C"
        """
        return f"{self.track.upper()}'{self.year % 100} {self.letter}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a mean would have stood.

    Attributes:
        first: best possible rank.
        last: worst possible rank; None if the mean is below all known ranks.
        above: the nearest known entry that is at least as good; None if there is none.
        below: the nearest known entry that is worse; None if there is none.
        unknown: ranks between these two that no source has.
    """

    first: int
    last: int | None
    above: Row | None
    below: Row | None
    unknown: tuple[int, ...]

    @property
    def ranks(self) -> str:
        """The range of ranks in words, such as ``rank 4 or 5``."""
        return ranks(self.first, self.last)

    def __str__(self) -> str:
        if self.above is None:
            return f"above {self.below}"
        where = f"below {self.above}"
        if self.below is not None:
            where = f"between {self.above} and {self.below}"
        if not self.unknown:
            return where
        many = len(self.unknown) > 1
        listed = " and ".join(map(str, self.unknown)) if len(self.unknown) < 4 else "those between"
        return f"{where}; {'ranks' if many else 'rank'} {listed} {'are' if many else 'is'} unknown"


def ranks(first: int, last: int | None) -> str:
    """A range of ranks in words.

    >>> ranks(2, 2), ranks(4, 5), ranks(3, 6), ranks(9, None)
    ('rank 2', 'rank 4 or 5', 'ranks 3 to 6', 'rank 9 or lower')
    """
    if last is None:
        return f"rank {first} or lower"
    if last - first > 1:
        return f"ranks {first} to {last}"
    return f"rank {first}" if first == last else f"rank {first} or {last}"


def placed(board: Board, mean_db: float) -> Place:
    """Where a mean would have stood on a board.

    An equal mean counts as better. The entries between two known ranks may be on either side of the
    mean, and so the place is a range.

    Args:
        board: with at least one ranked entry.
        mean_db: official SDR, mean over stems and songs.

    Raises:
        ValueError: the mean is not a number.
    """
    if math.isnan(mean_db):
        raise ValueError("expected a mean in dB, got nan")
    entries = [row for row in board.rows if not row.baseline]
    above = [row for row in entries if row.mean_db >= mean_db]
    below = entries[len(above) :]
    least = [min(row.ranks) for row in above if row.ranks]
    first = max([*least, len(above)]) + 1
    return Place(
        first=first,
        last=_last(first, above, below),
        above=above[-1] if above else None,
        below=below[0] if below else None,
        unknown=_gap(above, below),
    )


def _last(first: int, above: Sequence[Row], below: Sequence[Row]) -> int | None:
    """The worst possible rank; None if no entry below has one."""
    at = next((at for at, row in enumerate(below) if row.ranks), None)
    if at is None:
        return None
    # Sources may state two ranks for an entry: the larger one pushes down what follows.
    after = [rank + 1 for rank in (above[-1].ranks if above else ())]
    return max(first, max(below[at].ranks) - at, *after)


def _gap(above: Sequence[Row], below: Sequence[Row]) -> tuple[int, ...]:
    """Ranks between the nearest entries above and below that no source has."""
    if not below or not below[0].rank:
        return ()
    start = max((row.rank for row in above if row.rank), default=0)
    return tuple(range(start + 1, below[0].rank))


@functools.cache
def boards() -> Mapping[str, Board]:
    """All boards by name, in the order of the file.

    Raises:
        EvaluationError: the file is missing or wrong.
    """
    try:
        text = resources.files(__package__).joinpath("boards.toml").read_text(encoding="utf-8")
    except OSError as error:
        raise EvaluationError(
            f"cannot read the leaderboards, boards.toml ({error.strerror}); install the package "
            "again"
        ) from error
    return read(text)


def read(text: str) -> dict[str, Board]:
    """Read boards from TOML.

    Args:
        text: a table per board, with a list ``rows``.

    Returns:
        Boards by name.

    Raises:
        EvaluationError: the text is not TOML, or a key is missing, unknown or of a wrong type.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EvaluationError(f"expected TOML in boards.toml: {error}; correct it") from error
    return {name: _board(name, table) for name, table in tables.items()}


def _board(name: str, table: Mapping[str, Any]) -> Board:
    """Read one board."""
    where = f"board {name!r} in boards.toml"
    fields = _typed(where, table, _BOARD)
    if fields["track"] not in STEMS:
        raise _wrong(where, f"a track of {' or '.join(STEMS)}", fields["track"])
    stems = len(STEMS[fields["track"]])
    found = [_row(f"row {at} of {where}", one, stems) for at, one in enumerate(fields["rows"], 1)]
    if not any(row.ranks for row in found):
        raise _wrong(where, "at least one row with a rank", f"{len(found)} without")
    found.sort(key=lambda row: -row.mean_db)
    ranked = [row.rank for row in found if row.rank]
    if any(one >= other for one, other in itertools.pairwise(ranked)):
        raise _wrong(where, "ranks in the order of the means", ranked)
    return Board(name=name, **{**fields, "rows": tuple(found)})


def _row(where: str, table: Any, stems: int) -> Row:
    """Read one row."""
    if not isinstance(table, dict):
        raise _wrong(where, "a table", table)
    fields = _typed(where, table, _ROW)
    if fields["certainty"] not in CERTAINTIES:
        raise _wrong(where, f"a certainty of {', '.join(CERTAINTIES)}", fields["certainty"])
    scores = fields.get("stems_db", [])
    if len(scores) not in (0, stems) or not all(isinstance(one, float) for one in scores):
        raise _wrong(where, f"{stems} numbers in stems_db", scores)
    return Row(**{**fields, "stems_db": tuple(scores)})


_BOARD = {"contest": str, "year": int, "track": str, "letter": str, "training": str, "rows": list}
_ROW = {
    "team": str,
    "mean_db": float,
    "certainty": str,
    "source": str,
    "stems_db": list,
    "rank": int,
    "other_rank": int,
    "baseline": bool,
    "decimals": int,
    "stem_decimals": int,
    "averages": bool,
}
_REQUIRED = {*_BOARD, "team", "mean_db", "certainty", "source"}


def _typed(where: str, table: Mapping[str, Any], types: Mapping[str, type]) -> dict[str, Any]:
    """Check keys and types of a table."""
    for key in types:
        if key in _REQUIRED and key not in table:
            raise _wrong(where, f"the key {key!r}", f"only {', '.join(table) or 'none'}")
    for key, value in table.items():
        if key not in types:
            raise _wrong(where, f"keys of {', '.join(types)}", key)
        if type(value) is not types[key]:  # True is an int, too
            raise _wrong(where, f"{types[key].__name__} for {key!r}", value)
    return dict(table)


def _wrong(where: str, expected: str, came: object) -> EvaluationError:
    return EvaluationError(f"expected {expected} in {where}, got {came!r}; correct it")


def named(name: str, track: str) -> Board:
    """Find a board of a track.

    Args:
        name: a full name such as ``mdx23-c``, or the letter of a board of the newest contest; in
            upper or lower case.
        track: a key of :data:`demixing.evaluation.songs.STEMS`.

    Raises:
        EvaluationError: there is no such board, or it is of the other track.
    """
    wanted = name.lower()
    own = [board for board in boards().values() if board.track == track]
    for board in sorted(own, key=lambda board: -board.year):
        if wanted in (board.name, board.letter.lower()):
            return board
    choices = [board.name for board in own]
    close = difflib.get_close_matches(wanted, choices, n=1)
    other = next(
        (one for one in boards().values() if wanted in (one.name, one.letter.lower())), None
    )
    wrong = f"is a board of the track {other.track!r}" if other else "is no board"
    letters = sorted({board.letter for board in own})
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise EvaluationError(
        f"{name!r} {wrong}: expected {', '.join(letters)}, or {', '.join(choices)} for the track "
        f"{track!r}{hint}"
    )
