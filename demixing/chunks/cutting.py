"""Cuts a song that comes in blocks into overlapping chunks, always at the same places."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing.separator import Chunking


class End(NamedTuple):
    """One of the chunks at the end of a song.

    Attributes:
        audio: ``(..., chunk)``, or shorter if the chunking says so.
        samples: of the song and its padding that are left from the chunk's start on.
        last: whether no other chunk follows.
    """

    audio: Tensor
    samples: int
    last: bool


class Cutter:
    """Cuts one song.

    Args:
        cut: where.
        shape: of a block without its last axis, such as ``(groups, 2)``.
        offset: all chunks but the first start this many samples earlier.
    """

    def __init__(self, cut: Chunking, shape: tuple[int, ...], offset: int = 0) -> None:
        self._cut = cut
        self._shorter = offset  # by how much the next hop is shorter: only the first one is
        self._blocks: list[Tensor] = []
        self._pending = torch.zeros(*shape, cut.lead + cut.silence)
        self._past = torch.zeros(*shape, 0)

    def push(self, block: Tensor, most: int) -> Iterator[Tensor]:
        """Take the next samples, ``(..., samples)``, and yield the chunks that are complete.

        A chunk that reaches the last sample so far may be the last of the song, so it waits.

        Args:
            block: of the song.
            most: how many chunks to yield at once.

        Yields:
            ``(..., chunks, chunk)``; overlapping views.
        """
        self._blocks.append(block)
        waiting = self._pending.shape[-1] + sum(block.shape[-1] for block in self._blocks)
        if waiting <= self._cut.chunk:
            return  # joining the blocks at every push would make many short ones slow
        self._collect()
        while (samples := self._pending.shape[-1]) > self._cut.chunk:
            ready = -(-(samples - self._cut.chunk) // self._cut.hop)
            count = 1 if self._shorter else min(ready, most)
            yield self._pending.unfold(-1, self._cut.chunk, self._cut.hop)[..., :count, :]
            self._advance(count * self._cut.hop)

    def finish(self) -> Iterator[End]:
        """Yield the chunks at the end of the song, one at a time."""
        self._blocks.append(self._pending.new_zeros(*self._pending.shape[:-1], self._cut.silence))
        self._collect()
        last = False
        while not last:
            samples = self._pending.shape[-1]
            last = samples <= self._cut.chunk
            if self._cut.end.every_hop:
                last = samples - 2 * self._cut.silence <= self._cut.hop - self._shorter
            yield End(self._filled(samples), samples, last)
            self._advance(self._cut.hop)

    def placed(self, result: Tensor, samples: int) -> Tensor:
        """Put the result for a chunk at the end where the chunk started, as long as any chunk.

        Args:
            result: ``(..., samples)``, as long as the chunk was.
            samples: see :class:`End`.
        """
        result = F.pad(result, (0, self._cut.chunk - result.shape[-1]))
        if self._cut.end.centred:
            result = torch.roll(result, -((self._cut.chunk - samples) // 2), dims=-1)
        return result

    def _filled(self, samples: int) -> Tensor:
        """What is left of the song as one chunk: with silence, shorter, or moved back."""
        if self._cut.end.ragged:
            return self._pending[..., : self._cut.chunk]
        missing = self._cut.chunk - samples
        if not self._cut.end.centred:
            return F.pad(self._pending, (0, missing))
        before = self._past[..., max(self._past.shape[-1] - missing // 2, 0) :]
        left = missing // 2 - before.shape[-1]
        return F.pad(torch.cat([before, self._pending], dim=-1), (left, missing - missing // 2))

    def _advance(self, samples: int) -> None:
        """Drop samples that no later chunk contains; only chunks that move back need some."""
        samples -= self._shorter
        self._shorter = 0
        if self._cut.end.centred:
            past = torch.cat([self._past, self._pending[..., :samples]], dim=-1)
            self._past = past[..., -(self._cut.chunk // 2) :]
        self._pending = self._pending[..., samples:]

    def _collect(self) -> None:
        """Join the blocks that came."""
        self._pending = torch.cat([self._pending, *self._blocks], dim=-1)
        self._blocks.clear()
