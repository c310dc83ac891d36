"""Twice the sample rate, and half of it, by a windowed sinc that is as long as Demucs' own.

Output sample j lies at the time j / new rate, and hears the inputs around it through a sinc of
24 zeros to each side, cut off at 0.945 of the lower of both Nyquist frequencies, with a squared
cosine as its window and a sum of one. Beyond its ends a signal goes on as its first and last
sample. The kernels are tensors of the state dict where a checkpoint brings them along.

Source: J. O. Smith, "Digital Audio Resampling", ccrma.stanford.edu/~jos/resample; the parameters
are those of Demucs v2.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ZEROS = 24
ROLLOFF = 0.945
FOLD = 32
"""Samples that :class:`Folded` takes as channels: half of them or twice as many come out."""


class Resample(nn.Module):
    """Change the rate of the last axis by a fraction.

    Args:
        old: rate of what comes in; only its ratio to ``new`` counts, no common divisor.
        new: rate of what goes out.
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
    """The same as :class:`Resample`, several times as fast on a CPU.

    A kernel with one input and one output channel is slow. So ``FOLD`` samples in a row become
    the channels of one frame, which moves nothing in memory if channels come last, and the
    kernel becomes a short one with many channels, most of whose taps are not zero.
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
        """See :class:`Resample`."""
        batch, channels, samples = x.shape
        owed = samples * self.new // self.old
        frames = max(-(-owed * self.old // (FOLD * self.new)), 1) + self.weight.shape[-1] - 1
        after = max(self.width + self.old, frames * FOLD - samples - self.width)
        x = F.pad(x.flatten(0, 1)[:, None], (self.width, after), mode="replicate")
        x = x[:, 0, : frames * FOLD].unflatten(1, (frames, FOLD)).transpose(1, 2)[:, :, None]  # type: ignore[no-untyped-call]
        y = F.conv2d(x, self.weight)[:, :, 0].transpose(1, 2)
        return y.reshape(batch, channels, -1)[..., :owed]


def kernels(old: int, new: int, width: int) -> Tensor:
    """One filter for each of the ``new`` phases, ``(new, 1, 2 * width + old)``."""
    with torch.device("cpu"):  # no file contains them: they are needed on the meta device, too
        steps = torch.arange(-width, width + old, dtype=torch.float64) / old
        phases = torch.arange(new, dtype=torch.float64)[:, None] / new
        time = ((steps - phases) * min(old, new) * ROLLOFF).clamp(-ZEROS, ZEROS)
        filters = torch.sinc(time) * torch.cos(torch.pi * time / ZEROS / 2).square()
        return (filters / filters.sum(dim=1, keepdim=True))[:, None].float()
