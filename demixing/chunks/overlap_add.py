r"""Overlap-add: a separator of chunks becomes a separator of songs of any length.

Chunk ``k`` of a song ``x`` starts at ``s[k] = k * hop`` and has ``chunk`` samples. The separator
maps it to ``y[k]``, and the chunks are averaged with a window ``w`` of their length:

    y[n] = sum_k(w[n - s[k]] * y[k][n - s[k]]) / sum_k(w[n - s[k]])                         (1)

where the sums run over the chunks that contain sample ``n``. For a separator that copies its input,
``y[k][n - s[k]] = x[n]`` does not depend on ``k``, so it can be factored out, the sums cancel, and
``y[n] = x[n]``. Overlap-add is thus exact for any window whose sums are positive:

* ``w`` is 0 on the context, which is discarded, and positive elsewhere. By default it rises and
  falls linearly over the overlap: ``1 / (fade + 1), 2 / (fade + 1), ..., 1``, not from 0. Authors
  of networks have used other windows, too: :class:`demixing.separator.Window`.
* A chunk without its context is at least a hop long, so every sample of the song is covered;
  :class:`Chunking` checks that.
* At the ends of a song nothing overlaps, and there is no better output for the first and last
  samples. So ``w`` is 1 in the first half of the first chunk and in the last half of the last, if
  chunks overlap by at most a half. If they overlap by more, only the context gets a weight there.

No later chunk contributes to samples before ``s[k + 1]`` plus the context. After chunk ``k`` these
samples are final; for the others, the numerator and the divisor of (1) are kept. Where a chunk
overlaps no other one, (1) is ``y[k]``: it is copied, and arithmetic is only done at the joints.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing.chunks.answer import Answer, Done, Reliable, Source
from demixing.chunks.cutting import Cutter
from demixing.networks.stft import of_frames
from demixing.separator import Chunking, Separator, Window

TINY = 1e-12
"""Lower bound of the divisor in (1), where all chunks have only context, which is discarded."""

Parts = tuple[Tensor, ...]
"""Tensors that are cross-faded in the same way, ``(..., samples)`` each."""


class CrossFade:
    """Joins the outputs for consecutive chunks by (1).

    Args:
        cut: how the song was cut.
        offset: all chunks except the first started this many samples earlier.
    """

    def __init__(self, cut: Chunking, offset: int = 0) -> None:
        self._cut = cut
        self._hop = cut.hop - offset  # to the next chunk
        self._first = True
        # Numerators and divisor of (1) for the samples that earlier chunks share with the next.
        self._total: Parts = ()
        self._weight = torch.zeros(0)
        self._inner: tuple[tuple[int, int], tuple[Tensor, Tensor]] | None = None

    def add(self, results: Parts, samples: int | None = None) -> list[Parts]:
        """Add the outputs for one chunk and return the samples that are final.

        Args:
            results: ``(..., chunk)`` each.
            samples: for the last chunk, how many samples of the song and its padding it contains.

        Returns:
            Consecutive pieces; they may be views of ``results``.
        """
        cut, hop, shared = self._cut, self._hop, self._weight.shape[0]
        rest = max(hop, shared)
        rise, fall = self._window(shared, rest, last=samples is not None)
        total = self._total or tuple(part[..., :0] for part in results)
        # After the shared samples, the window is 1 until it falls.
        joint = tuple(
            (part[..., :shared] * rise).add_(old) for part, old in zip(results, total, strict=True)
        )
        weight = rise + self._weight
        # The previous chunk covers the context at the start.
        start = 0 if self._first and not cut.end.padded else cut.context
        end = hop + cut.context if samples is None else samples - cut.silence
        divisor = weight[start:end].clamp(min=TINY)
        faded = tuple(part[..., start:end] / divisor for part in joint)
        copied = tuple(part[..., max(shared, start) : end] for part in results)
        if samples is None:
            self._total = tuple(
                _extended(old[..., hop:], part[..., rest:] * fall)
                for old, part in zip(joint, results, strict=True)
            )
            self._weight = torch.cat([weight[hop:], fall])
        self._hop, self._first = cut.hop, False
        return [faded, copied]

    def _window(self, shared: int, rest: int, *, last: bool) -> tuple[Tensor, Tensor]:
        """The window's first ``shared`` values, and those from ``rest`` on.

        They are the same for all chunks inside a song, so they are only computed once.
        """
        inner = not self._first and not last
        if inner and self._inner is not None and self._inner[0] == (shared, rest):
            return self._inner[1]
        kind = {"first": self._first, "last": last}
        # The window is 1 between its ends, so computing all of it would be a waste.
        ends = (
            weights(self._cut, 0, shared, **kind),
            weights(self._cut, rest, self._cut.chunk, **kind),
        )
        self._inner = ((shared, rest), ends) if inner else None
        return ends


class AnswerOverlapAdd:
    """Streams one song through a source and cross-fades both stems and validity.

    Args:
        source: separates chunks.
        cut: how the song is cut.
        groups: stereo pairs of the song; each is separated on its own.
        batch: chunks to collect before the source is called.
        offset: all chunks but the first start this many samples earlier.

    Shape:
        in ``(groups, 2, samples)``, out answers with ``(groups, stems, 2, samples)``.

    Raises:
        ValueError: the offset is not from 0 up to a hop.
    """

    def __init__(
        self, source: Source, cut: Chunking, *, groups: int = 1, batch: int = 1, offset: int = 0
    ) -> None:
        if not 0 <= offset < cut.hop:
            raise ValueError(f"need 0 <= offset < {cut.hop}, got {offset}")
        self._source = source
        self._nothing = source.nothing(groups)
        self._together = max(batch // groups, 1)
        self._cutter = Cutter(cut, (groups, 2), offset)
        self._fade = CrossFade(cut, offset)
        self._dropped = 0  # of the samples that precede the song

    def push(self, block: Tensor) -> Answer:
        """See :class:`demixing.chunks.stream.Stream`."""
        return Answer.joined([self._nothing, *self.answers(block)])

    def finish(self) -> Answer:
        """See :class:`demixing.chunks.stream.Stream`."""
        return Answer.joined([self._nothing, *self.last_answers()])

    def answers(self, block: Tensor) -> Iterator[Answer]:
        """Like :meth:`push`, one by one as they become final; they may be views."""
        for chunks in self._cutter.push(block, self._together):
            for results in self._ask(chunks):
                yield from self._song(self._fade.add(results))

    def last_answers(self) -> Iterator[Answer]:
        """Like :meth:`finish`, one by one."""
        for end in self._cutter.finish():
            for results in self._ask(end.audio[..., None, :]):
                placed = tuple(self._cutter.placed(part, end.samples) for part in results)
                yield from self._song(self._fade.add(placed, end.samples if end.last else None))

    def _ask(self, chunks: Tensor) -> Iterator[Parts]:
        """Separate ``(groups, 2, chunks, chunk)`` and yield the output for each chunk."""
        count = chunks.shape[-2]
        # The source need not know about groups, so the batch is flat.
        flat = chunks.transpose(1, 2).flatten(0, 1)
        with torch.inference_mode():
            answer = self._source.answer(flat)
        parts = (part.reshape(-1, count, *part.shape[1:]) for part in _parts(answer))
        return zip(*(part.unbind(1) for part in parts), strict=True)

    def _song(self, finished: Iterable[Parts]) -> Iterator[Answer]:
        """The final samples, without those that precede the song."""
        for parts in finished:
            dropped = min(self._cutter.before - self._dropped, parts[0].shape[-1])
            self._dropped += dropped
            if dropped < parts[0].shape[-1]:
                yield Answer(*parts).split(dropped)[1]


def _extended(before: Tensor, after: Tensor) -> Tensor:
    """Join two tensors in time, without a copy if there is nothing before."""
    return torch.cat([before, after], dim=-1) if before.shape[-1] else after


def _parts(answer: Answer) -> Parts:
    """The tensors of an answer."""
    return (answer.stems,) if answer.valid is None else (answer.stems, answer.valid)


class OverlapAdd:
    """Streams one song through a separator whose errors are raised.

    Chunk k starts at sample ``k * hop``; the separator's :class:`Chunking` defines how the song
    begins and ends.

    Args:
        separator: maps chunks to stems.
        groups: stereo pairs of the song; each is separated on its own.
        batch: chunks per call, which bounds the separator's memory.
        chunking: overrides the separator's own; its chunks have a length that the separator
            accepts.
        offset: all chunks but the first start this many samples earlier. Passes with different
            offsets cut the song in different places, and their mean is better.
        skip_silence: skip silent chunks, if :func:`demixing.chunks.answer.needed` permits it;
            their stems are silent.
        done: called with the number of chunks that have just been separated or skipped.

    Shape:
        in ``(groups, 2, samples)``, out ``(groups, stems, 2, samples)``.

    Raises:
        ValueError: the offset is not from 0 up to a hop.
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
        source = Reliable(separator=separator, batch=batch, skip_silence=skip_silence, done=done)
        cut = chunking or separator.chunking
        self._answers = AnswerOverlapAdd(source, cut, groups=groups, batch=batch, offset=offset)

    def push(self, block: Tensor) -> Tensor:
        """See :class:`demixing.chunks.stream.Stream`."""
        return self._answers.push(block).stems

    def finish(self) -> Tensor:
        """See :class:`demixing.chunks.stream.Stream`."""
        return self._answers.finish().stems


