"""What slows a song down besides its members: other processes and overhead.

The overhead, mostly resampling, blending and the leakage filter, takes a tenth of the time of a
cheap recipe. On a busy machine, everything takes several times as long. Both are measured, because
plans include them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from demixing.schedule import costs
from demixing.schedule.contention import Contention
from demixing.separator import Chunking, Loudness, Separator, answers_silence, input_normalisation

OVERHEAD, TAIL = 0.03, 0.01
"""Overhead in seconds per second of audio, in total and after the last chunk. Defaults until both
are measured."""

TAIL_S = 60.0
"""Maximum length of audio still to be blended and filtered after the last chunk."""

TRIAL_S, TRIAL_RATE_HZ = 5.0, 44_100
"""Length and rate of the song used for the measurement."""


class Load:
    """The load of this machine, and the overhead outside the members.

    Args:
        contention: of this process; None assumes an idle machine and no overhead.

    Attributes:
        slowdown: recent slowdown against an idle machine.
    """

    def __init__(self, contention: Contention | None) -> None:
        self._contention = contention
        self._overhead, self._tail = (OVERHEAD, TAIL) if contention is not None else (0.0, 0.0)
        self.slowdown = 1.0

    def restart(self) -> None:
        """Restart the measurement of the load."""
        if self._contention is not None:
            self._contention.restart()

    def now(self) -> float:
        """The slowdown since :meth:`restart`, or the previous one if too little has run since."""
        if self._contention is None:
            return self.slowdown
        return self._contention.slowdown() or self.slowdown

    def begin_song(self) -> None:
        """Use the latest slowdown for the song that begins."""
        self.slowdown = self.now()
        self.restart()

    def around_s(self, audio_s: float) -> float:
        """Overhead in seconds for ``audio_s`` seconds of audio."""
        return self._overhead * audio_s * self.slowdown

    def tail_s(self, audio_s: float) -> float:
        """Overhead in seconds after the last chunk."""
        return self._tail * min(audio_s, TAIL_S) * self.slowdown

    def measure(self, separate: Callable[[list[float]], object]) -> None:
        """Measure the overhead outside the members, and the part of it after the last chunk.

        Args:
            separate: separates a song of :data:`TRIAL_S` with :class:`Copies` instead of the
                members. Its argument is the list to which they add the time of each call.
        """
        asked_s = [time.perf_counter()]
        whole_s = costs.idle_s(lambda: separate(asked_s))
        took_s, tail_s = (time.perf_counter() - asked_s[at] for at in (0, -1))
        self._overhead = whole_s / TRIAL_S
        self._tail = self._overhead * tail_s / took_s


@dataclass(frozen=True, slots=True)
class Copies:
    """Stands in for another separator and immediately returns stems of the same shape.

    Attributes:
        inner: the separator to stand in for.
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
    def normalises(self) -> str | Loudness:
        """See :mod:`demixing.engine.normalisation`."""
        return input_normalisation(self.inner)

    @property
    def answers_silence(self) -> bool:
        """See :func:`demixing.separator.answers_silence`."""
        return answers_silence(self.inner)

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        self.asked_s.append(time.perf_counter())
        return chunks[:, None].expand(-1, len(self.stems), -1, -1) / len(self.stems)
