"""Danna-Sep's U-Net: densely connected blocks with many dilations, and local attention.

Six steps down halve bins and frames; five steps up and a final one double them again. At the
bottom, in two attention layers, groups of two frames attend to all bins of eight frames. Letters: b
batch, c channels, f bins, t frames.

Source: Takahashi, Mitsufuji, "D3Net: Densely connected multidilated DenseNet for music source
separation", arXiv:2010.01733; github.com/yoyololicon/music-demixing-challenge-ismir-2021-entry.
Layers have the key names of Danna-Sep's file.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

STEPS = 6
SHORTEST = 2**STEPS
"""Minimum number of bins and of frames."""

MASK_ABOVE = 0.25
"""Mask of each stem above the bins that the network reads."""


class D2Block(nn.Module):
    """Dense layers. Each one reads all earlier ones, with its own dilation.

    Args:
        inputs: channels.
        growth: channels of a layer.
        layers: number of layers. Convolution i has the dilation 2**i, and computes the part of
            layer i and of all later ones that comes from layer i - 1.
    """

    def __init__(self, inputs: int, growth: int, layers: int) -> None:
        super().__init__()
        self.growth, self.layers = growth, layers
        self.conv_layers, self.bn_layers = nn.ModuleList(), nn.ModuleList()
        for layer in range(layers):
            self.conv_layers.append(
                nn.Conv2d(
                    growth if layer else inputs,
                    growth * (layers - layer),
                    kernel_size=3,
                    padding=2**layer,
                    dilation=2**layer,
                    bias=False,
                )
            )
            self.bn_layers.append(nn.Sequential(nn.BatchNorm2d(growth), nn.ReLU(inplace=True)))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, inputs, f, t)`` to ``(b, layers * growth, f, t)``."""
        outputs: list[Tensor] = []
        later: Tensor | None = None
        for convolution, norm in zip(self.conv_layers, self.bn_layers, strict=True):
            parts = convolution(x)
            if later is not None:
                parts += later
            x = norm(parts[:, : self.growth])
            later = parts[:, self.growth :]
            outputs.append(x)
        return torch.cat(outputs, dim=1)


