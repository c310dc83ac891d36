"""ByteSep's U-Net of 143 layers on the whole spectrum (ISMIR 2021), for several stems at once.

With the options as they are, names and shapes of its weights are those of the published files, but
for the last layer where there are several stems: a run may start from one of them.

Source: see :mod:`demixing.networks.bytesep`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from demixing.networks.bytesep import BLOCKS, CHANNELS, ResUNet143, begun
from demixing.networks.bytesep_fast import prepared as prepared
from demixing.networks.chunk_geometry import Chunked
from demixing.networks.decoupled import FRAMES, MAPS

SAMPLE_RATE_HZ = 44_100
PUBLISHED = 2 * MAPS
"""Outputs of the last layer of a published file."""


class BytesepResUNet(ResUNet143, Chunked):
    """A trainable :class:`demixing.networks.bytesep.ResUNet143`."""


def build(
    stems: tuple[str, ...],
    channels: Sequence[int] = CHANNELS,
    blocks: int = BLOCKS,
    chunk_s: float = 10.0,
    context_s: float = 1.0,
) -> BytesepResUNet:
    """Build the network.

    Args:
        stems: their names.
        channels: of the six steps down; half of each is a fourth of the work.
        blocks: in each step, of two convolutions each.
        chunk_s: seconds that it hears at a time when it separates.
        context_s: seconds of those that are thrown away at both ends. Its authors keep the middle
            half of 30 s.

    Raises:
        ValueError: an option is not as it should be.
    """
    made = BytesepResUNet(
        targets=len(stems), variant="ismir2021", channels=tuple(channels), blocks=blocks
    )
    made.cut(SAMPLE_RATE_HZ, FRAMES * made.frame_hop * made.bands, chunk_s, context_s)
    return made


def adapted(
    state: Mapping[str, Tensor], stems: tuple[str, ...], **options: Any
) -> dict[str, Tensor]:
    """Make weights to begin with of those of a published file, which has one stem.

    Args:
        state: of such a file, or of this network.
        stems: of the network; all of them answer like the one at first.
        options: of the network.
    """
    del options
    return begun(state, len(stems), PUBLISHED)
