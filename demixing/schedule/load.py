"""What slows a song down besides its members: other processes, and the work around the members.

Resampling, blending and the leakage filter take a tenth of the time of a cheap recipe, and on a
busy machine everything takes several times as long. Plans include both, so both are measured.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from demixing.schedule import costs
from demixing.schedule.contention import Contention
from demixing.separator import Chunking, Separator, input_normalisation

OVERHEAD, TAIL = 0.03, 0.01
"""Seconds per second of audio for everything except the members' own work, and for what follows the
last chunk. Both hold until they are measured."""

TAIL_S = 60.0
"""At most this much audio is still to be blended and filtered after the last chunk."""

TRIAL_S, TRIAL_RATE_HZ = 5.0, 44_100
"""Length and rate of the song that is used for the measurement."""


class Load:
    """How busy this machine is, and how long the work around the members takes.

    Args:
        contention: of this process; None for an idle machine and no work around the members.

    Attributes:
        slowdown: how many times longer than on an idle machine something took lately.
    """

    def __init__(self, contention: Contention | None) -> None:
        self._contention = contention
        self._overhead, self._tail = (OVERHEAD, TAIL) if contention is not None else (0.0, 0.0)
        self.slowdown = 1.0

    def restart(self) -> None:
        """Start measuring the load again."""
        if self._contention is not None:
            self._contention.restart()

    def now(self) -> float:
        """The slowdown since :meth:`restart`, or the one before if too little has run since."""
        if self._contention is None:
            return self.slowdown
        return self._contention.slowdown() or self.slowdown

    def begin_song(self) -> None:
        """Use the slowdown of the latest work for the song that begins."""
        self.slowdown = self.now()
        self.restart()

    def around_s(self, audio_s: float) -> float:
        """Seconds for the work around the members, for ``audio_s`` seconds of audio."""
        return self._overhead * audio_s * self.slowdown

    def tail_s(self, audio_s: float) -> float:
        """Seconds for the part of that work that follows the last chunk."""
        return self._tail * min(audio_s, TAIL_S) * self.slowdown

    def measure(self, separate: Callable[[list[float]], object]) -> None:
        """Measure the work around the members, and the part of it that follows the last chunk.

        Args:
            separate: separates a song of :data:`TRIAL_S` with :class:`Copies` in place of the
                members. It gets the list to which they add the time of each call.
        """
        asked_s = [time.perf_counter()]
        whole_s = costs.idle_s(lambda: separate(asked_s))
        took_s, tail_s = (time.perf_counter() - asked_s[at] for at in (0, -1))
        self._overhead = whole_s / TRIAL_S
        self._tail = self._overhead * tail_s / took_s


@dataclass(frozen=True, slots=True)
class Copies:
    """Stands in for another separator and answers at once, with stems of the same shape.

    Attributes:
        inner: the other separator.
        asked_s: list to which the time of each call is added.
    """

    inner: Separator
    asked_s: list[float]

    @property
    def stems(self) -> tuple[str, ...]:
        """See :class:`demixing.separator.Separator`."""
        return self.inner.stems

    @property
    def sample_rate_hz(self) -> int | None:
        """See :class:`demixing.separator.Separator`."""
        return self.inner.sample_rate_hz

    @property
    def chunking(self) -> Chunking:
        """See :class:`demixing.separator.Separator`."""
        return self.inner.chunking

    @property
    def normalises(self) -> str:
        """See :mod:`demixing.engine.normalisation`."""
        return input_normalisation(self.inner)

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        self.asked_s.append(time.perf_counter())
        return chunks[:, None].expand(-1, len(self.stems), -1, -1) / len(self.stems)
