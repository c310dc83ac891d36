"""The time for a song: its deadline, and how the time is divided among a recipe's members."""

import math
import os
import time
from collections.abc import Callable, Sequence

from demixing.errors import ConfigError
from demixing.recipes.tracks import Track

Clock = Callable[[], float]

TIME_VARIABLE = "DEMIX_TIME_LIMIT"
"""Environment variable: overrides the track's limit, in seconds per second of audio; or none."""

UNLIMITED = "none"
"""Value of that variable for no limit."""

USED = 0.85
"""Fraction of the limit that is planned; the rest is a margin, and for file input and output."""


class Deadline:
    """The time by which the stems of a song must be finished.

    Args:
        budget_s: seconds from now.
        clock: returns the time in seconds; tests replace it, so they never sleep.

    >>> ticks = iter([0.0, 3.0])
    >>> Deadline(10.0, clock=lambda: next(ticks)).remaining_s
    7.0
    """

    def __init__(self, budget_s: float, *, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self._end_s = clock() + budget_s

    def earlier(self, by_s: float) -> "Deadline":
        """This deadline, ``by_s`` seconds earlier."""
        return Deadline(self.remaining_s - by_s, clock=self.clock)

    @property
    def remaining_s(self) -> float:
        """Seconds left; negative once the deadline has passed."""
        return self._end_s - self.clock()


class TimeBudget:
    """Decides chunk by chunk which members of a recipe may still run on a song.

    Each member has a turn, in the order of priority. A chunk is allowed if it can be finished in
    time and leaves enough time for the remaining work of all earlier turns. So the first turn never
    starves, and the last one uses the time that is left.

    Costs are updated during the song. They include a margin, because the speed of a machine varies
    with its other processes.

    Args:
        deadline: of the song.
        chunks: number of chunks of each turn, in the order of priority.
        costs_s: expected cost per chunk of each turn, in seconds; NaN if unknown.
    """

    MARGIN = 1.25
    """A chunk is assumed to cost this many times as much as previous chunks."""

    HANG = 10
    """A chunk that takes this many times as long as expected is assumed to hang."""

    HANG_S = 2.0
    """Nothing is assumed to hang before this many seconds: a busy machine may pause."""

    MEMORY = 0.3
    """Weight of the latest chunk in the running mean of costs."""

    def __init__(
        self, deadline: Deadline, chunks: Sequence[int], costs_s: Sequence[float] = ()
    ) -> None:
        self.deadline = deadline
        self._left = list(chunks)
        self._cost_s = list(costs_s) or [math.nan] * len(chunks)
        self._kept = [1.0] * len(chunks)

    @property
    def costs_s(self) -> list[float]:
        """Current estimate of the cost per chunk of each turn; NaN if unknown."""
        return list(self._cost_s)

    @property
    def kept(self) -> list[float]:
        """Weight of the expected cost in each estimate, against measured costs: from 1 to 0."""
        return list(self._kept)

    def allows(self, turn: int, chunks: int) -> bool:
        """Whether there is time for a turn's next ``chunks`` chunks."""
        spare_s = self._spare_s(turn)
        return spare_s > 0 and chunks * self._expected_s(turn) <= spare_s

    def timeout_s(self, turn: int, chunks: int) -> float:
        """Seconds after which a turn's next ``chunks`` chunks are assumed to hang.

        Without a limit for the song, there is none for a chunk: a slow machine is no reason to drop
        a member.
        """
        spare_s = self._spare_s(turn)
        if spare_s == math.inf:
            return math.inf
        if math.isnan(self._cost_s[turn]):
            # The cost is unknown. If it hangs, the others must have some time left.
            return spare_s / 2
        return min(spare_s, max(self.HANG * chunks * self._expected_s(turn), self.HANG_S))

    def done(self, turn: int, chunks: int, spent_s: float | None = None) -> None:
        """Record that ``chunks`` chunks of a turn are done.

        Args:
            turn: index.
            chunks: number of chunks, separated or not.
            spent_s: seconds that they took; None if they were not separated.
        """
        self._left[turn] = max(self._left[turn] - chunks, 0)
        if spent_s is not None:
            each_s = spent_s / chunks
            known_s = self._cost_s[turn]
            unknown = math.isnan(known_s)
            self._cost_s[turn] = each_s if unknown else known_s + self.MEMORY * (each_s - known_s)
            self._kept[turn] *= 0.0 if unknown else 1 - self.MEMORY

    def retire(self, turn: int) -> None:
        """Record that a turn will do no more work, and release its time."""
        self._left[turn] = 0

    def _spare_s(self, turn: int) -> float:
        """Seconds left, minus the time that the turns before this one still need."""
        owed_s = sum(left * self._expected_s(index) for index, left in enumerate(self._left[:turn]))
        return self.deadline.remaining_s - owed_s

    def _expected_s(self, turn: int) -> float:
        """Assumed cost per chunk of a turn; 0 if unknown."""
        cost_s = self._cost_s[turn]
        return 0.0 if math.isnan(cost_s) else self.MARGIN * cost_s


def song_budget(track: Track, song_s: float) -> float:
    """Seconds allowed for separating a song.

    Args:
        track: has the grader's limit, which ``DEMIX_TIME_LIMIT`` in the environment overrides.
        song_s: length of the song.

    Returns:
        Seconds; infinity if the limit in the environment is :data:`UNLIMITED`.

    Raises:
        ConfigError: the limit in the environment is not a positive number.
    """
    if os.environ.get(TIME_VARIABLE) == UNLIMITED:
        return math.inf
    return USED * positive(TIME_VARIABLE, track.time_limit, f" or {UNLIMITED!r}") * song_s


def positive(variable: str, default: float, or_else: str = "") -> float:
    """Read a positive number from the environment.

    Args:
        variable: its name.
        default: value if it is not set.
        or_else: other allowed values, for the error message.

    Raises:
        ConfigError: it is not a positive number.
    """
    given = os.environ.get(variable)
    try:
        number = float(given) if given else default
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ConfigError(f"expected {variable} to be a positive number{or_else}, got {given!r}")
    return number
