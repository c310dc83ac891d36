"""Demucs v1 (2019): drums, bass, other and vocals, from the waveform.

As its authors separate: the song is brought to one level and cut into chunks of 10 s that do not
overlap; each is lengthened with silence at both ends, so that no step of the network leaves a
sample over. The last chunk is as short as what is left of the song. Random shifts are off; passes
of a recipe take their place.

One thing is left to whoever reads the song: the authors round it to the grid of 16 bits, on which
most songs are anyway. Others differ by that rounding, which is below -90 dB.

Source: github.com/facebookresearch/demucs at dcee007; Defossez, Usunier, Bottou, Bach, "Music
source separation in the waveform domain", arXiv:1911.13254.
"""

import functools

from demixing.networks import execution
from demixing.networks.demucs_v2 import Demucs, prepared, valid_length
from demixing.networks.loading import load
from demixing.separator import Chunking
from demixing.separators.demucs_v2 import SAMPLE_RATE_HZ, Segments
from demixing.weights import checkpoints

CHANNELS = {"demucs_v1": 100, "demucs_v1_light": 64}
"""Of the first step, by what the name of the weights begins with."""


def adapt(
    network: Demucs, *, chunk_s: float = 10.0, overlap: float = 0.0, precision: str = "fp32"
) -> Segments:
    """Make a separator of a network that has its weights.

    Args:
        network: is not touched.
        chunk_s: length of a chunk in seconds.
        overlap: part of a chunk that is cross-faded with the next one.
        precision: of the network, see :mod:`demixing.networks.execution`.

    Raises:
        ConfigError: there is no such precision.
        ValueError: a length is of no use.
    """
    chunk = round(chunk_s * SAMPLE_RATE_HZ)
    if chunk < 1 or not 0 <= overlap < 1:
        raise ValueError(f"need chunk_s > 0 and 0 <= overlap < 1, got {chunk_s} and {overlap}")
    hop = max(int((1 - overlap) * chunk), 1)
    return Segments(
        network=execution.choose(precision).prepare(network, prepared),
        valid_length=functools.partial(
            valid_length, depth=network.depth, resample=network.up is not None
        ),
        segment=chunk,
        chunking=Chunking(chunk=chunk, hop=hop, every_hop=True, ragged=True),
    )


def uses(checkpoint: str = "demucs_v1") -> list[str]:
    """Names of the files in the register."""
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
            with ``_extra`` (150 more songs), and with ``_gz`` (rounded to 8 bits).
        chunk_s: length of a chunk in seconds; less needs less memory.
        overlap: part of a chunk that is cross-faded with the next one; the authors have none.
        precision: of the network, see :mod:`demixing.networks.execution`.

    Raises:
        CheckpointError: the file is missing or altered, or holds another network.
        ConfigError: there is no such precision.
        ValueError: there are no such weights, or a length is of no use.
    """
    family = checkpoint.removesuffix("_gz").removesuffix("_extra")
    if family not in CHANNELS:
        raise ValueError(f"checkpoint must begin with demucs_v1, got {checkpoint!r}")
    entry = checkpoints.find(checkpoint)
    make = functools.partial(Demucs, CHANNELS[family], resample=False, epsilon=0.0)
    network = load(make, checkpoints.load(entry), entry.name)
    return adapt(network, chunk_s=chunk_s, overlap=overlap, precision=precision)
