"""ByteSep's small network of separable convolutions on four bands, for several stems at once.

With the options as they are, names and shapes of its weights are those of the published files, but
for the last layer where there are several stems: a run may start from one of them.

Source: see :mod:`demixing.networks.bytesep_mobilenet`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from demixing.networks.bytesep import begun
from demixing.networks.bytesep_fast import prepared as prepared
from demixing.networks.bytesep_mobilenet import CHANNELS, MobileNet
from demixing.networks.chunk_geometry import Chunked
from demixing.networks.decoupled import FRAMES, MAPS
from demixing.networks.pqmf import BANDS

SAMPLE_RATE_HZ = 44_100
PUBLISHED = 2 * MAPS * BANDS
"""Outputs of the last layer of a published file."""


class BytesepMobileNet(MobileNet, Chunked):
    """A trainable :class:`demixing.networks.bytesep_mobilenet.MobileNet`."""


def build(
    stems: tuple[str, ...],
    channels: Sequence[int] = CHANNELS,
    chunk_s: float = 10.0,
    context_s: float = 1.0,
) -> BytesepMobileNet:
    """Build the network.

    Args:
        stems: their names.
        channels: of the six steps down.
        chunk_s: seconds that it hears at a time when it separates.
        context_s: seconds of those that are thrown away at both ends.

    Raises:
        ValueError: an option is not as it should be.
    """
    made = BytesepMobileNet(targets=len(stems), channels=tuple(channels))
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
