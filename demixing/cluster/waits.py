"""How long to wait before another try: longer each time, up to a limit."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from demixing.cluster.addresses import RefusedError, StoreError
from demixing.errors import OutputError

logger = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_S, FACTOR, MOST_S = 5.0, 4.0, 300.0
"""5, 20 and 80 s, then 300 s each time: a store needs seconds or minutes to recover."""

TRIES = 4
"""Of a request of this program itself, which is not part of a song."""

MOST_PAUSES = 6
"""In a row before a run ends: a quarter of an hour at most."""


def before(number: int) -> float:
    """Seconds to wait before a further try.

    Args:
        number: of the try after the first one, from 1.

    Returns:
        Between a half of the wait and all of it, because many workers fail at the same time.
    """
    growth = FACTOR ** min(number - 1, 9)  # more would overflow after some hundred tries
    return min(FIRST_S * growth, MOST_S) * random.uniform(0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time comes from.

    Attributes:
        now: seconds from any zero.
        sleep: waits for some seconds.
    """

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def repeated(call: Callable[[], T], clock: Clock) -> T:
    """Call a function, again after a wait if a store does not answer.

    Raises:
        StoreError: it did not answer in :data:`TRIES` tries, or refused.
    """
    for number in range(1, TRIES):
        try:
            return call()
        except RefusedError:
            raise
        except StoreError as error:
            wait_s = before(number)
            logger.warning("%s; next try in %.0f s", error, wait_s)
            clock.sleep(wait_s)
    return call()


@dataclass(slots=True)
class Pauses:
    """When no songs are begun: all that were in progress failed, so a store or disk is away.

    Attributes:
        clock: where time comes from.
    """

    clock: Clock
    _until_s: float = float("-inf")
    _failed: int = 0
    _pauses: int = 0

    @property
    def rest_s(self) -> float:
        """Seconds until songs may be begun again; 0 without a pause."""
        return max(0.0, self._until_s - self.clock.now())

    def worked(self) -> None:
        """Take note of a song that was read and written."""
        self._failed = self._pauses = 0

    def failed(self, at_a_time: int, reason: str) -> None:
        """Take note of a song that could not be read or written.

        Args:
            at_a_time: number of songs that workers have at a time.
            reason: why not.

        Raises:
            OutputError: there were :data:`MOST_PAUSES` already without a song in between.
        """
        if self.rest_s:  # songs that were begun before the pause
            return
        self._failed += 1
        if self._failed < at_a_time:
            return
        if self._pauses == MOST_PAUSES:
            raise OutputError(
                f"no song could be read or written in {MOST_PAUSES + 1} rounds: {reason}; run the "
                "same command again when that is mended"
            )
        self._failed, self._pauses = 0, self._pauses + 1
        wait_s = before(self._pauses)
        self._until_s = self.clock.now() + wait_s
        logger.warning("%d songs in a row failed (%s); waits %.0f s", at_a_time, reason, wait_s)
