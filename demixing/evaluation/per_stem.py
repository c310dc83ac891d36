"""Makes a meter for songs out of one for stems, for metrics that look at each stem by itself."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from demixing.evaluation.metrics import Format


class StemMeter(Protocol):
    """Scores one stem of one song, block by block."""

    def update(self, reference: NDArray[np.float32], estimate: NDArray[np.float32]) -> None:
        """Add the next block of both, ``(samples, channels)``; neither is modified."""

    def end_pass(self) -> None:
        """Note that all blocks were added."""

    def values(self) -> Mapping[str, float | None]:
        """The values by name of metric; None where it is undefined."""


class PerStem:
    """A :class:`~demixing.evaluation.metrics.SongMeter` with one meter for each stem.

    Args:
        song: the song.
        meter: builds the meter of a stem.
        passes: how often they need the song.
    """

    def __init__(self, song: Format, meter: Callable[[Format], StemMeter], passes: int = 1) -> None:
        self._meters = [meter(song) for _ in range(song.stems)]
        self._passes = passes

    @property
    def passes(self) -> int:
        """How many times the song must be read."""
        return self._passes

    def update(self, references: NDArray[np.float32], estimates: NDArray[np.float32]) -> None:
        """Add the next block, ``(stems, samples, channels)``."""
        for meter, reference, estimate in zip(self._meters, references, estimates, strict=True):
            meter.update(reference, estimate)

    def end_pass(self) -> None:
        """Note that all blocks were added."""
        for meter in self._meters:
            meter.end_pass()

    def values(self) -> Mapping[str, Sequence[float | None]]:
        """The value of each stem, by name of metric."""
        rows = [meter.values() for meter in self._meters]
        return {name: [row[name] for row in rows] for name in rows[0]}
