"""Adapts a Demucs v1 or v2 network to the separator contract.

Its convolutions are not padded, so it needs more input samples than it returns; this module
supplies the extra context and crops the output.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from demixing.networks import execution
from demixing.networks.demucs_v2 import Demucs, prepared, valid_length
from demixing.networks.movable import Networks
from demixing.separator import Chunking

SAMPLE_RATE_HZ = 44_100
STEMS = ("drums", "bass", "other", "vocals")


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments(Networks):
    """A Demucs network on segments of a song.

    Attributes:
        network: ``(batch, 2, samples)`` to ``(batch, stems, 2, fewer samples)``.
        valid_length: maps the length of a segment to the required input length.
        chunking: segments, each with context at both ends, or without.
        stems: names of the network's outputs.
        sample_rate_hz: the rate that the network was trained at.
        normalises: see :mod:`demixing.engine.normalisation`.
        answers_silence: see :func:`demixing.separator.answers_silence`.
    """

    network: Callable[[Tensor], Tensor]
    valid_length: Callable[[int], int]
    chunking: Chunking
    stems: tuple[str, ...] = STEMS
    sample_rate_hz: int = SAMPLE_RATE_HZ
    normalises: str = "mono"
    answers_silence: bool = True

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        context = self.chunking.context
        samples = chunks.shape[-1] - 2 * context
        return F.pad(self.separate_middle(chunks, samples), (context, context))

    def separate_middle(self, chunks: Tensor, samples: int) -> Tensor:
        """Separate the samples after the context of chunks.

        Args:
            chunks: ``(batch, 2, chunk)``.
            samples: number of samples to separate.

        Returns:
            ``(batch, stems, 2, samples)``.
        """
        valid = self.valid_length(samples)
        before = self.chunking.context - (valid - samples) // 2
        after = before + valid - chunks.shape[-1]
        stems = self.network(F.pad(chunks, (-before, after)))
        start = (stems.shape[-1] - samples) // 2
        return stems[..., start : start + samples]


def segments(
    network: Demucs, chunking: Chunking, *, precision: str = "fp32", normalises: str = "mono"
) -> Segments:
    """Build a separator from a network with weights.

    Args:
        network: is not touched.
        chunking: segments, each with context at both ends, or without.
        precision: of the network, see :mod:`demixing.networks.execution`.
        normalises: see :mod:`demixing.engine.normalisation`.

    Raises:
        ConfigError: there is no such precision.
    """
    return Segments(
        network=execution.choose(precision).prepare(network, prepared),
        valid_length=functools.partial(
            valid_length, depth=network.depth, resample=network.up is not None
        ),
        chunking=chunking,
        normalises=normalises,
    )


def segment_and_hop(chunk_s: float, overlap: float) -> tuple[int, int]:
    """Return the length and the hop of segments, in samples.

    Args:
        chunk_s: length of a segment in seconds.
        overlap: fraction of a segment that is cross-faded with the next one.

    Raises:
        ValueError: a segment has no samples, or ``overlap`` is out of range.

    >>> segment_and_hop(40, 0.25)
    (1764000, 1323000)
    """
    segment = round(chunk_s * SAMPLE_RATE_HZ)
    if segment < 1 or not 0 <= overlap < 1:
        raise ValueError(f"need chunk_s > 0 and 0 <= overlap < 1, got {chunk_s} and {overlap}")
    return segment, max(int((1 - overlap) * segment), 1)
