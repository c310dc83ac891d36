"""Waveform and compressed spectrum, a mean absolute error each, as run files of ByteSep have it."""

from demixing.training.losses import compressed, wave_l1
from demixing.training.losses.sum import Sum


def build(frame: int = 2048, hop: int = 441, power: float = 0.3) -> Sum:
    """Build the sum of ``wave_l1`` and ``compressed``; see the latter for the options."""
    return Sum(((1.0, wave_l1.build()), (1.0, compressed.build(frame, hop, power))))
