"""The contest's leaderboards.

The figures are in ``boards.toml``, with a source and a degree of certainty for each. They are
incomplete: some ranks are in no public source, and two sources may disagree about a rank.
"""

import difflib
import functools
import itertools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from demixing.errors import EvaluationError
from demixing.evaluation.songs import STEMS

ANY_DATA = "any data"
"""What a board admits that has no rule about training data."""

CERTAINTIES = ("confirmed", "transcribed", "recalled")
"""Read in the source; read in notes that quote the source; remembered, only its sums checked."""


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
