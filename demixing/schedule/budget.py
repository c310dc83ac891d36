"""Time: a moment after which no work may start, and who may still work before it."""

import math
import os
import time
from collections.abc import Callable, Sequence

from demixing.errors import ConfigError
from demixing.tracks import Track

Clock = Callable[[], float]

TIME_VARIABLE = "DEMIX_TIME_LIMIT"
"""Environment variable that overrules the track's limit: seconds per second of audio, or none."""

UNLIMITED = "none"
"""Value of that variable with which a song may take as long as it takes."""


USED = 0.85
"""Of the limits; the rest is for reading and writing the files, and for surprises."""


class Deadline:
    """A moment by which the answer must be there.

    Args:
        budget_s: seconds from now.
        clock: returns seconds; replaced in tests so that they never sleep.

    >>> ticks = iter([0.0, 3.0])
    >>> Deadline(10.0, clock=lambda: next(ticks)).remaining_s
    7.0
    """

    def __init__(self, budget_s: float, *, clock: Clock = time.monotonic) -> None:
        self.clock = clock
        self._end_s = clock() + budget_s

    def earlier(self, by_s: float) -> "Deadline":
        """This deadline, moved forward by ``by_s`` seconds."""
        return Deadline(self.remaining_s - by_s, clock=self.clock)

    @property
    def remaining_s(self) -> float:
        """Seconds left; negative once the deadline has passed."""
        return self._end_s - self.clock()


class TimeBudget:
    """Decides chunk by chunk which members of a recipe may still work on a song.

    Members take turns in the order of their worth. A chunk is allowed if it can end in time and
    still leaves enough for all that the turns before it have to do in the rest of the song. So
    the first never starves, and the last uses what is left over.

    Costs are corrected on the way, with a margin, since a machine that other processes use too is
    not equally fast all the time.

    Args:
        deadline: of the song.
        chunks: how many each turn will be asked for, in the order of their worth.
        costs_s: what a chunk of each is expected to cost in seconds; NaN where nobody knows.
    """

    MARGIN = 1.25
    """A chunk is taken to cost so many times what the chunks before it did."""

    HANG = 10
    """A chunk that takes so many times what is expected is taken to hang."""

    HANG_S = 2.0
    """Nothing is taken to hang before so many seconds: a busy machine stumbles."""

    MEMORY = 0.3
    """Weight of the newest chunk in the running mean of costs."""

    def __init__(
        self, deadline: Deadline, chunks: Sequence[int], costs_s: Sequence[float] = ()
    ) -> None:
        self.deadline = deadline
        self._left = list(chunks)
        self._cost_s = list(costs_s) or [math.nan] * len(chunks)
        self._kept = [1.0] * len(chunks)

    @property
    def costs_s(self) -> list[float]:
        """What a chunk of each turn costs by now; NaN where nobody knows."""
        return list(self._cost_s)

    @property
    def kept(self) -> list[float]:
        """How much of each turn's cost is still what was expected, not measured: from 1 to 0."""
        return list(self._kept)

    def allows(self, turn: int, chunks: int) -> bool:
        """Whether a turn's next ``chunks`` chunks may be separated."""
        spare_s = self._spare_s(turn)
        return spare_s > 0 and chunks * self._expected_s(turn) <= spare_s

    def timeout_s(self, turn: int, chunks: int) -> float:
        """Seconds after which a turn hangs, if it has not separated ``chunks`` chunks.

        Without a limit for the song there is none for a chunk: a slow machine is no reason to
        give up a member.
        """
        spare_s = self._spare_s(turn)
        if spare_s == math.inf:
            return math.inf
        if math.isnan(self._cost_s[turn]):
            # Nothing is known of it. Should it hang, the others shall have some time left.
            return spare_s / 2
        return min(spare_s, max(self.HANG * chunks * self._expected_s(turn), self.HANG_S))

    def done(self, turn: int, chunks: int, spent_s: float | None = None) -> None:
        """Note that a turn has ``chunks`` chunks behind it.

        Args:
            turn: index.
            chunks: how many, separated or not.
            spent_s: seconds that separating them took; None if they were not separated.
        """
        self._left[turn] = max(self._left[turn] - chunks, 0)
        if spent_s is not None:
            each_s = spent_s / chunks
            known_s = self._cost_s[turn]
            fresh = math.isnan(known_s)
            self._cost_s[turn] = each_s if fresh else known_s + self.MEMORY * (each_s - known_s)
            self._kept[turn] *= 0.0 if fresh else 1 - self.MEMORY

    def retire(self, turn: int) -> None:
        """Note that a turn will not work any more: nothing needs to be kept for it."""
        self._left[turn] = 0

    def _spare_s(self, turn: int) -> float:
        """Seconds that are left, less what the turns before this one still need."""
        owed_s = sum(left * self._expected_s(index) for index, left in enumerate(self._left[:turn]))
        return self.deadline.remaining_s - owed_s

    def _expected_s(self, turn: int) -> float:
        """What a chunk of a turn is taken to cost; nothing if that is unknown."""
        cost_s = self._cost_s[turn]
        return 0.0 if math.isnan(cost_s) else self.MARGIN * cost_s


def song_budget(track: Track, song_s: float) -> float:
    """Seconds that separating a song may take.

    Args:
        track: knows the grader's limit; the environment's ``DEMIX_TIME_LIMIT`` overrules it.
        song_s: length of the song.

    Returns:
        Seconds; infinity if the environment's limit is :data:`UNLIMITED`.

    Raises:
        ConfigError: the environment's limit is not a positive number.
    """
    if os.environ.get(TIME_VARIABLE) == UNLIMITED:
        return math.inf
    return USED * positive(TIME_VARIABLE, track.time_limit, f" or {UNLIMITED!r}") * song_s


def positive(variable: str, default: float, or_else: str = "") -> float:
    """Read a positive number from the environment.

    Args:
        variable: its name.
        default: where it is not set.
        or_else: what else it may be, for the error.

    Raises:
        ConfigError: it is something else.
    """
    given = os.environ.get(variable)
    try:
        number = float(given) if given else default
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ConfigError(f"expected {variable} to be a positive number{or_else}, got {given!r}")
    return number
