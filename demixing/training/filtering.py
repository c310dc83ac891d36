"""Filters of long signals: design, and convolution block by block in float32.

An FFT of a whole example exceeds the CPU cache: for 12 s of stereo it is two to three times slower
than block-wise convolution.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

SMALLEST = 1 << 12
LARGEST = 1 << 20
"""Limits of the length of a block in samples."""
TOGETHER = 1 << 17
"""Short blocks are processed in groups of this many samples, which fit into the CPU cache."""


def convolve(audio: Tensor, impulse: Tensor, delay: int = 0) -> Tensor:
    """Convolve along the last axis, by overlap-save.

    Args:
        audio: ``(..., samples)``.
        impulse: ``(taps,)``, or ``(..., taps)`` with one for each channel.
        delay: number of samples to drop at the start: ``taps // 2`` for a symmetric filter.

    Returns:
        The same shape as ``audio``; silence precedes the input.

    >>> audio = torch.randn(2, 10_000)
    >>> echo = torch.zeros(301)
    >>> echo[300] = 0.5
    >>> torch.allclose(convolve(audio, echo)[:, 300:], 0.5 * audio[:, :-300], atol=1e-6)
    True
    >>> torch.allclose(convolve(audio, echo, delay=300), 0.5 * audio, atol=1e-6)
    True
    """
    samples, taps = audio.shape[-1], impulse.shape[-1]
    block = _block(samples + delay, taps)
    hop = block - taps + 1
    blocks = -(-(samples + delay) // hop)
    padded = F.pad(audio, (taps - 1, blocks * hop - samples)).unfold(-1, block, hop)
    response = torch.fft.rfft(impulse, block)[..., None, :]
    result = audio.new_empty(*audio.shape[:-1], blocks, hop)
    some = max(TOGETHER // block, 1) if block < TOGETHER else blocks
    for first in range(0, blocks, some):
        spectrum = torch.fft.rfft(padded[..., first : first + some, :]) * response
        result[..., first : first + some, :] = torch.fft.irfft(spectrum, block)[..., taps - 1 :]
    return result.flatten(-2)[..., delay : delay + samples]


def zero_phase(gain: NDArray[np.float64], taps: int) -> Tensor:
    """Design a symmetric filter from its gains.

    Args:
        gain: linear gains at equally spaced frequencies from 0 to half the sample rate, many more
            than ``taps``.
        taps: length of the filter, odd.

    Returns:
        ``(taps,)``, symmetric about ``taps // 2``.
    """
    impulse = np.roll(np.fft.irfft(gain), taps // 2)[:taps] * np.hanning(taps + 2)[1:-1]
    return torch.from_numpy(impulse.astype(np.float32))


def low_pass(cutoff_hz: float, rate_hz: int, taps: int) -> Tensor:
    """Design a steep low-pass, ``(taps,)``, symmetric about ``taps // 2``.

    It is a sinc with a Blackman window: its gain is one half at the cutoff, and below -74 dB from
    ``2.75 / taps`` of the sample rate above the cutoff.
    """
    place = np.arange(taps) - taps // 2
    edge = 2 * cutoff_hz / rate_hz
    impulse = edge * np.sinc(edge * place) * np.blackman(taps + 2)[1:-1]
    return torch.from_numpy((impulse / impulse.sum()).astype(np.float32))


def _block(samples: int, taps: int) -> int:
    """Length of a block, a power of two, with the lowest cost per valid sample."""
    shortest = max(SMALLEST, 1 << (2 * taps - 1).bit_length() - 1)
    longest = max(shortest, 1 << (samples + taps - 1).bit_length())
    sizes = [shortest]
    while sizes[-1] < min(longest, LARGEST):
        sizes.append(2 * sizes[-1])
    # Beyond the cache, an FFT costs more than its operations; the cube root fits measurements.
    return min(
        sizes,
        key=lambda size: (
            -(-samples // (size - taps + 1)) * size * math.log2(size) * size ** (1 / 3)
        ),
    )
