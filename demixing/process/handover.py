"""One song and its stems, which may come from several sources in turn.

A source reads the mixture block by block and returns stems later, in different blocks. If it is
lost, another one continues after the last released sample. The two overlap by a few milliseconds
and are cross-faded there. This avoids clicks, and stems that sum to the mixture in both sources
still do.
"""

import math
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from demixing import audio
from demixing.engine.normalisation import SongStatistics
from demixing.errors import SongError
from demixing.schedule.budget import Deadline

FADE_S = 0.01

RESERVE_S = 0.3
"""Lower bound of the time reserved for shares of the mixture; see :func:`measure_shares`."""


class SongBuffer:
    """Keeps the part of a song whose stems are not released yet.

    Args:
        blocks: ``(channels, samples)`` of any lengths, together the song.
        sample_rate_hz: of the song.
        stems: their number.
        statistics: of the song, if measured.

    Attributes:
        stems: as given.
        statistics: as given.
    """

    def __init__(
        self,
        blocks: Iterable[Tensor],
        sample_rate_hz: int,
        stems: int,
        statistics: SongStatistics | None = None,
    ) -> None:
        self._blocks = iter(blocks)
        self._rate_hz = sample_rate_hz
        self.stems = stems
        self.statistics = statistics
        self._fade = math.ceil(FADE_S * sample_rate_hz)
        self._mixture: deque[Tensor] = deque()  # from the first unreleased sample
        self._sent = 0  # number of its blocks that the current source has read
        self._read = 0  # samples of the song so far
        self._released = 0
        self._all_read = False
        self._held: Tensor | None = None  # stems that may still need a cross-fade
        self._old: Tensor | None = None  # the previous source's stems from here on
        self._ramp = torch.zeros(0)

    @property
    def released(self) -> int:
        """Number of samples whose stems are final; the next source starts after them."""
        return self._released

    @property
    def complete(self) -> bool:
        """Whether there are stems for the whole song."""
        return self._all_read and self._separated() == self._read

    def _separated(self) -> int:
        """End of the samples that the current source has separated, from the start of the song."""
        return self._released + (0 if self._held is None else self._held.shape[-1])

    def next(self) -> Tensor | None:
        """Return the next block, ``(channels, samples)``, for the current source.

        Returns:
            None at the end of the song.

        Raises:
            SongError: the song is empty, not finite, or in an unsupported format.
        """
        while self._sent == len(self._mixture):
            block = next(self._blocks, None)
            if block is None:
                if self._read == 0:
                    raise SongError("expected a song of at least one sample, got an empty one")
                self._all_read = True
                return None
            audio.check_format(self._rate_hz, block.shape[0])
            audio.check_finite(block, self._read)
            if block.shape[-1]:
                self._read += block.shape[-1]
                self._mixture.append(block)
        self._sent += 1
        return self._mixture[self._sent - 1]

    def push(self, stems: Tensor) -> Tensor:
        """Add the current source's next ``(stems, channels, samples)``.

        Returns:
            Those that are final, of the same shape with any number of samples.

        Raises:
            ValueError: there are more samples than the source has read, or they are not finite.
        """
        sent = sum(self._mixture[index].shape[-1] for index in range(self._sent))
        if self._separated() + stems.shape[-1] > self._released + sent:
            raise ValueError("returned more samples than it was given")
        if not torch.isfinite(stems).all():
            raise ValueError("returned a NaN or an infinity")
        stems = self._faded(stems)
        self._held = stems if self._held is None else torch.cat([self._held, stems], dim=-1)
        return self._release(max(self._held.shape[-1] - self._fade, 0))

    def finish(self) -> Tensor:
        """Return what was held back for a cross-fade, ``(stems, channels, samples)``.

        The song must be complete.
        """
        assert self._held is not None
        return self._release(self._held.shape[-1])

    def take_over(self) -> None:
        """Switch to another source."""
        self._sent = 0
        if self._held is None or not self._held.shape[-1]:
            return
        # The last source may have been lost during its own cross-fade.
        rest = [] if self._old is None else [self._old]
        self._old = torch.cat([self._held, *rest], dim=-1)
        samples = self._old.shape[-1]
        self._ramp = torch.arange(1, samples + 1) / (samples + 1)
        self._held = None

    def shares(self) -> Iterator[Tensor]:
        """Yield the rest of the stems as equal shares of the mixture.

        Yields:
            ``(stems, channels, samples)``, of the lengths in which they are final.
        """
        self.take_over()
        while (block := self.next()) is not None:
            yield self.push((block / self.stems).expand(self.stems, *block.shape))
        yield self.finish()

    def _faded(self, stems: Tensor) -> Tensor:
        """Cross-fade stems with those of the previous source for the same samples."""
        if self._old is None:
            return stems
        samples = min(stems.shape[-1], self._old.shape[-1])
        mixed = torch.lerp(self._old[..., :samples], stems[..., :samples], self._ramp[:samples])
        self._old, self._ramp = self._old[..., samples:], self._ramp[samples:]
        if not self._old.shape[-1]:
            self._old = None
        return torch.cat([mixed, stems[..., samples:]], dim=-1)

    def _release(self, samples: int) -> Tensor:
        """Return the first of the held stems, and drop the same part of the mixture."""
        assert self._held is not None
        ready, self._held = self._held[..., :samples], self._held[..., samples:]
        self._released += samples
        while samples:
            block = self._mixture.popleft()
            if block.shape[-1] > samples:
                self._mixture.appendleft(block[:, samples:])
                break
            samples -= block.shape[-1]
            self._sent -= 1
        return ready


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """Seconds left for a child to work on a song.

    Attributes:
        deadline: of the song.
        samples: length of the song.
        share_s: seconds per sample for shares of the mixture.
    """

    deadline: Deadline
    samples: int
    share_s: float

    def __call__(self, song: SongBuffer) -> float:
        """Seconds left, less the time for shares of the part that is not released yet."""
        shares_s = self.share_s * (self.samples - song.released)
        return self.deadline.remaining_s - max(RESERVE_S, shares_s)


def measure_shares(stems: int) -> float:
    """Measure the seconds per sample for shares of the mixture, doubled to be safe.

    Args:
        stems: their number.
    """
    block = torch.zeros(2, audio.BLOCK)
    started_s = time.monotonic()
    for share in SongBuffer([block, block], 44_100, stems).shares():
        share.clone()
    return 2 * (time.monotonic() - started_s) / (2 * audio.BLOCK)
