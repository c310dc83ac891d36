"""Demucs from 2019 to 2021, versions 1 and 2: waveform in, waveforms of the stems out.

Six strided convolutions, each with a gated 1x1 convolution, then two layers of a bidirectional
LSTM, then six steps up that add the output of the step down of their level. Convolutions are not
padded, so the output is shorter than the input: use an input of :meth:`Demucs.valid_length`
samples, and trim the mixture. Version 2 works at twice the sample rate; version 1 is otherwise the
same. Letters: b batch, c channels, t samples or frames.

Source: Defossez, Usunier, Bottou, Bach, "Music source separation in the waveform domain",
arXiv:1911.13254. Layers have the key names of the released files.
"""

import math

import torch
from torch import Tensor, nn

from demixing.networks.demucs_steps import Down, Up
from demixing.networks.upsample2 import Folded, Resample

KERNEL = 8
STRIDE = 4
CONTEXT = 3
"""Kernel size of the convolution before a step up."""


def step_down(inputs: int, wide: int) -> nn.Sequential:
    """A strided convolution and a gated 1x1 one, ``(b, inputs, t)`` to ``(b, wide, t')``."""
    return nn.Sequential(
        nn.Conv1d(inputs, wide, KERNEL, STRIDE),
        nn.ReLU(inplace=True),
        nn.Conv1d(wide, 2 * wide, 1),
        nn.GLU(dim=1),
    )


