"""Cuts a streamed song into overlapping chunks, at positions independent of its blocks."""

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
        samples: length of the song and its padding from the chunk's start on.
        last: whether this is the last chunk.
    """

    audio: Tensor
    samples: int
    last: bool


class Cutter:
    """Cuts one song.

    Args:
        cut: the chunking.
        shape: of a block, without the last axis, such as ``(groups, 2)``.
        offset: all chunks except the first start this many samples earlier.
    """

    def __init__(self, cut: Chunking, shape: tuple[int, ...], offset: int = 0) -> None:
        self._cut = cut
        self._shorter = offset  # by how much the next hop is shortened: only the first one
        self._blocks: list[Tensor] = []
        self._pending = torch.zeros(*shape, cut.lead + cut.silence)
        self._past = torch.zeros(*shape, 0)

    def push(self, block: Tensor, most: int) -> Iterator[Tensor]:
        """Add samples, ``(..., samples)``, and yield the chunks that are complete.

        A chunk that reaches the last sample so far may be the song's last one, so it is kept back.

        Args:
            block: next samples of the song.
            most: maximum number of chunks to yield at once.

        Yields:
            ``(..., chunks, chunk)``; overlapping views.
        """
        self._blocks.append(block)
        waiting = self._pending.shape[-1] + sum(block.shape[-1] for block in self._blocks)
        if waiting <= self._cut.chunk:
            return  # joining at every push would make many short blocks slow
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
        """Align the output for a chunk at the end with the chunk's start, at full chunk length.

        Args:
            result: ``(..., samples)``, of the chunk's length.
            samples: see :class:`End`.
        """
        result = F.pad(result, (0, self._cut.chunk - result.shape[-1]))
        if self._cut.end.centred:
            result = torch.roll(result, -((self._cut.chunk - samples) // 2), dims=-1)
        return result

    def _filled(self, samples: int) -> Tensor:
        """The rest of the song as one chunk: zero-padded, shorter, or moved back."""
        if self._cut.end.ragged:
            return self._pending[..., : self._cut.chunk]
        missing = self._cut.chunk - samples
        if not self._cut.end.centred:
            return F.pad(self._pending, (0, missing))
        before = self._past[..., max(self._past.shape[-1] - missing // 2, 0) :]
        left = missing // 2 - before.shape[-1]
        return F.pad(torch.cat([before, self._pending], dim=-1), (left, missing - missing // 2))

    def _advance(self, samples: int) -> None:
        """Drop samples that later chunks do not need; centred chunks keep some of the past."""
        samples -= self._shorter
        self._shorter = 0
        if self._cut.end.centred:
            past = torch.cat([self._past, self._pending[..., :samples]], dim=-1)
            self._past = past[..., -(self._cut.chunk // 2) :]
        self._pending = self._pending[..., samples:]

    def _collect(self) -> None:
        """Join the collected blocks."""
        self._pending = torch.cat([self._pending, *self._blocks], dim=-1)
        self._blocks.clear()
