"""Crash accounting: the crashes of each member, and which members stay out."""

import logging
from collections import Counter
from collections.abc import Sequence

from demixing.process.status import NO_MEMBER

logger = logging.getLogger(__name__)

MAX_CRASHES = 2
"""A member with this many crashes stays out."""


class Crashes:
    """Counts the crashes of each member.

    Args:
        names: of the recipe's members, in their order.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._counts: Counter[int] = Counter()

    @property
    def excluded(self) -> frozenset[int]:
        """Indices of the members that stay out."""
        return frozenset(index for index, count in self._counts.items() if count >= MAX_CRASHES)

    def count(self, member: int) -> int:
        """Count a crash, and log what happens to the member that was at work.

        Args:
            member: its index, from the status of the lost process.

        Returns:
            The index, or :data:`~demixing.process.status.NO_MEMBER` if no member was at work.
        """
        if not 0 <= member < len(self._names):
            return NO_MEMBER
        self._counts[member] += 1
        stays = member in self.excluded
        fate = "stays out from now on" if stays else "is left out until the next song"
        logger.error("%s: was at work, so it %s", self._names[member], fate)
        return member

    def exclude(self, member: int) -> None:
        """Exclude a member from now on."""
        self._counts[member] = MAX_CRASHES