class D3Block(nn.Module):
    """Two D2 blocks, densely connected; the output contains the input.

    Args:
        inputs: channels.
        growth: see :class:`D2Block`.
        layers: see :class:`D2Block`.
    """

    def __init__(self, inputs: int, growth: int, layers: int) -> None:
        super().__init__()
        self.d2_layers = nn.ModuleList(
            D2Block(inputs + number * layers * growth, growth, layers) for number in range(2)
        )
        self.outputs = inputs + 2 * layers * growth

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, inputs, f, t)`` to ``(b, outputs, f, t)``."""
        for block in self.d2_layers:
            x = torch.cat([x, block(x)], dim=1)
        return x


class LocalAttention(nn.Module):
    """Groups of frames that attend to all bins of their own and of some frames around them.

    Frames beyond the ends have zero keys but still take part in the softmax. The original was meant
    to exclude them, but added 1e-9 instead of minus infinity, and was trained that way. In single
    precision, 1e-9 is below the rounding error of a softmax, so it is omitted here.

    Args:
        inputs: channels.
        outputs: channels.
        width: channels of queries, keys and values, over all heads.
        heads: number of heads.
        group: frames of a group.
        flange: frames on each side of a group that it also attends to.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 128,
        heads: int = 8,
        group: int = 2,
        flange: int = 3,
    ) -> None:
        super().__init__()
        self.heads, self.group, self.flange = heads, group, flange
        self.qkv_conv = nn.Conv2d(inputs, 3 * width, 3, padding=1)
        self.out_conv = nn.Conv2d(width, outputs, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, inputs, f, t)`` to ``(b, outputs, f, t)``."""
        frames = x.shape[-1]
        x = F.pad(self.qkv_conv(x), (0, -frames % self.group))
        q, k, v = x.unflatten(1, (self.heads, 3, -1)).unbind(2)  # type: ignore[no-untyped-call]
        # (b, heads, channels, f, t) to (b, heads, groups, f * frames of a group, channels)
        k, v = (F.pad(part, (self.flange, self.flange)) for part in (k, v))
        span = self.group + 2 * self.flange
        q, k, v = (
            part.unfold(-1, size, self.group).permute(0, 1, 4, 3, 5, 2).flatten(3, 4)
            for part, size in ((q, self.group), (k, span), (v, span))
        )
        y = F.scaled_dot_product_attention(q, k, v)
        y = y.unflatten(3, (x.shape[2], self.group))  # type: ignore[no-untyped-call]
        y = y.permute(0, 1, 5, 3, 2, 4).flatten(4).flatten(1, 2)
        return self.out_conv(y[..., :frames])  # type: ignore[no-any-return]


class D3UNet(nn.Module):
    """Map magnitudes of a mixture to the masks of drums, bass, other and vocals.

    Args:
        input_bins: number of lowest bins that the network reads; above, its mask is 0.25.
        growth: channels of a layer of a D2 block.

    Shape:
        ``(b, 2, f, t)`` to ``(b, 4, 2, f, t)`` from 0 to 1; ``input_bins`` and t at least 64.
    """

    def __init__(self, input_bins: int = 1487, growth: int = 12) -> None:
        super().__init__()
        self.input_bins = input_bins
        widths = [2]
        self.down_convs, self.up_convs = nn.ModuleList(), nn.ModuleList()
        depths = [max(2, STEPS - step - 1) for step in range(STEPS)]
        for layers in depths:
            block = D3Block(widths[-1], growth, layers)
            widths.append(block.outputs)
            self.down_convs.append(nn.Sequential(block, nn.AvgPool2d(2)))
        bottom = 256
        self.attn = nn.Sequential(
            LocalAttention(widths[-1], bottom),
            nn.BatchNorm2d(bottom),
            nn.ReLU(inplace=True),
            LocalAttention(bottom, bottom),
            nn.BatchNorm2d(bottom),
            nn.ReLU(inplace=True),
        )
        wide = bottom
        for step in range(STEPS - 1, 0, -1):
            block = D3Block(widths[step + 1] + wide, growth, depths[step - 1])
            wide = widths[step]
            self.up_convs.append(
                nn.Sequential(
                    block,
                    nn.ConvTranspose2d(block.outputs, wide, 3, stride=2, padding=1, bias=False),
                    nn.BatchNorm2d(wide),
                    nn.ReLU(inplace=True),
                )
            )
        self.end = nn.Sequential(
            nn.ConvTranspose2d(2 * wide, wide, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
            nn.Conv2d(wide, 8, 3, padding=2, dilation=2),
        )

    def forward(self, magnitudes: Tensor) -> Tensor:
        """See the class."""
        x = magnitudes[:, :, : self.input_bins]
        skips = []
        for down in self.down_convs:
            x = down(x)
            skips.append(x)
        x = torch.cat([skips.pop(), self.attn(x)], dim=1)
        for up in self.up_convs:
            x = torch.cat([filled(up(x), skips[-1]), skips.pop()], dim=1)
        x = self.end(x).sigmoid_()
        return filled(x, magnitudes, MASK_ABOVE).unflatten(1, (4, 2))  # type: ignore[no-untyped-call, no-any-return]


def filled(x: Tensor, like: Tensor, value: float = 0.0) -> Tensor:
    """Append bins and frames with a constant value.

    Args:
        x: ``(b, c, f, t)``.
        like: ``(b, c', f', t')``, not smaller.
        value: of the new bins and frames.

    Returns:
        ``(b, c, f', t')``.
    """
    bins, frames = like.shape[2] - x.shape[2], like.shape[3] - x.shape[3]
    return F.pad(x, (0, frames, 0, bins), value=value) if bins or frames else x
