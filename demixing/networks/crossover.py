"""The gain of a crossover between low and high frequencies."""

import torch
from torch import Tensor

ORDER = 8
"""Exponent of the ratio of frequencies: 48 dB per octave in amplitude, half at the crossover."""


def crossover(hz: Tensor, at_hz: float) -> Tensor:
    """Return the gain of the low side, ``1 / (1 + (f / f0)**8)``; the high side is the rest.

    Args:
        hz: frequencies f in Hz, of any shape.
        at_hz: crossover frequency f0 in Hz, where both sides get half; 0: all goes to the high
            side.

    Returns:
        Gains from 0 to 1, same shape as ``hz``.

    >>> crossover(torch.tensor([0.0, 200.0, 2000.0]), 200)
    tensor([1.0000e+00, 5.0000e-01, 1.0000e-08])
    """
    return 1 / (1 + (hz / at_hz) ** ORDER) if at_hz else torch.zeros_like(hz)
