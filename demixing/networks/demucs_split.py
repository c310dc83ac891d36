"""Danna-Sep's Demucs with a split decoder: each of four stems has a quarter of the channels.

The steps down and the LSTM are those of Demucs v2. The steps up have four groups of channels
without connections between them; the skip connection reaches all groups through its own
convolution. The network normalises the mixture and works at twice the sample rate. Unlike Demucs
v2, it pads its convolutions and aligns skip connections at their start. Letters: b batch, c
channels, t samples or frames.

Source: github.com/yoyololicon/music-demixing-challenge-ismir-2021-entry. Layers have the key names
of Danna-Sep's file, which also contains the kernels of the resampling.
"""

import torch
from torch import Tensor, nn

from demixing.networks.convolutions import Convolution
from demixing.networks.demucs_steps import Down, blocks, empty
from demixing.networks.demucs_v2 import KERNEL, STRIDE, in_turn, step_down
from demixing.networks.upsample2 import Folded, Resample

GROUPS = 4
"""Groups of channels, one for each stem."""

EPSILON = 1e-5
"""Added to the deviation of a mixture, which divides it."""


class DemucsSplit(nn.Module):
    """Separate a mixture.

    Args:
        channels: of the first step down; doubled in each further one.
        depth: number of steps down, and of steps up.
        layers: of the LSTM.

    Shape:
        ``(b, 2, t)`` to ``(b, 4, 2, t')``, where t' is t or up to a few thousand samples less.
    """

    def __init__(self, channels: int = 48, depth: int = 6, layers: int = 2) -> None:
        super().__init__()
        self.up_sample: nn.Module = Resample(1, 2, stored=True)
        self.down_sample: nn.Module = Resample(2, 1, stored=True)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        self.convs_1x1, self.dec_pre_convs = nn.ModuleList(), nn.ModuleList()
        inputs = 2
        for level in range(depth):
            wide = channels * 2**level
            self.encoder.append(step_down(inputs, wide))
            self.convs_1x1.insert(0, nn.Conv1d(wide, 4 * wide, 3, padding=1, bias=False))
            self.dec_pre_convs.insert(0, nn.Conv1d(2 * wide, 4 * wide, 3, padding=1, groups=GROUPS))
            outputs = 2 * (inputs if level else GROUPS)
            step = nn.Sequential(
                nn.ConvTranspose1d(2 * wide, outputs, KERNEL, STRIDE, groups=GROUPS)
            )
            if level:
                step.append(nn.ReLU(inplace=True))
            self.decoder.insert(0, step)
            inputs = wide
        self.lstm = nn.LSTM(inputs, inputs, layers, bidirectional=True)
        self.lstm_linear = nn.Linear(2 * inputs, 2 * inputs)

    def forward(self, mixture: Tensor) -> Tensor:
        """See the class."""
        mono = mixture.mean(dim=1, keepdim=True)
        mean = mono.mean(dim=-1, keepdim=True)
        deviation = mono.std(dim=-1, keepdim=True) + EPSILON
        x = self.stems_of(self.up_sample((mixture - mean) / deviation))
        return (self.down_sample(x) * deviation + mean).unflatten(1, (GROUPS, 2))  # type: ignore[no-any-return]

    def stems_of(self, x: Tensor) -> Tensor:
        """Run the steps down, the LSTM and the steps up, ``(b, 2, t)`` to ``(b, 8, t')``."""
        skips = []
        for step in self.encoder:
            x = step(x)
            skips.append(x)
        x = self.run_lstm(x)
        for step, own, across in zip(self.decoder, self.dec_pre_convs, self.convs_1x1, strict=True):
            x = own(x) + across(skips.pop()[..., : x.shape[-1]])
            value, gate = x.unflatten(1, (GROUPS, -1)).chunk(2, dim=2)  # type: ignore[no-untyped-call]
            x = step((value * gate.sigmoid()).flatten(1, 2))
        return x

    def run_lstm(self, x: Tensor) -> Tensor:
        """Run the LSTM, ``(b, c, t)`` to ``(b, 2 c, t)``."""
        return self.lstm_linear(in_turn(self.lstm, x.permute(2, 0, 1))).permute(1, 2, 0)  # type: ignore[no-any-return]