def weights(cut: Chunking, start: int, stop: int, *, first: bool, last: bool) -> Tensor:
    """The window of a chunk from sample ``start`` up to ``stop``, ``(stop - start,)``.

    >>> weights(Chunking(chunk=8, hop=4, context=1), 0, 8, first=False, last=False)
    tensor([0.0000, 0.3333, 0.6667, 1.0000, 1.0000, 0.6667, 0.3333, 0.0000])
    >>> weights(Chunking(chunk=8, hop=4, context=1), 0, 8, first=True, last=False)
    tensor([1.0000, 1.0000, 1.0000, 1.0000, 1.0000, 0.6667, 0.3333, 0.0000])
    >>> weights(Chunking(chunk=8, hop=4, context=1), 5, 8, first=True, last=False)
    tensor([0.6667, 0.3333, 0.0000])
    """
    rise, fall = _ramps(cut)
    window = torch.ones(stop - start)
    _write(rise, -start, window)
    _write(fall, cut.chunk - len(fall) - start, window)
    begin, end = cut.chunk // 2, cut.chunk // 2
    if cut.window is Window.CROSS_FADE and 2 * cut.hop < cut.chunk - 2 * cut.context:
        begin, end = cut.context, cut.chunk - cut.context  # the next chunks reach into its half
    if first:
        window[: max(begin - start, 0)] = 1
    if last:
        window[max(end - start, 0) :] = 1
    return window


