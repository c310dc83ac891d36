"""Keeps the memory of a recipe near that of its largest member.

Members take turns, and each leaves free memory that the next cannot use. It is returned to the
system before and after each call of a slow member. For fast members that would take a noticeable
part of their time.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor

from demixing.chunks.answer import Answer, Source
from demixing.machine import heap

LONG_S = 0.2
"""Calls that take this long are slow. Returning and requesting 300 MB takes about 50 ms, and less
with huge pages."""


@dataclass(slots=True)
class Tidying:
    """A source that returns free memory to the system before and after slow calls.

    Attributes:
        source: separates chunks.
        tidy: returns free memory.
        clock: returns the time in seconds.
    """

    source: Source
    tidy: Callable[[], object] = heap.tidy
    clock: Callable[[], float] = time.monotonic
    _last_s: float = field(default=LONG_S, init=False)  # the first call may be a slow one

    @property
    def stems(self) -> tuple[str, ...]:
        """See :class:`demixing.chunks.answer.Source`."""
        return self.source.stems

    def answer(self, chunks: Tensor) -> Answer:
        """See :class:`demixing.chunks.answer.Source`."""
        if self._last_s >= LONG_S:
            self.tidy()
        start_s = self.clock()
        answer = self.source.answer(chunks)
        self._last_s = self.clock() - start_s
        if self._last_s >= LONG_S:
            self.tidy()
        return answer

    def nothing(self, groups: int) -> Answer:
        """See :class:`demixing.chunks.answer.Source`."""
        return self.source.nothing(groups)
