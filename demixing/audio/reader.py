"""What the two readers of audio files have in common."""

import logging
from collections.abc import Callable, Iterator
from typing import Protocol

from torch import Tensor

from demixing.audio import SongFormat

logger = logging.getLogger("demixing.audio.files")

Warn = Callable[[str], None]
"""Called with a clause that says what is wrong with a file that is read all the same."""


class Reader(Protocol):
    """Reads one song of a file, from its start to its end, any number of times."""

    @property
    def form(self) -> SongFormat:
        """Rate and channels; the length is an estimate if the file does not say it."""

    def blocks(self, frames: int, warn: Warn) -> Iterator[Tensor]:
        """Read blocks of ``(channels, samples)``, float32, channels in WAVE order.

        Args:
            frames: length of the blocks, except of the last one.
            warn: called at most a few times, at the end.

        Raises:
            SongError: the data is damaged in a way that no player repairs.
        """


def clock(seconds: float) -> str:
    """A position in a song.

    >>> clock(3723.5)
    '1:02:03.500'
    >>> clock(59.9996)
    '1:00.000'
    """
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    hour = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{hour}:{milliseconds / 1000:06.3f}"


def shorter(declared: int, done: int) -> str:
    """A warning about missing samples."""
    return f"its header promises {declared} samples, but only {done} could be read"
