"""ByteSep's small network of separable convolutions on four bands, for several stems at once.

With the options as they are, names and shapes of its weights are those of the published files, but
for the last layer where there are several stems: a run may start from one of them
(:func:`models.bytesep.weights`).

Source: see :mod:`models.bytesep_mobilenet`.
"""

from collections.abc import Sequence

from models.bytesep_mobilenet import CHANNELS, MobileNet
from models.chunked import Chunked
from models.decoupled import FRAMES

SAMPLE_RATE_HZ = 44_100


class BytesepMobileNet(MobileNet, Chunked):
    """See :class:`models.bytesep_mobilenet.MobileNet` and :class:`models.chunked.Chunked`."""


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
