"""What a song costs besides the members' own work: other processes, and the work around members.

Resampling, blending and the leakage filter take a tenth of a cheap recipe's time, and on a busy
machine everything takes several times as long. Both are measured, so that a plan can count with
them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from demixing.schedule import costs
from demixing.schedule.contention import Contention
from demixing.separator import Chunking, Separator, input_normalisation

OVERHEAD, TAIL = 0.03, 0.01
"""Seconds for a second of audio that all but the members' own work takes, and the part of it that
follows the last chunk; until they are measured."""

TAIL_S = 60.0
"""When the last chunk is separated, at most this much audio has yet to be blended and filtered."""

TRIAL_S, TRIAL_RATE_HZ = 5.0, 44_100
"""Length and rate of the song with which that is measured."""


class Load:
    """Knows how busy this machine is, and what the work around the members takes.

    Args:
        contention: of this process; None takes the machine to be idle, and that work to be none.

    Attributes:
        slowdown: seconds that something took of late, over those on an idle machine.
    """

    def __init__(self, contention: Contention | None) -> None:
        self._contention = contention
        self._overhead, self._tail = (OVERHEAD, TAIL) if contention is not None else (0.0, 0.0)
        self.slowdown = 1.0

    def restart(self) -> None:
        """Look at the load from now on."""
        if self._contention is not None:
            self._contention.restart()

    def now(self) -> float:
        """The slowdown since :meth:`restart`, or where little has run since, the one before."""
        if self._contention is None:
            return self.slowdown
        return self._contention.slowdown() or self.slowdown

    def begin_song(self) -> None:
        """Take the slowdown of the latest work for that of the song which begins."""
        self.slowdown = self.now()
        self.restart()

    def around_s(self, audio_s: float) -> float:
        """Seconds that the work around the members takes for ``audio_s`` seconds of audio."""
        return self._overhead * audio_s * self.slowdown

    def tail_s(self, audio_s: float) -> float:
        """Seconds of it that follow the last chunk."""
        return self._tail * min(audio_s, TAIL_S) * self.slowdown

    def measure(self, separate: Callable[[list[float]], object]) -> None:
        """Measure the work around the members, and how much of it follows the last chunk.

        Args:
            separate: separates a song of :data:`TRIAL_S` by members that :class:`Copies` stand
                in for, which add to a list when they are asked.
        """
        asked_s = [time.perf_counter()]
        whole_s = costs.idle_s(lambda: separate(asked_s))
        took_s, tail_s = (time.perf_counter() - asked_s[at] for at in (0, -1))
        self._overhead = whole_s / TRIAL_S
        self._tail = self._overhead * tail_s / took_s


@dataclass(frozen=True, slots=True)
class Copies:
    """Answers at once, in the shape of another separator's answers.

    Attributes:
        inner: the other separator.
        asked_s: gets the time of each call.
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