class Memory(nn.Module):
    """A bidirectional LSTM, and a linear layer back to the same number of channels.

    Args:
        channels: of the input, and of each direction.
        layers: of the LSTM.
    """

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, channels, layers, bidirectional=True)
        self.linear = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, c, t)`` to the same shape."""
        memory = in_turn(self.lstm, x.permute(2, 0, 1))
        return self.linear(memory).permute(1, 2, 0)  # type: ignore[no-any-return]


def in_turn(lstm: nn.LSTM, x: Tensor) -> Tensor:
    """Run an LSTM on a batch; on a CPU, one example at a time.

    There, a batch of two takes three times as long as one example.

    Args:
        lstm: bidirectional, with c channels in each direction.
        x: ``(t, b, c)``.

    Returns:
        ``(t, b, 2 c)``.
    """
    batch = torch.split(x, 1 if x.device.type == "cpu" else x.shape[1], dim=1)
    return torch.cat([lstm(part)[0] for part in batch], dim=1)


class Demucs(nn.Module):
    """Separate a mixture.

    Args:
        channels: of the first step down; doubled in each further one.
        stems: number of stems.
        depth: number of steps down, and of steps up.
        layers: of the LSTM.
        resample: work at twice the rate, as version 2 does.
        normalize: normalise each mixture by its mean and deviation.
        epsilon: added to the deviation, which is 1 without ``normalize``. Even then, version 2
            divides by the sum; version 1 does not.

    Shape:
        ``(b, 2, t)`` to ``(b, stems, 2, t')``, t' < t.
    """

    def __init__(
        self,
        channels: int = 64,
        *,
        stems: int = 4,
        depth: int = 6,
        layers: int = 2,
        resample: bool = True,
        normalize: bool = False,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.stems, self.depth = stems, depth
        self.normalize, self.epsilon = normalize, epsilon
        self.up: nn.Module | None = Resample(1, 2) if resample else None
        self.down: nn.Module | None = Resample(2, 1) if resample else None
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        inputs = 2
        for level in range(depth):
            wide = channels * 2**level
            self.encoder.append(step_down(inputs, wide))
            step = nn.Sequential(
                nn.Conv1d(wide, 2 * wide, CONTEXT),
                nn.GLU(dim=1),
                nn.ConvTranspose1d(wide, inputs if level else 2 * stems, KERNEL, STRIDE),
            )
            if level:
                step.append(nn.ReLU(inplace=True))
            self.decoder.insert(0, step)
            inputs = wide
        self.lstm = Memory(inputs, layers)

    def valid_length(self, samples: int) -> int:
        """Return the shortest length of at least ``samples`` at which every stride divides evenly.

        >>> Demucs(2, depth=2, resample=False).valid_length(100)
        148
        """
        return valid_length(samples, depth=self.depth, resample=self.up is not None)

    def forward(self, mixture: Tensor) -> Tensor:
        """See the class."""
        mean, deviation = mixture.new_zeros(1), mixture.new_ones(1)
        if self.normalize:
            mono = mixture.mean(dim=1, keepdim=True)
            mean = mono.mean(dim=-1, keepdim=True)
            deviation = mono.std(dim=-1, keepdim=True)
        x = (mixture - mean) / (self.epsilon + deviation)
        if self.up is not None:
            x = self.up(x)
        x = self.stems_of(x)
        if self.down is not None:
            x = self.down(x)
        return (x * deviation + mean).unflatten(1, (self.stems, 2))  # type: ignore[no-untyped-call, no-any-return]

    def stems_of(self, x: Tensor) -> Tensor:
        """Run the steps down, the LSTM and the steps up.

        Args:
            x: ``(b, 2, t)``.

        Returns:
            ``(b, 2 * stems, t')``.
        """
        skips = []
        for step in self.encoder:
            x = step(x)
            skips.append(x)
        x = self.lstm(x)
        for step in self.decoder:
            x = step(x + trimmed(skips.pop(), x.shape[-1]))
        return x


class Prepared(Demucs):
    """The same network with steps that work in place and in blocks; see :func:`prepared`.

    Args:
        network: with its weights.
        dtype: of the products of its convolutions.
    """

    def __init__(self, network: Demucs, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.stems, self.depth = network.stems, network.depth
        self.normalize, self.epsilon = network.normalize, network.epsilon
        self.up, self.down = (
            Folded(part) if isinstance(part, Resample) else None
            for part in (network.up, network.down)
        )
        self.lstm = network.lstm
        self.encoder = nn.ModuleList(Down(step, dtype) for step in network.encoder)
        self.decoder = nn.ModuleList(Up(step, dtype) for step in network.decoder)

    def stems_of(self, x: Tensor) -> Tensor:
        """See :meth:`Demucs.stems_of`."""
        x = x[:, :, None].contiguous(memory_format=torch.channels_last)
        skips = []
        for step in self.encoder:
            x = step(x)
            skips.append(x)
        dtype = x.dtype
        x = self.lstm(x[:, :, 0].float())[:, :, None].to(dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        for step in self.decoder:
            x = step(x, skips.pop())
        return x[:, :, 0].float()


def prepared(network: Demucs, dtype: torch.dtype = torch.float32) -> Demucs:
    """Rewrite a network for inference; in float32 its output is the same up to rounding.

    Args:
        network: with its weights. Its LSTM, the largest part, is shared, not copied.
        dtype: of the products of its convolutions, float32 or bfloat16.
    """
    return Prepared(network, dtype).eval()


def valid_length(samples: int, *, depth: int, resample: bool) -> int:
    """See :meth:`Demucs.valid_length`. A function, so callers need not keep the network.

    Args:
        samples: shortest length in samples.
        depth: see :class:`Demucs`.
        resample: see :class:`Demucs`.
    """
    length = samples * 2 if resample else samples
    for _ in range(depth):
        length = max(math.ceil((length - KERNEL) / STRIDE) + 1, 1) + CONTEXT - 1
    for _ in range(depth):
        length = (length - 1) * STRIDE + KERNEL
    return math.ceil(length / 2) if resample else length


def trimmed(x: Tensor, samples: int) -> Tensor:
    """Return the middle of the last axis; an odd sample is dropped from the end.

    Args:
        x: ``(..., t)``.
        samples: length of the result, at most t.

    Returns:
        ``(..., samples)``.

    >>> trimmed(torch.arange(6), 3).tolist()
    [1, 2, 3]
    """
    start = (x.shape[-1] - samples) // 2
    return x[..., start : start + samples]
