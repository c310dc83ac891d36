"""Demucs v2 (2021): drums, bass, other and vocals, from the waveform.

Songs are processed as the authors do: normalised, and cut into segments of 40 s that overlap by 10
s and are cross-faded. A segment is extended by about 35 ms of the song at each end, to a valid
length for the network. The last segment is as short as the rest of the song. Random shifts are off;
a recipe's shift trick replaces them.

Source: github.com/facebookresearch/demucs at 9602180 (2.0.3); Defossez, Usunier, Bottou, Bach,
"Music source separation in the waveform domain", arXiv:1911.13254.
"""

from demixing.networks.demucs_v2 import STRIDE, Demucs
from demixing.separator import Chunking, SongEnd
from demixing.separators.demucs.segments import Segments, segment_and_hop, segments
from demixing.weights import checkpoints
from demixing.weights.loading import load

CHANNELS = {"demucs_v2": 64, "demucs_v2_extra": 64, "demucs_v2_48_hq": 48}
"""Channels of the first step, by the name of the weights; the files do not contain them."""


def adapt(
    network: Demucs,
    *,
    chunk_s: float = 40.0,
    overlap: float = 0.25,
    precision: str = "fp32",
    normalises: str = "mono",
) -> Segments:
    """Build a separator from a network with weights.

    Args:
        network: is not touched.
        chunk_s: length of a segment in seconds.
        overlap: fraction of a segment that is cross-faded with the next one.
        precision: of the network, see :mod:`demixing.networks.execution`.
        normalises: the deviation that a song is divided by: "mono" as the authors do, or "stereo".

    Raises:
        ConfigError: there is no such precision.
        ValueError: an option is out of range.
    """
    segment, hop = segment_and_hop(chunk_s, overlap)
    if normalises not in ("mono", "stereo"):
        raise ValueError(f"normalises must be mono or stereo, got {normalises!r}")
    # Valid lengths form a grid: any segment is extended by at most one grid step.
    most = network.valid_length(segment) - segment + 2 * STRIDE**network.depth
    context = -(-most // 2)
    chunking = Chunking(
        chunk=segment + 2 * context,
        hop=hop,
        context=context,
        end=SongEnd.EVERY_HOP_RAGGED,
    )
    return segments(network, chunking, precision=precision, normalises=normalises)


def required_weights(checkpoint: str = "demucs_v2") -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens."""
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
        checkpoint: name of its weights: ``demucs_v2``, ``demucs_v2_extra`` (trained with 150 more
            songs) or ``demucs_v2_48_hq`` (fewer channels, trained on lossless songs).
        chunk_s: length of a segment in seconds; a shorter one needs less memory.
        overlap: fraction of a segment that is cross-faded with the next one.
        precision: of the network, see :mod:`demixing.networks.execution`.
        normalises: the deviation that a song is divided by: "mono" as the authors do, or "stereo".

    Raises:
        CheckpointError: the file is missing, altered, or for another network.
        ConfigError: there is no such precision.
        ValueError: there are no such weights, or an option is out of range.
    """
    if checkpoint not in CHANNELS:
        raise ValueError(f"checkpoint must be one of {', '.join(CHANNELS)}, got {checkpoint!r}")
    entry = checkpoints.find(checkpoint)
    network = load(lambda: Demucs(CHANNELS[checkpoint]), checkpoints.load(entry), entry.name)
    return adapt(
        network, chunk_s=chunk_s, overlap=overlap, precision=precision, normalises=normalises
    )
