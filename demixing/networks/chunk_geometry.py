"""What a network that can be trained says about the chunks that it wants to be given."""

from torch import Tensor, nn


class ChunkGeometry(nn.Module):
    """Stems of chunks of a mixture; all lengths in samples at the network's own rate.

    The engine gives a network chunks of a song that overlap, throws the context at both ends of
    each away, and cross-fades what is left with the next. A network that is given other lengths,
    as it is while it is trained, answers in that length.

    Attributes:
        sample_rate_hz: the only rate that the network understands.
        chunk: length of what it is given.
        hop: distance between the starts of two chunks.
        context: what is thrown away at both ends.
        step: chunks that begin at multiples of it have one grid of frames.
        shorter: other lengths of a chunk that are accepted where memory is short.

    Shape:
        ``(batch, 2, samples)`` to ``(batch, stems, 2, samples)``.
    """

    sample_rate_hz: int
    chunk: int
    hop: int
    context: int
    step: int
    shorter: tuple[int, ...] = ()

    def set_geometry(
        self, sample_rate_hz: int, step: int, chunk_s: float, context_s: float
    ) -> None:
        """Choose the lengths, as multiples of ``step``; an eighth of what is kept is cross-faded.

        Args:
            sample_rate_hz: see the class.
            step: see the class.
            chunk_s: seconds, rounded.
            context_s: seconds, rounded up.

        Raises:
            ValueError: context leaves nothing of a chunk.
        """
        steps = round(chunk_s * sample_rate_hz / step)
        around = -int(-context_s * sample_rate_hz // step)
        flat = (steps - 2 * around) * 7 // 8
        if flat < 1 or around < 0:
            raise ValueError(
                f"chunks of {chunk_s} s have nothing left without {context_s} s at both ends; "
                f"lengths are multiples of {step / sample_rate_hz:.3f} s"
            )
        self.sample_rate_hz, self.step = sample_rate_hz, step
        self.chunk, self.hop, self.context = steps * step, flat * step, around * step

    def forward(self, mixtures: Tensor) -> Tensor:
        """See the class."""
        raise NotImplementedError