def _write(part: Tensor, position: int, window: Tensor) -> None:
    """Write a part into a window, as far as it is inside; ``position`` may be negative."""
    begin, end = max(position, 0), min(position + len(part), len(window))
    if begin < end:
        window[begin:end] = part[begin - position : end - position]


def _ramps(cut: Chunking) -> tuple[Tensor, Tensor]:
    """The ends of the window of a chunk inside a song, with the context; between them it is 1."""
    if cut.frame_hop and cut.chunk - cut.hop == 3 * cut.frame_hop:
        return _halves(of_frames(cut.frame_hop, min(cut.chunk, 6 * cut.frame_hop)))
    if cut.window is Window.HANN:
        rise, fall = _halves(torch.hann_window(cut.chunk - 2 * cut.context))
    else:
        rise = _rise(cut)
        fall = rise.flip(0)
    return F.pad(rise, (cut.context, 0)), F.pad(fall, (0, cut.context))


def _halves(window: Tensor) -> tuple[Tensor, Tensor]:
    """A window as two ramps."""
    half = len(window) // 2
    return window[:half], window[half:]


def _rise(cut: Chunking) -> Tensor:
    """The values with which a symmetrical window rises to 1."""
    kept = cut.chunk - 2 * cut.context
    match cut.window:
        case Window.TENTHS:
            tenth = min(kept // 10, kept - cut.hop)
            # A single 0 would leave a sample without weight.
            return torch.linspace(0, 1, tenth) if tenth > 1 else torch.ones(0)
        case Window.CROSS_FADE:
            length = fade(cut)
            return torch.arange(1, length + 1) / (length + 1)
        case _:
            return torch.ones(0)


def fade(cut: Chunking) -> int:
    """Samples over which the window of a chunk rises and falls."""
    kept = cut.chunk - 2 * cut.context
    return min(kept - cut.hop, kept // 2)
