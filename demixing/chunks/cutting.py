"""Cuts a streamed song into overlapping chunks, at positions independent of its blocks."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing.separator import Chunking, SongEnd


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

    Attributes:
        before: samples that precede the song, as far as they are known: all of them are as soon
            as there is a chunk.
    """

    def __init__(self, cut: Chunking, shape: tuple[int, ...], offset: int = 0) -> None:
        self._cut = cut
        self._shorter = offset  # by how much the next hop is shortened: only the first one
        self._blocks: list[Tensor] = []
        self._length = 0  # of the song so far
        self._past = torch.zeros(*shape, 0)
        self._pending = torch.zeros(*shape, 0)
        self.before = 0
        self._begun = False
        if not cut.end.mirrored:
            self._begin(torch.zeros(*shape, cut.before(0) + cut.silence))

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
        self._length += block.shape[-1]
        waiting = self._pending.shape[-1] + sum(block.shape[-1] for block in self._blocks)
        if waiting <= self._cut.chunk:
            return  # joining at every push would make many short blocks slow
        self._collect()
        if not self._begun and waiting > 2 * (self._cut.chunk - self._cut.hop):
            self._begin_mirrored()
        while self._begun and (samples := self._pending.shape[-1]) > self._cut.chunk:
            ready = -(-(samples - self._cut.chunk) // self._cut.hop)
            count = 1 if self._shorter else min(ready, most)
            yield self._pending.unfold(-1, self._cut.chunk, self._cut.hop)[..., :count, :]
            self._advance(count * self._cut.hop)

    def finish(self) -> Iterator[End]:
        """Yield the chunks at the end of the song, one at a time."""
        self._blocks.append(self._pending.new_zeros(*self._pending.shape[:-1], self._cut.silence))
        self._collect()
        if not self._begun:
            self._begin_mirrored()
        last = False
        while not last:
            samples = self._pending.shape[-1]
            last = samples <= self._cut.chunk
            if self._cut.every_hop:
                last = samples - 2 * self._cut.silence <= self._cut.hop - self._shorter
            yield End(self._filled(samples), samples, last)
            self._advance(self._cut.hop)

    def placed(self, result: Tensor, samples: int) -> Tensor:
        """Align the output for a chunk at the end with the chunk's start, at full chunk length.

        Args:
            result: ``(..., samples)``, of the chunk's length.
            samples: see :class:`End`.
        """
        missing, moved = self._cut.chunk - result.shape[-1], (self._cut.chunk - samples) // 2
        result = F.pad(result, (0, missing)) if missing else result  # padding by 0 copies
        return torch.roll(result, -moved, dims=-1) if self._cut.end.centred else result

    def _begin(self, silence: Tensor) -> None:
        """Start with samples before the song, of which the context is not counted."""
        self._pending = torch.cat([silence, self._pending], dim=-1)
        self.before = silence.shape[-1] - self._cut.silence
        self._begun = True

    def _begin_mirrored(self) -> None:
        """Start with the mirror image of the song so far, then silence if that is too short."""
        samples = self._cut.before(self._length)
        self._begin(continued(self._pending.flip(-1), samples).flip(-1))

    def _filled(self, samples: int) -> Tensor:
        """The rest of the song as one chunk: padded, shorter, or moved back."""
        if self._cut.end.ragged:
            return self._pending[..., : self._cut.chunk]
        missing = self._cut.chunk - samples
        if missing > 0 and self._cut.end.mirrored:
            return torch.cat([self._pending, self._mirrored(missing)], dim=-1)
        if not self._cut.end.centred:
            return F.pad(self._pending, (0, missing))
        before = self._past[..., max(self._past.shape[-1] - missing // 2, 0) :]
        left = missing // 2 - before.shape[-1]
        return F.pad(torch.cat([before, self._pending], dim=-1), (left, missing - missing // 2))

    def _mirrored(self, missing: int) -> Tensor:
        """The ``missing`` samples that follow a song; see :class:`SongEnd`."""
        if self._cut.end is SongEnd.MIRRORED_IF_LONG and not self.before:
            enough = missing < self._cut.chunk - self._cut.chunk // 2
            return continued(self._pending if enough else self._pending[..., :0], missing)
        song = torch.cat([self._past, self._pending], dim=-1)[..., -self._length :]
        if self._cut.end is SongEnd.MIRRORED:
            return continued(song, missing)
        # The project first adds as much as before the song, then fills its last chunks.
        added = continued(song, self._cut.chunk - self._cut.hop)
        longer = torch.cat([song, added], dim=-1)
        return torch.cat([added, continued(longer, self._cut.hop)], dim=-1)[..., :missing]

    def _advance(self, samples: int) -> None:
        """Drop samples that later chunks do not need; some ends need a part of the past."""
        samples -= self._shorter
        self._shorter = 0
        if self._cut.end.centred or self._cut.end.mirrored:
            past = torch.cat([self._past, self._pending[..., :samples]], dim=-1)
            self._past = past[..., -self._cut.chunk :]
        rest = self._pending[..., samples:]
        # A view would keep the memory of all that has been cut; a copy of a small rest is cheap.
        self._pending = rest.clone() if 2 * rest.numel() < held(rest) else rest

    def _collect(self) -> None:
        """Join the collected blocks."""
        self._pending = torch.cat([self._pending, *self._blocks], dim=-1)
        self._blocks.clear()


def held(view: Tensor) -> int:
    """Number of values in the memory that a view keeps.

    >>> held(torch.zeros(2, 100)[:, 90:])
    200
    """
    return view.untyped_storage().nbytes() // view.element_size()


def continued(song: Tensor, samples: int) -> Tensor:
    """The first ``samples`` samples after a song that is mirrored at its end, then silence.

    >>> continued(torch.tensor([1, 2, 3]), 4)
    tensor([2, 1, 0, 0])
    """
    image = song.flip(-1)[..., 1 : samples + 1]
    return F.pad(image, (0, samples - image.shape[-1]))
