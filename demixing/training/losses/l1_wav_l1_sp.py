"""Waveform and magnitudes, a mean absolute error each, as run files of ByteSep have it."""

from demixing.training.losses import magnitude_l1, wave_l1
from demixing.training.losses.sum import Sum


def build(frame: int = 2048, hop: int = 441) -> Sum:
    """Build the sum of ``wave_l1`` and ``magnitude_l1``; see the latter for the options."""
    return Sum(((1.0, wave_l1.build()), (1.0, magnitude_l1.build(frame, hop))))
