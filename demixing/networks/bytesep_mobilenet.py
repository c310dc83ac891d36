"""ByteSep's small network: separable convolutions instead of full ones.

It has 0.3 million weights instead of 103 million, and the same inputs and outputs. Letters: b
batch, c channels, t frames, f bins.

Source: the model MobileNet_Subbandtime of the package bytesep 0.1.1; separable convolutions:
Howard et al., "MobileNets", arXiv:1704.04861.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.bytesep import SLOPE, STEPS, VARIANTS
from demixing.networks.decoupled import MAPS, MOMENTUM, Decoupled

CHANNELS = (32, 64, 64, 64, 64, 64)
"""Channels of the six steps down."""


class Separable(nn.Module):
    """Two residual blocks of separable convolutions.

    Shape:
        ``(b, inputs, t, f)`` to ``(b, outputs, t, f)``.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        for block, width in (("1", inputs), ("2", outputs)):
            self.add_module(f"conv{block}a", nn.Conv2d(width, outputs, 1, bias=False))
            across = nn.Conv2d(outputs, outputs, 3, padding=1, groups=outputs, bias=False)
            self.add_module(f"conv{block}b", across)
            self.add_module(f"conv{block}c", nn.Conv2d(outputs, outputs, 1, bias=False))
            for part, normalised in (("a", width), ("b", outputs), ("c", outputs)):
                # Not MOMENTUM: the original uses torch's default here.
                self.add_module(f"bn{block}{part}", nn.BatchNorm2d(normalised))
        if inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        shortcut: Tensor = self.shortcut(x) if hasattr(self, "shortcut") else x
        x = shortcut + self._block("1", x)
        return x + self._block("2", x)

    def _block(self, block: str, x: Tensor) -> Tensor:
        for part in "abc":
            x = F.leaky_relu_(getattr(self, f"bn{block}{part}")(x), SLOPE)
            x = getattr(self, f"conv{block}{part}")(x)
        return x


class SeparableEncoder(nn.Module):
    """A step down; the class exists for the key names of the checkpoints."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_block = Separable(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, inputs, t, f)`` to ``(b, outputs, t, f)``."""
        return self.conv_block(x)  # type: ignore[no-any-return]


class SeparableDecoder(nn.Module):
    """Repeated rows and columns, then blocks on them and the skip connection.

    Args:
        inputs: channels from below.
        outputs: channels of the skip connection and of the output.
        step: factors by which time and frequency grow.
    """

    def __init__(self, inputs: int, outputs: int, step: tuple[int, int]) -> None:
        super().__init__()
        self._step = step
        self.conv1 = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs, momentum=MOMENTUM)
        self.conv_block2 = Separable(outputs * 2, outputs)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """Map ``(b, inputs, t, f)`` and the last skip connection to the latter's size.

        The skip connection is removed from the list to free its memory.
        """
        if self.training:  # the statistics are the same; the original normalises larger tensors
            x = F.interpolate(x, scale_factor=self._step)
            x = self.conv1(F.leaky_relu_(self.bn1(x), SLOPE))
        else:  # a 1x1 convolution commutes with repeating, and is cheaper before it
            x = self.conv1(F.leaky_relu_(self.bn1(x), SLOPE))
            x = F.interpolate(x, scale_factor=self._step)
        return self.conv_block2(torch.cat([x, skips.pop()], dim=1))  # type: ignore[no-any-return]


class MobileNet(Decoupled):
    """The network of the checkpoints named mobilenet_subbtandtime.

    Args:
        inputs: channels of the mixture and of each stem.
        targets: number of stems; the published files have one.
        channels: of the six steps down.

    Shape:
        mixtures ``(b, inputs, samples)`` to stems ``(b, targets, inputs, samples)``.

    Raises:
        ValueError: there are not six channels, or one is less than 1.
    """

    def __init__(
        self, inputs: int = 2, targets: int = 1, *, channels: Sequence[int] = CHANNELS
    ) -> None:
        if len(channels) != len(STEPS) or min(channels) < 1:
            raise ValueError(f"expected {len(STEPS)} channels, got {channels}")
        super().__init__(inputs=inputs, targets=targets, **VARIANTS["subband"])
        widths = (inputs * self.bands, *channels)
        for step in range(6):
            encoder = SeparableEncoder(widths[step], widths[step + 1])
            self.add_module(f"encoder_block{step + 1}", encoder)
        below = widths[6]
        self.conv_block7 = Separable(below, below)
        for index, (width, up) in enumerate(zip(channels[::-1], STEPS[::-1], strict=True)):
            self.add_module(f"decoder_block{index + 1}", SeparableDecoder(below, width, up))
            below = width
        self.after_conv_block1 = Separable(below, below)
        self.after_conv2 = nn.Conv2d(below, targets * inputs * MAPS * self.bands, 1)

    def maps(self, x: Tensor) -> Tensor:
        """See :class:`demixing.networks.decoupled.Decoupled`."""
        skips = []
        for index, step in enumerate(STEPS):
            skips.append(getattr(self, f"encoder_block{index + 1}")(x))
            x = F.avg_pool2d(skips[-1], step)
        x = self.conv_block7(x)
        for index in range(len(STEPS)):
            x = getattr(self, f"decoder_block{index + 1}")(x, skips)
        return self.after_conv2(self.after_conv_block1(x))  # type: ignore[no-any-return]
