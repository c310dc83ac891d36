"""TFC-TDF-U-Net v2, the network of KUIELab's MDX-Net: maps a spectrogram to one stem's.

Letters: b batch, c channels, t frames, f bins. Blocks of convolutions over time and frequency
(TFC) are followed by a bottleneck over all frequencies of a frame (TDF); steps down halve t and f,
and steps up double them. Skip connections are *multiplied* with the output of a step up. Layers
have the key names of the authors' training code.

Source: Kim, Choi, Chung, Lee, Jung, "KUIELab-MDX-Net: a two-stream neural network for music
demixing", MDX workshop 2021.
"""

import torch
from torch import Tensor, nn

CHANNELS = 4
"""Real and imaginary part of the left channel, then of the right one."""


class Convolutions(nn.Module):
    """Convolutions with the same number of channels, each normalised and rectified.

    Args:
        channels: of input and output.
        layers: number of convolutions.
        kernel: of the convolutions, odd.
    """

    def __init__(self, channels: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.H = nn.ModuleList(
            _normalised(nn.Conv2d(channels, channels, kernel, padding=kernel // 2), channels)
            for _ in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, c, t, f)`` to the same shape."""
        for layer in self.H:
            x = layer(x)
        return x


class Block(nn.Module):
    """Convolutions, plus the output of a bottleneck over all frequencies.

    Args:
        channels: of input and output.
        layers: number of convolutions.
        bins: f.
        kernel: of the convolutions, odd.
        squeeze: ratio of the bins to the width of the bottleneck.
        bias: whether the bottleneck has biases.
    """

    def __init__(
        self, channels: int, layers: int, bins: int, kernel: int, squeeze: int, *, bias: bool
    ) -> None:
        super().__init__()
        self.tfc = Convolutions(channels, layers, kernel)
        inner = bins // squeeze
        self.tdf = nn.Sequential(
            *_normalised(nn.Linear(bins, inner, bias=bias), channels),
            *_normalised(nn.Linear(inner, bins, bias=bias), channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, c, t, f)`` to the same shape."""
        x = self.tfc(x)
        return x + self.tdf(x)  # type: ignore[no-any-return]


class TFCTDFUNet(nn.Module):
    """Estimates the complex spectrogram of one stem.

    Args:
        blocks: on the way down, at the bottom and on the way up; odd. The authors use 11, and 9
            for the drums of leaderboard B.
        bins: number of lowest bins; a multiple of ``2 ** (blocks // 2)``.
        layers: convolutions per block.
        growth: channels at full resolution; each step down adds as many.
        kernel: of the convolutions.
        squeeze: ratio of the bins to the width of the bottleneck.
        bias: whether the bottleneck has biases.

    Shape:
        ``(b, 4, f, t)`` to the same shape; t must also be a multiple of ``2 ** (blocks // 2)``.

    Raises:
        ValueError: ``blocks``, ``bins`` and ``squeeze`` are incompatible.
    """

    def __init__(
        self,
        blocks: int = 11,
        *,
        bins: int = 2048,
        layers: int = 3,
        growth: int = 32,
        kernel: int = 3,
        squeeze: int = 8,
        bias: bool = False,
    ) -> None:
        super().__init__()
        depth = blocks // 2
        if blocks % 2 == 0 or bins % 2**depth or not 0 < squeeze <= bins >> depth:
            raise ValueError(
                f"need an odd number of blocks and bins that can be halved {depth} times and "
                f"squeezed then, got {blocks} blocks, {bins} bins and {squeeze}"
            )
        self.first_conv = _normalised(nn.Conv2d(CHANNELS, growth, 1), growth)
        widths = [growth * (level + 1) for level in range(depth + 1)]

        def block(level: int) -> Block:
            return Block(widths[level], layers, bins >> level, kernel, squeeze, bias=bias)

        down, up = range(depth), range(depth - 1, -1, -1)
        self.encoding_blocks = nn.ModuleList(map(block, down))
        self.ds = nn.ModuleList(
            _normalised(nn.Conv2d(widths[level], widths[level + 1], 2, stride=2), widths[level + 1])
            for level in down
        )
        self.bottleneck_block = block(depth)
        self.us = nn.ModuleList(
            _normalised(
                nn.ConvTranspose2d(widths[level + 1], widths[level], 2, stride=2), widths[level]
            )
            for level in up
        )
        self.decoding_blocks = nn.ModuleList(map(block, up))
        self.final_conv = nn.Sequential(nn.Conv2d(growth, CHANNELS, 1))

    def forward(self, spectrum: Tensor) -> Tensor:
        """See the class."""
        x = self.first_conv(spectrum).transpose(-1, -2)
        skips = []
        for block, step in zip(self.encoding_blocks, self.ds, strict=True):
            skips.append(block(x))
            x = step(skips[-1])
        x = self.bottleneck_block(x)
        for step, block in zip(self.us, self.decoding_blocks, strict=True):
            x = block(step(x) * skips.pop())
        return self.final_conv(x.transpose(-1, -2))  # type: ignore[no-any-return]


def _normalised(layer: nn.Module, channels: int) -> nn.Sequential:
    """Append a normalisation over ``channels`` and a rectifier to a layer."""
    return nn.Sequential(layer, nn.BatchNorm2d(channels), nn.ReLU())


def as_channels(spectrum: Tensor) -> Tensor:
    """Convert complex ``(b, 2, f, t)`` to the input of the network, real ``(b, 4, f, t)``.

    >>> as_channels(torch.tensor([1 + 2j, 3 + 4j]).reshape(1, 2, 1, 1)).flatten()
    tensor([1., 2., 3., 4.])
    """
    return torch.view_as_real(spectrum).permute(0, 1, 4, 2, 3).flatten(1, 2)


def as_spectrum(channels: Tensor) -> Tensor:
    """Invert :func:`as_channels`: real ``(b, 4, f, t)`` to complex ``(b, 2, f, t)``.

    >>> as_spectrum(torch.tensor([1.0, 2, 3, 4]).reshape(1, 4, 1, 1)).flatten()
    tensor([1.+2.j, 3.+4.j])
    """
    return torch.complex(channels[:, 0::2], channels[:, 1::2])
