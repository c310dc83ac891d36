"""Demucs v1 (2019): drums, bass, other and vocals, from the waveform.

Songs are processed as the authors do: normalised, and cut into chunks of 10 s that do not overlap.
Each chunk is padded with silence at both ends to a valid length for the network. The last chunk is
as short as the rest of the song. Random shifts are off; a recipe's shift trick replaces them.

One step is missing: the authors round a song to 16 bits after reading it. Most songs are stored
with 16 bits; for others, the difference is below -90 dB.

Source: github.com/facebookresearch/demucs at dcee007; Defossez, Usunier, Bottou, Bach, "Music
source separation in the waveform domain", arXiv:1911.13254.
"""

import functools

from demixing.networks.demucs_v2 import Demucs
from demixing.separator import Chunking, SongEnd
from demixing.separators.demucs.segments import Segments, segment_and_hop, segments
from demixing.weights import checkpoints
from demixing.weights.loading import load

CHANNELS = {"demucs_v1": 100, "demucs_v1_light": 64}
"""Channels of the first step, by prefix of the weights' name."""


def adapt(
    network: Demucs, *, chunk_s: float = 10.0, overlap: float = 0.0, precision: str = "fp32"
) -> Segments:
    """Build a separator from a network with weights.

    Args:
        network: is not touched.
        chunk_s: length of a chunk in seconds.
        overlap: fraction of a chunk that is cross-faded with the next one.
        precision: of the network, see :mod:`demixing.networks.execution`.

    Raises:
        ConfigError: there is no such precision.
        ValueError: ``chunk_s`` or ``overlap`` is out of range.
    """
    chunk, hop = segment_and_hop(chunk_s, overlap)
    chunking = Chunking(chunk=chunk, hop=hop, end=SongEnd.EVERY_HOP_RAGGED)
    return segments(network, chunking, precision=precision)


def required_weights(checkpoint: str = "demucs_v1") -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens."""
    return [checkpoint]


def build(
    checkpoint: str = "demucs_v1",
    chunk_s: float = 10.0,
    overlap: float = 0.0,
    precision: str = "fp32",
) -> Segments:
    """Load a released network.

    Args:
        checkpoint: name of its weights: ``demucs_v1`` or ``demucs_v1_light``, either of them also
            with ``_extra`` (trained with 150 more songs) and with ``_gz`` (rounded to 8 bits).
        chunk_s: length of a chunk in seconds; a shorter one needs less memory.
        overlap: fraction of a chunk that is cross-faded with the next one; the authors use none.
        precision: of the network, see :mod:`demixing.networks.execution`.

    Raises:
        CheckpointError: the file is missing, altered, or for another network.
        ConfigError: there is no such precision.
        ValueError: there are no such weights, or ``chunk_s`` or ``overlap`` is out of range.
    """
    family = checkpoint.removesuffix("_gz").removesuffix("_extra")
    if family not in CHANNELS:
        raise ValueError(f"checkpoint must start with demucs_v1, got {checkpoint!r}")
    entry = checkpoints.find(checkpoint)
    make = functools.partial(Demucs, CHANNELS[family], resample=False, epsilon=0.0)
    network = load(make, checkpoints.load(entry), entry.name)
    return adapt(network, chunk_s=chunk_s, overlap=overlap, precision=precision)
