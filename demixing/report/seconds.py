"""The official SDR of each second of a stem.

The SDR of a song is a quotient of two sums over all its samples. The same sums over one second give
the SDR of that second, and the sums of all seconds give that of the song. The last second may be
shorter.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from demixing.evaluation.metrics import sdr
from demixing.evaluation.scoring import NEARLY_SILENT_DBFS
from demixing.report.sounds import Block


@dataclass(frozen=True, slots=True)
class Second:
    """One second of a stem.

    Attributes:
        signal: sum of the squared samples of the reference, over all channels.
        distortion: sum of the squared differences.
        values: number of samples times channels.
    """

    signal: float
    distortion: float
    values: int

    @property
    def sdr_db(self) -> float:
        """The official SDR of this second alone."""
        return sdr.of_energies(self.signal, self.distortion)

    @property
    def silent(self) -> bool:
        """Whether the reference is silent or nearly silent, by the rule for whole songs."""
        return self.signal < self.values * 10 ** (NEARLY_SILENT_DBFS / 10)


class Seconds:
    """Measures a stem that arrives in blocks.

    Args:
        rate_hz: sample rate.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._found: list[Second] = []
        self._open = sdr.Meter()
        self._values = 0
        self._left = rate_hz

    def push(self, reference: Block, estimate: Block) -> None:
        """Add the next block of both."""
        for true_part, part in self._parts(reference, estimate):
            self._open.update(true_part, part)
            self._values += true_part.size
            self._left -= len(true_part)
            if not self._left:
                self._close()

    def finish(self) -> list[Second]:
        """All seconds, the unfinished last one included."""
        if self._values:
            self._close()
        return self._found

    def _parts(self, reference: Block, estimate: Block) -> Iterator[tuple[Block, Block]]:
        """Cut a block where seconds end."""
        start = 0
        while start < len(reference):
            stop = start + self._left
            yield reference[start:stop], estimate[start:stop]
            start = stop

    def _close(self) -> None:
        self._found.append(Second(self._open.signal, self._open.distortion, self._values))
        self._open, self._values, self._left = sdr.Meter(), 0, self._rate_hz


def song_sdr_db(seconds: list[Second]) -> float:
    """The official SDR of the whole stem."""
    return sdr.of_energies(
        math.fsum(one.signal for one in seconds), math.fsum(one.distortion for one in seconds)
    )
