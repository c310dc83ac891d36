"""Progress events for a callback; :mod:`demixing.engine.progress_bar` shows them.

The work on a song consists of all chunks of all members in all passes. The time per chunk of each
member is learnt during the song, and progress is measured in time rather than samples: most of a
recipe's work may be done before the first sample of a stem is final.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

LOADING, SEPARATING = "loading", "separating"
"""Stages of the work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One event.

    Attributes:
        stage: :data:`LOADING` or :data:`SEPARATING`.
        done: fraction of the work that is done, from 0 to 1; it never decreases.
        elapsed_s: seconds since the work began.
        remaining_s: current estimate of the remaining seconds; NaN if unknown.
        audio_s: length of the audio.
    """

    stage: str
    done: float = 0.0
    elapsed_s: float = 0.0
    remaining_s: float = math.nan
    audio_s: float = 0.0

    @property
    def speed(self) -> float:
        """Seconds of audio separated per second so far; 0 at the start."""
        return self.audio_s * self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0


Report = Callable[[Progress], None]


class Work:
    """Counts the chunks of one song and reports progress after each one.

    Args:
        chunks: number of chunks of each member, in all passes.
        costs_s: expected seconds per chunk of each member; NaN if unknown.
        audio_s: length of the song.
        report: is called with each event.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        chunks: Sequence[int],
        costs_s: Sequence[float],
        audio_s: float,
        report: Report,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._left = list(chunks)
        self._chunks = list(chunks)
        self._costs_s = list(costs_s)
        self._spent_s = [0.0] * len(chunks)
        self._audio_s = audio_s
        self._report = report
        self._clock = clock
        self._started_s = self._looked_s = clock()
        self._done = 0.0
        report(Progress(stage=SEPARATING, audio_s=audio_s))

    def done(self, member: int, chunks: int) -> None:
        """Record that ``chunks`` chunks of a member are finished, and report."""
        if chunks == 0:
            return
        now_s = self._clock()
        passed_s = now_s - self._looked_s
        self._spent_s[member] += passed_s
        self._looked_s = now_s
        self._left[member] = max(self._left[member] - chunks, 0)
        self._costs_s[member] = self._spent_s[member] / max(
            self._chunks[member] - self._left[member], 1
        )
        costs_s = self._all_costs_s()
        left_s = sum(left * cost for left, cost in zip(self._left, costs_s, strict=True))
        all_s = sum(count * cost for count, cost in zip(self._chunks, costs_s, strict=True))
        self._done = self._further(passed_s, left_s, all_s)
        self._report(
            Progress(
                stage=SEPARATING,
                done=self._done,
                elapsed_s=now_s - self._started_s,
                remaining_s=left_s,
                audio_s=self._audio_s,
            )
        )

    def _further(self, passed_s: float, left_s: float, all_s: float) -> float:
        """The fraction that is done by now.

        If costs turn out higher than expected, less is done than was reported. Then the bar neither
        goes back nor stops: it just moves more slowly from there on.
        """
        if not any(self._left):
            return 1.0
        step = (1 - self._done) * passed_s / (passed_s + left_s) if passed_s > 0 else 0.0
        return max(self._done + step, 1 - left_s / all_s if all_s > 0 else 0.0)

    def _all_costs_s(self) -> list[float]:
        """Seconds per chunk of each member; the mean stands in for unknown costs."""
        known = [cost for cost in self._costs_s if not math.isnan(cost)]
        mean_s = sum(known) / len(known) if known else 1.0
        return [mean_s if math.isnan(cost) else cost for cost in self._costs_s]


class Together:
    """Combines the progress of several songs, separated in parallel or in turn.

    Args:
        lengths_s: length of each song, by name.
        report: called with each event, for all songs together.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        lengths_s: Mapping[str, float],
        report: Report,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lengths_s = lengths_s
        self._done = dict.fromkeys(lengths_s, 0.0)
        self._audio_s = sum(lengths_s.values())
        self._report = report
        self._clock = clock
        self._started_s: float | None = None
        report(Progress(stage=LOADING, audio_s=self._audio_s))

    def update(self, name: str, done: float) -> None:
        """Record the progress of one song and report."""
        now_s = self._clock()
        if self._started_s is None:
            self._started_s = now_s
        self._done[name] = max(self._done[name], done)
        whole = sum(self._done[song] * length for song, length in self._lengths_s.items())
        part = whole / self._audio_s if self._audio_s else 1.0
        elapsed_s = now_s - self._started_s
        self._report(
            Progress(
                stage=SEPARATING,
                done=part,
                elapsed_s=elapsed_s,
                remaining_s=elapsed_s * (1 - part) / part if part else math.nan,
                audio_s=self._audio_s,
            )
        )
