"""Demucs v2 (2021): drums, bass, other and vocals, from the waveform.

As its authors separate: the song is brought to one level and cut into segments of 40 s, of which
10 s overlap and are cross-faded. So that no step of the network leaves a sample over, a segment
is lengthened by about 70 ms, half of it at each end, with what the song has there. The last
segment is as short as what is left of the song. Random shifts are off; passes of a recipe
take their place.

Source: github.com/facebookresearch/demucs at 9602180 (2.0.3); Defossez, Usunier, Bottou, Bach,
"Music source separation in the waveform domain", arXiv:1911.13254.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from demixing.networks import execution
from demixing.networks.demucs_v2 import STRIDE, Demucs, prepared, valid_length
from demixing.networks.loading import load
from demixing.networks.movable import Networks
from demixing.separator import Chunking
from demixing.weights import checkpoints

SAMPLE_RATE_HZ = 44_100
STEMS = ("drums", "bass", "other", "vocals")
CHANNELS = {"demucs_v2": 64, "demucs_v2_extra": 64, "demucs_v2_48_hq": 48}
"""Of the first step, by the name of the weights; the files do not say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments(Networks):
    """A Demucs network on segments of a song.

    Attributes:
        network: ``(batch, 2, samples)`` to ``(batch, stems, 2, fewer samples)``.
        valid_length: the length of a mixture for the network, of that of a segment.
        segment: samples of a segment; what a chunk has beyond it is context.
        chunking: segments, each with context at both ends, or without.
    """

    network: Callable[[Tensor], Tensor]
    valid_length: Callable[[int], int]
    segment: int
    chunking: Chunking
    stems: tuple[str, ...] = STEMS
    sample_rate_hz: int = SAMPLE_RATE_HZ
    normalises: str = "mono"

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        context = self.chunking.context
        samples = chunks.shape[-1] - 2 * context
        return F.pad(self.answer(chunks, samples), (context, context))

    def answer(self, chunks: Tensor, samples: int) -> Tensor:
        """Stems of the first ``samples`` after the context, ``(batch, stems, 2, samples)``."""
        valid = self.valid_length(samples)
        before = self.chunking.context - (valid - samples) // 2
        after = before + valid - chunks.shape[-1]
        stems = self.network(F.pad(chunks, (-before, after)))
        start = (stems.shape[-1] - samples) // 2
        return stems[..., start : start + samples]


def adapt(
    network: Demucs,
    *,
    chunk_s: float = 40.0,
    overlap: float = 0.25,
    precision: str = "fp32",
    normalises: str = "mono",
) -> Segments:
    """Make a separator of a network that has its weights.

    Args:
        network: is not touched.
        chunk_s: length of a segment in seconds.
        overlap: part of a segment that is cross-faded with the next one.
        precision: of the network, see :mod:`demixing.networks.execution`.
        normalises: by which deviation of the song: its authors', of "mono", or of "stereo".

    Raises:
        ConfigError: there is no such precision.
        ValueError: a length is of no use.
    """
    segment = round(chunk_s * SAMPLE_RATE_HZ)
    if segment < 1 or not 0 <= overlap < 1:
        raise ValueError(f"need chunk_s > 0 and 0 <= overlap < 1, got {chunk_s} and {overlap}")
    if normalises not in ("mono", "stereo"):
        raise ValueError(f"normalises must be mono or stereo, got {normalises!r}")
    # Lengths on one grid: the shortest segment is lengthened least, some other by a step more.
    most = network.valid_length(segment) - segment + 2 * STRIDE**network.depth
    context = -(-most // 2)
    chunking = Chunking(
        chunk=segment + 2 * context,
        hop=max(int((1 - overlap) * segment), 1),
        context=context,
        every_hop=True,
        ragged=True,
        padded=True,
    )
    return Segments(
        network=execution.choose(precision).prepare(network, prepared),
        valid_length=functools.partial(
            valid_length, depth=network.depth, resample=network.up is not None
        ),
        segment=segment,
        chunking=chunking,
        normalises=normalises,
    )


def uses(checkpoint: str = "demucs_v2") -> list[str]:
    """Names of the files in the register."""
    return [checkpoint]


def build(
    checkpoint: str = "demucs_v2",
    chunk_s: float = 40.0,
    overlap: float = 0.25,
    precision: str = "fp32",
    normalises: str = "mono",
) -> Segments:
    """Load a released network.

    Args:
        checkpoint: name of its weights: ``demucs_v2``, ``demucs_v2_extra`` (with 150 more
            songs) or ``demucs_v2_48_hq`` (fewer channels, trained on lossless songs).
        chunk_s: length of a segment in seconds; less needs less memory.
        overlap: part of a segment that is cross-faded with the next one.
        precision: of the network, see :mod:`demixing.networks.execution`.
        normalises: by which deviation of the song: its authors', of "mono", or of "stereo".

    Raises:
        CheckpointError: the file is missing or altered, or holds another network.
        ConfigError: there is no such precision.
        ValueError: there are no such weights, or a length is of no use.
    """
    if checkpoint not in CHANNELS:
        raise ValueError(f"checkpoint must be one of {', '.join(CHANNELS)}, got {checkpoint!r}")
    entry = checkpoints.find(checkpoint)
    network = load(lambda: Demucs(CHANNELS[checkpoint]), checkpoints.load(entry), entry.name)
    return adapt(
        network, chunk_s=chunk_s, overlap=overlap, precision=precision, normalises=normalises
    )