class Prepared(DemucsSplit):
    """The same network with steps that work in place and in blocks; see :func:`prepared`.

    Args:
        network: with its weights.
        dtype: of the products of its convolutions.
    """

    def __init__(self, network: DemucsSplit, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        up, down = network.up_sample, network.down_sample
        assert isinstance(up, Resample)
        assert isinstance(down, Resample)
        self.up_sample, self.down_sample = Folded(up), Folded(down)
        self.lstm, self.lstm_linear = network.lstm, network.lstm_linear
        self.encoder = nn.ModuleList(Down(step, dtype) for step in network.encoder)
        parts = zip(network.decoder, network.dec_pre_convs, network.convs_1x1, strict=True)
        self.decoder = nn.ModuleList(SplitUp(*part, dtype) for part in parts)

    def stems_of(self, x: Tensor) -> Tensor:
        """See :meth:`DemucsSplit.stems_of`."""
        x = x[:, :, None].contiguous(memory_format=torch.channels_last)
        skips = []
        for step in self.encoder:
            x = step(x)
            skips.append(x)
        x = self.run_lstm(x[:, :, 0].float())[:, :, None].to(x.dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        for step in self.decoder:
            x = step(x, skips.pop())
        return x[:, :, 0].float()


class SplitUp(nn.Module):
    """A step up of all stems, in blocks.

    Args:
        step: the transposed convolution, and its ReLU except in the last step.
        own: convolution of each stem's own channels.
        across: convolution of the skip connection.
        dtype: of the products.

    Shape:
        ``(b, 2 c, 1, t)`` and ``(b, c, 1, t)`` or longer to ``(b, outputs, 1, t')``.
    """

    def __init__(
        self, step: nn.Module, own: nn.Module, across: nn.Module, dtype: torch.dtype
    ) -> None:
        super().__init__()
        first, *activation = step.children()
        self.activated = bool(activation)
        self.own = Convolution(unpadded(own), dtype)
        self.across = Convolution(unpadded(across), dtype)
        self.step = Convolution(first, dtype)
        self.channels = self.own.weight.shape[0] // 2

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """See the class."""
        frames = x.shape[-1]
        y = empty(x, self.channels, frames, self.own.weight.dtype)
        for start, end in blocks(frames):
            z = self.own(around(x, start, end, frames))
            z += self.across(around(skip, start, end, frames))
            value, gate = z.unflatten(1, (GROUPS, 2, -1)).unbind(2)
            room = y[..., start:end].unflatten(1, (GROUPS, -1))  # type: ignore[no-untyped-call]
            torch.mul(value, gate.sigmoid_(), out=room)
        output: Tensor = self.step(y)
        return output.relu_() if self.activated else output


def around(x: Tensor, start: int, end: int, frames: int) -> Tensor:
    """Return some frames and one more at each end, which is zero beyond the ends of the tensor.

    Args:
        x: ``(b, c, 1, t)``.
        start: first of the frames.
        end: one past the last of them.
        frames: number of valid frames in ``x``, which may be longer.

    Returns:
        ``(b, c, 1, end - start + 2)``.
    """
    part = x[..., max(start - 1, 0) : min(end + 1, frames)]
    return nn.functional.pad(part, (int(start == 0), int(end == frames)))


def unpadded(original: nn.Module) -> nn.Module:
    """Return a convolution that shares the weights of another one and does not pad."""
    assert isinstance(original, nn.Conv1d)
    inner = nn.Conv1d(
        original.in_channels,
        original.out_channels,
        original.kernel_size[0],
        groups=original.groups,
        bias=original.bias is not None,
        device="meta",
    )
    inner.weight, inner.bias = original.weight, original.bias
    return inner


def prepared(network: DemucsSplit, dtype: torch.dtype = torch.float32) -> DemucsSplit:
    """Rewrite a network for inference; in float32 its output is the same up to rounding.

    Args:
        network: with its weights. Its LSTM, the largest part, is shared, not copied.
        dtype: of the products of its convolutions, float32 or bfloat16.
    """
    return Prepared(network, dtype).eval()
