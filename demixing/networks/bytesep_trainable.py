"""ByteSep's networks for training: several stems, in chunks, starting from published weights.

There is a plug-in file for each variant, because weight files and run files contain those names.
With default options, names and shapes of the weights match the published files, except for the last
layer if there are several stems.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from torch import Tensor

from demixing.networks import bytesep, bytesep_mobilenet
from demixing.networks.bytesep import VARIANTS, ResUNet143, weights
from demixing.networks.bytesep_fast import prepared as prepared
from demixing.networks.bytesep_mobilenet import MobileNet
from demixing.networks.chunk_geometry import ChunkGeometry
from demixing.networks.decoupled import FRAMES, MAPS

SAMPLE_RATE_HZ = 44_100

Network = TypeVar("Network", "BytesepResUNet", "BytesepMobileNet")


class BytesepResUNet(ResUNet143, ChunkGeometry):
    """A trainable :class:`demixing.networks.bytesep.ResUNet143`."""


class BytesepMobileNet(MobileNet, ChunkGeometry):
    """A trainable :class:`demixing.networks.bytesep_mobilenet.MobileNet`."""


def resunet(
    variant: str,
    stems: tuple[str, ...],
    channels: Sequence[int] = bytesep.CHANNELS,
    blocks: int = bytesep.BLOCKS,
    chunk_s: float = 10.0,
    context_s: float = 1.0,
) -> BytesepResUNet:
    """Build the U-Net of 143 layers.

    Args:
        variant: key of :data:`demixing.networks.bytesep.VARIANTS`.
        stems: names of the outputs.
        channels: of the six steps down; half of each is a quarter of the work.
        blocks: in each step, of two convolutions each.
        chunk_s: length in seconds of the chunks that the network separates.
        context_s: seconds at both ends of a chunk that are discarded. The authors keep the middle
            half of 30 s.

    Raises:
        ValueError: an option is out of range.
    """
    network = BytesepResUNet(
        targets=len(stems), variant=variant, channels=tuple(channels), blocks=blocks
    )
    return _in_chunks(network, chunk_s, context_s)


def mobilenet(
    stems: tuple[str, ...],
    channels: Sequence[int] = bytesep_mobilenet.CHANNELS,
    chunk_s: float = 10.0,
    context_s: float = 1.0,
) -> BytesepMobileNet:
    """Build the small network of separable convolutions.

    Args:
        stems: names of the outputs.
        channels: of the six steps down.
        chunk_s: length in seconds of the chunks that the network separates.
        context_s: seconds at both ends of a chunk that are discarded.

    Raises:
        ValueError: an option is out of range.
    """
    network = BytesepMobileNet(targets=len(stems), channels=tuple(channels))
    return _in_chunks(network, chunk_s, context_s)


def _in_chunks(network: Network, chunk_s: float, context_s: float) -> Network:
    """Set the chunk geometry of a network, in whole blocks of frames."""
    network.set_geometry(
        SAMPLE_RATE_HZ, FRAMES * network.frame_hop * network.bands, chunk_s, context_s
    )
    return network


def warm_start(
    variant: str, state: Mapping[str, Tensor], stems: tuple[str, ...], **options: Any
) -> dict[str, Tensor]:
    """Create initial weights from a published file, which separates one stem.

    Args:
        variant: key of :data:`demixing.networks.bytesep.VARIANTS`.
        state: of a published file, or of the network itself; tensors by key, of the layers' shapes.
        stems: names of the network's outputs; with a published file all of them start as its one.
        options: of the network; not used.

    Returns:
        Weights of the network; those of its last layer have one block of rows for each stem.
    """
    del options
    published = 2 * MAPS * VARIANTS[variant]["bands"]
    last = state.get("after_conv2.bias")
    return weights(state, len(stems) if last is not None and len(last) == published else 1)
