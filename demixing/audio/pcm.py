"""Converts stems to the integers and the order of samples of a file.

libsndfile converts sample by sample, which takes longer than a small network. The results here
equal its own bit for bit, with clipping. For WAV files it rounds to 32 bits and drops the lower
bits; for FLAC files it rounds to the file's width.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FULL_SCALE = 2.0**31
"""One more than the largest 32-bit integer. The largest float32 below it has the same upper 24 bits
as that integer."""

Frames = NDArray[np.int16] | NDArray[np.int32] | NDArray[np.float32]


def frames(stem: Tensor, bits: str, *, rounded: bool) -> Frames:
    """Convert a stem for libsndfile, which only copies the result.

    Args:
        stem: ``(channels, samples)``, float32, full scale at ±1.
        bits: ``16``, ``24`` or ``32f``.
        rounded: round as for FLAC files; not used by ``32f``.

    Returns:
        ``(samples, channels)``; 24 bits are the upper ones of 32.

    >>> stem = torch.tensor([[0.5, -1.5, 0.9999 / 32768]])
    >>> frames(stem, "16", rounded=False)[:, 0], frames(stem, "16", rounded=True)[:, 0]
    (array([ 16384, -32768,      0], dtype=int16), array([ 16384, -32768,      1], dtype=int16))
    """
    if bits == "32f":
        return _interleaved(stem)
    if rounded:
        high = 2.0 ** (int(bits) - 1)
        whole = (stem * high).round_().clamp_(-high, high - 1)
    else:
        whole = (stem * FULL_SCALE).round_()
    if bits == "16":
        if not rounded:
            whole = whole.mul_(2.0**-16).floor_().clamp_(-(2.0**15), 2.0**15 - 1)
        return _interleaved(whole.to(torch.int16))
    if rounded:
        whole = whole.mul_(2.0**8)
    return _interleaved(whole.clamp_(-FULL_SCALE, FULL_SCALE - 128).to(torch.int32))


def _interleaved(stem: Tensor) -> Frames:
    """Transpose ``(channels, samples)``; channel by channel is five times as fast as numpy."""
    result: Frames = stem.new_empty(stem.shape[::-1]).numpy()
    for channel, samples in enumerate(stem):
        result[:, channel] = samples.numpy()
    return result
