"""Upsampling by 2 and downsampling by 2 with a windowed sinc, as in Demucs.

Output sample j is at the time j / new. With r = ROLLOFF * min(old, new) and Z = ZEROS, it is

    y(j) = sum_i x(i) h((i / old - j / new) r),    h(u) = sinc(u) cos(pi u / (2 Z))**2,  |u| <= Z,

where each filter is scaled to a sum of 1. Beyond its ends, a signal continues with its first and
last sample. The kernels are part of the state dict if a checkpoint contains them.

Source: J. O. Smith, "Digital Audio Resampling", ccrma.stanford.edu/~jos/resample; the parameters
are those of Demucs v2.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ZEROS = 24
"""Zeros of the sinc on each side."""

ROLLOFF = 0.945
"""Cutoff relative to the lower Nyquist frequency."""

FOLD = 32
"""Input samples per frame of :class:`Folded`."""


class Resample(nn.Module):
    """Resamples the last axis by a rational factor.

    Args:
        old: rate of the input, in lowest terms: only the ratio to ``new`` matters.
        new: rate of the output, in lowest terms.
        stored: whether the kernel is part of the state dict, as ``kernel``.

    Shape:
        ``(b, c, t)`` to ``(b, c, t * new // old)``.
    """

    kernel: Tensor

    def __init__(self, old: int, new: int, *, stored: bool = False) -> None:
        super().__init__()
        self.old, self.new = old, new
        self.width = math.ceil(ZEROS * old / (min(old, new) * ROLLOFF))
        self.register_buffer("kernel", kernels(old, new, self.width), persistent=stored)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        batch, channels, samples = x.shape
        x = F.pad(x.flatten(0, 1)[:, None], (self.width, self.width + self.old), mode="replicate")
        x = F.conv1d(x, self.kernel, stride=self.old).transpose(1, 2)
        return x.reshape(batch, channels, -1)[..., : samples * self.new // self.old]


class Folded(nn.Module):
    """The same function as :class:`Resample`, several times as fast on a CPU.

    Convolutions with one input and one output channel are slow. So ``FOLD`` consecutive samples
    become the channels of one frame, which moves no memory if channels are last, and the kernel
    becomes a short one with many channels. Most of its taps are not zero.

    Args:
        original: provides the kernel and the rates.

    Shape:
        ``(b, c, t)`` to ``(b, c, t * new // old)``.
    """

    def __init__(self, original: Resample) -> None:
        super().__init__()
        self.old, self.new, self.width = original.old, original.new, original.width
        taps = original.kernel[:, 0]
        steps = FOLD // self.old
        frames = -(-((steps - 1) * self.old + taps.shape[1]) // FOLD)
        weight = taps.new_zeros(steps, self.new, frames * FOLD)
        for step in range(steps):
            weight[step, :, step * self.old : step * self.old + taps.shape[1]] = taps
        weight = weight.flatten(0, 1).unflatten(1, (frames, FOLD)).transpose(1, 2)  # type: ignore[no-untyped-call]
        weight = weight[:, :, None].contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        batch, channels, samples = x.shape
        length = samples * self.new // self.old
        frames = max(-(-length * self.old // (FOLD * self.new)), 1) + self.weight.shape[-1] - 1
        after = max(self.width + self.old, frames * FOLD - samples - self.width)
        x = F.pad(x.flatten(0, 1)[:, None], (self.width, after), mode="replicate")
        x = x[:, 0, : frames * FOLD].unflatten(1, (frames, FOLD)).transpose(1, 2)[:, :, None]  # type: ignore[no-untyped-call]
        y = F.conv2d(x, self.weight)[:, :, 0].transpose(1, 2)
        return y.reshape(batch, channels, -1)[..., :length]


def kernels(old: int, new: int, width: int) -> Tensor:
    """Return the filters of the ``new`` polyphase components.

    Args:
        old: see :class:`Resample`.
        new: see :class:`Resample`.
        width: input samples on each side that a filter covers.

    Returns:
        ``(new, 1, 2 * width + old)``.
    """
    with torch.device("cpu"):  # also while a network is built on the meta device
        steps = torch.arange(-width, width + old, dtype=torch.float64) / old
        phases = torch.arange(new, dtype=torch.float64)[:, None] / new
        time = ((steps - phases) * min(old, new) * ROLLOFF).clamp(-ZEROS, ZEROS)
        filters = torch.sinc(time) * torch.cos(torch.pi * time / ZEROS / 2).square()
        return (filters / filters.sum(dim=1, keepdim=True))[:, None].float()
