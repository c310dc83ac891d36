"""Makes a separator of a network of the hybrid Demucs family that somebody has built and filled.

The networks of Demucs v3 and v4 map audio to stems, both in the time domain. Their own driver cuts
a song into segments that overlap by a quarter and weights them with triangles; where no more than
two segments overlap, triangles that are divided by their sum are straight cross-fades, which is
what :class:`my_submission.overlap.OverlapAdd` does. A segment begins at every hop; those that
reach beyond the end of the song are moved back by half of that for v4, and cut for v3.

Their command line also subtracts the mean of the whole song and divides by its deviation. A stream
does not know either; but the networks do the same to each segment themselves, so doing it before
changes nothing but the weight of their 1e-5 against zero deviation. We leave it out.

Source: Défossez, "Hybrid spectrogram and waveform source separation", MDX workshop 2021; Rouard,
Massa, Défossez, "Hybrid transformers for music source separation", ICASSP 2023.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from models.rewrites import rewrite
from my_submission import execution
from my_submission.execution import Placed
from my_submission.separators import Chunking

OVERLAP = 0.25
"""Of a segment, with the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hybrid:
    """One network as a separator.

    Attributes:
        run: the network, ``(batch, 2, samples)`` to ``(batch, stems, 2, samples)``.
        stems: what it gives, in its order.
        sample_rate_hz: that it was trained at.
        chunking: its segments.
        any_length: whether it takes shorter segments too. Then silence at the end, as in the last
            segment of a song, is not computed; their driver does not give it to the network either.
    """

    run: Placed
    stems: tuple[str, ...]
    sample_rate_hz: int
    chunking: Chunking
    any_length: bool

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`my_submission.separators.Separator`."""
        samples = chunks.shape[-1]
        heard = _audible(chunks) if self.any_length else samples
        answer = self.run(chunks[..., :heard])
        return F.pad(answer, (0, samples - heard))

    def to_cpu(self) -> None:
        """Leave the GPU, whose memory is too small."""
        self.run.to_cpu()


def adapt(
    network: nn.Module,
    stems: tuple[str, ...],
    *,
    segment_s: float,
    sample_rate_hz: int = 44_100,
    any_length: bool = False,
    precision: str = "fp32",
    bf16_change_db: float | None = None,
) -> Hybrid:
    """Make a separator of a network.

    Args:
        network: with its weights; it is copied, not changed.
        stems: what it gives, in its order.
        segment_s: length of its segments: 7.8 s for v4, 44 s for v3.
        sample_rate_hz: that it was trained at.
        any_length: whether it takes shorter segments too, as v3 does.
        precision: see :mod:`my_submission.execution`.
        bf16_change_db: of these weights, from the register.

    Raises:
        ConfigError: there is no such precision.
    """
    how = execution.choose(precision, change_db=bf16_change_db)
    chunk = int(sample_rate_hz * segment_s)
    return Hybrid(
        run=how.prepare(network, rewrite),
        stems=stems,
        sample_rate_hz=sample_rate_hz,
        chunking=Chunking(
            chunk=chunk,
            hop=int((1 - OVERLAP) * chunk),
            every_hop=True,
            centred=not any_length,
        ),
        any_length=any_length,
    )


def _audible(chunks: Tensor) -> int:
    """Samples up to the last one that is not zero in any chunk; at least one."""
    loud = chunks.ne(0).flatten(0, 1).any(dim=0).nonzero()
    return int(loud[-1]) + 1 if len(loud) else 1
