"""Another name of ``wave_l1``, as run files of ByteSep have it."""

from demixing.training.losses import wave_l1
from demixing.training.measures import MeanOverTime


def build() -> MeanOverTime:
    """Build the loss; it has no options."""
    return wave_l1.build()
