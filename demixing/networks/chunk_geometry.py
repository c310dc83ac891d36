"""The chunk geometry that a trainable network declares."""

from torch import Tensor, nn


class ChunkGeometry(nn.Module):
    """Base class of networks that separate chunks; all lengths in samples at the network's rate.

        |context|  fade  |      flat      |  fade  |context|     one chunk
                         |<------------- hop ------------->|

    The engine cuts a song into overlapping chunks, discards the context at both ends of each output
    and cross-fades the rest with the next. Training uses other lengths; the output always has the
    length of the input.

    Attributes:
        sample_rate_hz: the only rate that the network accepts.
        chunk: length of a chunk.
        hop: distance between the starts of consecutive chunks.
        context: samples at both ends that are discarded.
        step: chunks that start at multiples of it share one frame grid.
        shorter: shorter chunk lengths, for machines with little memory.

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
        """Set all lengths, as multiples of ``step``; an eighth of the rest is cross-faded.

        Args:
            sample_rate_hz: see the class.
            step: see the class.
            chunk_s: length of a chunk in seconds, rounded.
            context_s: context in seconds, rounded up.

        Raises:
            ValueError: a chunk has only context.
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
