"""A mean -> the range of ranks that it would have had on a leaderboard.

It is a range because some ranks are in no public source, and two sources may disagree about one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from demixing.evaluation.boards import Board, Row


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
    # Each known entry after one with a rank is at least one rank lower, with or without its own.
    ranked = [min(row.ranks) - at for at, row in enumerate(above, 1) if row.ranks]
    first = max([0, *ranked]) + len(above) + 1
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
