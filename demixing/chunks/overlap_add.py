"""Chunks and cross-fades: a separator of chunks becomes a separator of songs of any length.

Samples are pushed in blocks of any size and come out, separated, in blocks of some other size;
the chunks are cut at the same places whatever the blocks were. What is held at a time is a chunk
or two, so memory does not depend on the length of the song.

All that is computed here is at the joints: where a chunk overlaps no other, it is copied.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing.networks.stft import of_frames
from demixing.separator import Chunking, Separator

Done = Callable[[int], None]
"""Is called with the number of chunks that have just been separated."""

TINY = 1e-12
"""In place of the weight of context that nobody hears."""


class OverlapAdd:
    """Streams one song through a separator.

    Chunk k covers the samples from ``k * hop`` on; the last one is the first that reaches the end
    of the song, and is filled up with silence. Where two chunks overlap, their results are
    averaged with weights that rise and fall linearly and are divided by their sum, so a separator
    that copies gives the song back.

    The first chunk keeps its first samples and the last chunk its last: there is no better
    context beyond the ends of a song, and networks do worse with silence in place of it. Unless
    a separator asks for just that: then the song is treated as one with silence at both ends.

    Args:
        separator: what maps chunks to stems.
        groups: stereo pairs of the song; each is separated for itself.
        batch: chunks that are separated at once, which bounds the memory of the separator.
        chunking: how to cut, if not as the separator says: a chunk of a length that it accepts.
        offset: all chunks but the first start so many samples earlier. Several passes over a
            song with different offsets cut it in different places, and their mean is better.
        skip_silence: do not ask for chunks without any sound; their stems are silent.
        done: is called with the number of chunks that have just been separated, or skipped.

    Shape:
        in ``(groups, 2, samples)``, out ``(groups, stems, 2, samples)``; the lengths of all
        blocks that come out add up to those that went in.
    """

    def __init__(
        self,
        separator: Separator,
        *,
        groups: int = 1,
        batch: int = 1,
        chunking: Chunking | None = None,
        offset: int = 0,
        skip_silence: bool = True,
        done: Done = lambda chunks: None,
    ) -> None:
        self._separator = separator
        self._done = done
        self._cut = chunking or separator.chunking
        if not 0 <= offset < self._cut.hop:
            raise ValueError(f"need 0 <= offset < {self._cut.hop}, got {offset}")
        self._batch = batch
        self._together = max(batch // groups, 1)
        self._offset = offset
        self._skip_silence = skip_silence
        self._blocks: list[Tensor] = []
        self._pending = torch.zeros(groups, 2, self._cut.lead + self._cut.silence)
        self._lead = self._cut.lead  # samples of it that are still to be dropped
        self._past = torch.zeros(groups, 2, 0)
        # What earlier chunks have left of the next one's samples, and with what weight.
        self._total = torch.zeros(groups, len(separator.stems), 2, 0)
        self._weight = torch.zeros(0)
        self._first = True

    def push(self, block: Tensor) -> Tensor:
        """Take the next samples and return those that are finished, perhaps none."""
        self._blocks.append(block)
        waiting = self._pending.shape[-1] + sum(block.shape[-1] for block in self._blocks)
        finished = [self._total[..., :0]]
        # A chunk that reaches the last sample seen so far may be the last of the song: it waits.
        if waiting > self._cut.chunk:
            self._collect()
        while waiting > self._cut.chunk:
            count = 1
            if not (self._first and self._offset):
                ready = -(-(waiting - self._cut.chunk) // self._cut.hop)
                count = min(ready, self._together)
            pieces = self._separate(self._pending.unfold(-1, self._cut.chunk, self._cut.hop), count)
            advance = count * self._cut.hop - (self._offset if self._first else 0)
            for piece in pieces.unbind(1):
                finished.extend(self._add(piece))
            self._advance(advance)
            waiting -= advance
        return self._without_lead(torch.cat(finished, dim=-1))

    def finish(self) -> Tensor:
        """Return all samples that are still owed; nothing can be pushed afterwards."""
        self._blocks.append(torch.zeros(*self._pending.shape[:-1], self._cut.silence))
        self._collect()
        finished: list[Tensor] = []
        while True:
            samples = self._pending.shape[-1]
            advance = self._cut.hop - (self._offset if self._first else 0)
            last = samples <= self._cut.chunk
            if self._cut.every_hop:
                last = samples - 2 * self._cut.silence <= advance
            piece = self._separate(self._last(samples)[:, :, None], 1)[:, 0]
            piece = F.pad(piece, (0, self._cut.chunk - piece.shape[-1]))
            if self._cut.centred:  # back to the chunk's own place
                piece = torch.roll(piece, -((self._cut.chunk - samples) // 2), dims=-1)
            finished.extend(self._add(piece, samples if last else None))
            if last:
                return self._without_lead(torch.cat(finished, dim=-1))
            self._advance(advance)

    def _without_lead(self, stems: Tensor) -> Tensor:
        """Drop what comes before the song."""
        dropped = min(self._lead, stems.shape[-1])
        self._lead -= dropped
        return stems[..., dropped:]

    def _last(self, samples: int) -> Tensor:
        """Fill what is left of the song up to a chunk, ``(groups, 2, chunk)``, unless ragged."""
        if self._cut.ragged:
            return self._pending[..., : self._cut.chunk]
        too_long = self._cut.chunk - samples
        if not self._cut.centred:
            return F.pad(self._pending, (0, too_long))
        before = self._past[..., max(self._past.shape[-1] - too_long // 2, 0) :]
        left = too_long // 2 - before.shape[-1]
        return F.pad(torch.cat([before, self._pending], dim=-1), (left, too_long - too_long // 2))

    def _advance(self, samples: int) -> None:
        """Drop samples that no later chunk begins with."""
        if self._cut.centred:
            past = torch.cat([self._past, self._pending[..., :samples]], dim=-1)
            self._past = past[..., -(self._cut.chunk // 2) :]
        self._pending = self._pending[..., samples:]

    def _collect(self) -> None:
        """Join the blocks that came; not at every push, or many short ones would be slow."""
        self._pending = torch.cat([self._pending, *self._blocks], dim=-1)
        self._blocks.clear()

    def _separate(self, chunks: Tensor, count: int) -> Tensor:
        """Separate the first ``count`` of ``(groups, 2, chunks, chunk)``, except silent ones.

        Returns:
            ``(groups, count, stems, 2, chunk)``; what is silent has silent stems.
        """
        # The separator need not know of groups: a flat batch.
        flat = chunks[:, :, :count].transpose(1, 2).flatten(0, 1)
        audible = torch.ones(len(flat), dtype=torch.bool)
        if self._skip_silence:
            audible = flat.flatten(1).any(dim=1)
        with torch.inference_mode():
            if audible.all() and len(flat) <= self._batch:
                result = self._separator.separate(flat)  # not copied: it is all that is asked
                self._done(len(flat))
            else:
                result = flat.new_zeros(len(flat), len(self._separator.stems), *flat.shape[1:])
                for some in audible.nonzero()[:, 0].split(self._batch):  # type: ignore[no-untyped-call]
                    if len(some):
                        result[some] = self._separator.separate(flat[some])
                        self._done(len(some))
                self._done(int((~audible).sum()))
        return result.reshape(-1, count, *result.shape[1:])

    def _add(self, piece: Tensor, samples: int | None = None) -> list[Tensor]:
        """Join the stems of one chunk to what was there; return what no later chunk will touch.

        Args:
            piece: ``(groups, stems, 2, chunk)``.
            samples: of the song that are in it, if it is the last.

        Returns:
            One after the other in time; they may be views of ``piece``.
        """
        cut = self._cut
        window = weights(cut, first=self._first, last=samples is not None)
        over = self._weight.shape[0]
        # Beyond what overlaps, up to where it falls, a chunk has the weight 1.
        joint = piece[..., :over] * window[:over] + self._total
        weight = window[:over] + self._weight
        # All but the first chunk begin with context, which the chunk before has answered.
        start = 0 if self._first and not cut.padded else cut.context
        advance = cut.hop - (self._offset if self._first else 0)
        end = advance + cut.context if samples is None else samples - cut.silence
        answered = joint[..., start:end] / weight[start:end].clamp(min=TINY)
        done = [answered, piece[..., max(over, start) : end]]
        after = max(advance, over)
        rest = piece[..., after:] * window[after:]
        self._total = torch.cat([joint[..., advance:], rest], dim=-1)
        self._weight = torch.cat([weight[advance:], window[after:]])
        self._first = False
        return done


def weights(cut: Chunking, *, first: bool, last: bool) -> Tensor:
    """How much each sample of a chunk counts, ``(chunk,)``.

    >>> weights(Chunking(chunk=8, hop=4, context=1), first=False, last=False)
    tensor([0.0000, 0.3333, 0.6667, 1.0000, 1.0000, 0.6667, 0.3333, 0.0000])
    >>> weights(Chunking(chunk=8, hop=4, context=1), first=True, last=False)
    tensor([1.0000, 1.0000, 1.0000, 1.0000, 1.0000, 0.6667, 0.3333, 0.0000])
    """
    kept, most = cut.chunk - 2 * cut.context, fade(cut) + 1
    # From 1 / most, not from 0: no sample may have a total weight of zero.
    ramp = torch.arange(1, kept + 1).clamp(max=most) / most
    window = F.pad(torch.minimum(ramp, ramp.flip(0)), (cut.context, cut.context))
    if cut.frame_hop and cut.chunk - cut.hop == 3 * cut.frame_hop:
        window = of_frames(cut.frame_hop, cut.chunk)
    middle = cut.chunk // 2
    if first:
        window[:middle] = 1
    if last:
        window[middle:] = 1
    return window


def fade(cut: Chunking) -> int:
    """Samples over which the weight of a chunk rises, and falls."""
    kept = cut.chunk - 2 * cut.context
    return min(kept - cut.hop, kept // 2)
