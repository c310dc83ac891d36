"""Measures how much of its time a run waits for examples, and advises when that is too much."""

import time
from collections.abc import Callable
from dataclasses import dataclass

MOST = 0.1
"""Fraction of waiting above which it is worth changing something."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What a run did with its time.

    Attributes:
        waiting: fraction of the time, 0 to 1, spent waiting for examples.
        computing: fraction spent in steps, on the device. The rest is averages, log, checkpoints
            and validations.
    """

    waiting: float
    computing: float

    def described(self, workers: int) -> str:
        """One line of text, with advice if too much of the time is spent waiting.

        >>> Shares(0.02, 0.95).described(workers=1)
        '2 % waiting for examples, 95 % computing'
        >>> print(Shares(0.4, 0.55).described(workers=1))
        40 % waiting for examples, 55 % computing (raise workers above 1, use fewer augmentations, \
or move the songs to a faster disk)
        """
        text = f"{self.waiting:.0%} waiting for examples, {self.computing:.0%} computing"
        text = text.replace("%", " %")
        if self.waiting <= MOST:
            return text
        return (
            f"{text} (raise workers above {workers}, use fewer augmentations, or move the songs to "
            "a faster disk)"
        )


class Waiting:
    """Times the parts of a run's steps.

    The first step is left out of the shares, because workers start in it.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._began_s = self._interval_s = clock()
        self._waited_s = self._all_waited_s = self._computed_s = 0.0
        self._first = True

    def restart(self) -> None:
        """Begin the fraction of :meth:`busy` again, after a validation."""
        self._began_s, self._all_waited_s = self._clock(), 0.0

    def step(self, asked_s: float, got_s: float) -> float:
        """Note one step that has just been computed.

        Args:
            asked_s: time at which its examples were asked for.
            got_s: time at which they were there.

        Returns:
            The seconds in between.
        """
        now_s = self._clock()
        self._all_waited_s += got_s - asked_s
        if self._first:
            self._first, self._interval_s = False, now_s
        else:
            self._waited_s += got_s - asked_s
            self._computed_s += now_s - got_s
        return round(got_s - asked_s, 4)

    def busy(self) -> float:
        """Fraction of the time since the start or the last :meth:`restart` without waiting."""
        return round(1 - self._all_waited_s / max(self._clock() - self._began_s, 1e-9), 4)

    def shares(self) -> Shares | None:
        """Shares since the last call; None if there was no step but the first."""
        now_s = self._clock()
        whole_s, self._interval_s = now_s - self._interval_s, now_s
        waited_s, self._waited_s = self._waited_s, 0.0
        computed_s, self._computed_s = self._computed_s, 0.0
        if not computed_s:
            return None
        return Shares(waited_s / whole_s, computed_s / whole_s)
