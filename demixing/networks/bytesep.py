"""The networks of ByteSep: a U-Net of 143 layers between decoupled magnitudes and phases.

Layers have the names in the published checkpoints, which load key by key except for the constants
of their STFT (:func:`weights`). A block normalises before it convolves, so its output is a plain
sum. For inference, :mod:`demixing.networks.bytesep_fast` folds the second normalisation of each
block into its first convolution. Letters: b batch, c channels, t frames, f bins.

Source: Kong, Cao, Liu, Choi, Wang, "Decoupling magnitude and phase estimation with deep ResUNet
for music source separation", ISMIR 2021.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.decoupled import MAPS, MOMENTUM, Bands, Decoupled

CHANNELS = (32, 64, 128, 256, 384, 384)
"""Channels of the six steps down."""

STEPS = ((2, 2), (2, 2), (2, 2), (2, 2), (2, 2), (1, 2))
"""Factors by which each step down shortens time and frequency."""

BLOCKS = 4
"""Residual blocks in each step."""

CENTRE = "abcd"
"""Names of the blocks at the bottom."""

SLOPE = 0.01
"""Slope of the leaky rectifiers below zero."""


class AbsoluteNorm(nn.BatchNorm2d):
    """Batch normalisation with the absolute value of its scale, as in the package inplace_abn."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the channels of ``(b, c, t, f)``."""
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        mean, variance = self.running_mean, self.running_var
        scale = self.weight.abs() + self.eps
        momentum = self.momentum or 0.0
        return F.batch_norm(x, mean, variance, scale, self.bias, self.training, momentum, self.eps)


class Residual(nn.Module):
    """Two convolutions beside a shortcut, ``(b, inputs, t, f)`` to ``(b, outputs, t, f)``.

    Args:
        inputs: channels.
        outputs: channels.
        absolute: whether the second normalisation is an :class:`AbsoluteNorm`, named ``abn2``.
    """

    def __init__(self, inputs: int, outputs: int, *, absolute: bool = False) -> None:
        super().__init__()
        self.second = "abn2" if absolute else "bn2"
        self.bn1 = nn.BatchNorm2d(inputs, momentum=MOMENTUM)
        norm = AbsoluteNorm if absolute else nn.BatchNorm2d
        self.add_module(self.second, norm(outputs, momentum=MOMENTUM))
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        if inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = self.conv1(F.leaky_relu_(self.bn1(x), SLOPE))
        y = self.conv2(F.leaky_relu_(getattr(self, self.second)(y), SLOPE))
        shortcut: Tensor = self.shortcut(x) if hasattr(self, "shortcut") else x
        return shortcut + y  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Residual blocks, ``(b, inputs, t, f)`` to ``(b, outputs, t, f)``.

    Args:
        inputs: channels.
        outputs: channels.
        absolute: see :class:`Residual`.
        blocks: number of them.
    """

    def __init__(
        self, inputs: int, outputs: int, *, absolute: bool = False, blocks: int = BLOCKS
    ) -> None:
        super().__init__()
        for index in range(blocks):
            block = Residual(outputs if index else inputs, outputs, absolute=absolute)
            self.add_module(f"conv_block{index + 1}", block)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        for block in self.children():
            x = block(x)
        return x


class Decoder(nn.Module):
    """A transposed convolution, then residual blocks on its output and the skip connection.

    Args:
        inputs: channels from below.
        outputs: channels of the skip connection and of the output.
        step: factors by which time and frequency grow.
        absolute: see :class:`Residual`.
        blocks: number of them.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        step: tuple[int, int],
        *,
        absolute: bool = False,
        blocks: int = BLOCKS,
    ) -> None:
        super().__init__()
        self._blocks = [f"conv_block{index}" for index in range(2, 2 + blocks)]
        self.conv1 = nn.ConvTranspose2d(inputs, outputs, step, stride=step, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs, momentum=MOMENTUM)
        for index, name in enumerate(self._blocks):
            block = Residual(outputs * (1 if index else 2), outputs, absolute=absolute)
            self.add_module(name, block)

    def forward(self, x: Tensor, skips: list[Tensor]) -> Tensor:
        """Map ``(b, inputs, t, f)`` and the last skip connection to the latter's size.

        The skip connection is removed from the list to free its memory.
        """
        x = torch.cat([self.conv1(F.relu_(self.bn1(x))), skips.pop()], dim=1)
        for name in self._blocks:
            x = getattr(self, name)(x)
        return x


class ResUNet143(Decoupled):
    """The network of either published variant.

    Args:
        inputs: channels of the mixture and of each stem.
        targets: number of stems; the published files have one.
        variant: "subband" (ResUNet143_Subbandtime: four bands in time) or "ismir2021"
            (ResUNet143_DecouplePlusInplaceABN_ISMIR2021: the whole spectrum).
        channels: of the six steps down.
        blocks: in each step; the published files have four.

    Shape:
        mixtures ``(b, inputs, samples)`` to stems ``(b, targets, inputs, samples)``.

    Raises:
        ValueError: there is no such variant, or a number is out of range.
    """

    def __init__(
        self,
        inputs: int = 2,
        targets: int = 1,
        *,
        variant: str = "subband",
        channels: Sequence[int] = CHANNELS,
        blocks: int = BLOCKS,
    ) -> None:
        if variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
        if len(channels) != len(STEPS) or min(channels) < 1 or blocks < 1:
            raise ValueError(
                f"expected {len(STEPS)} channels and at least one block, got {channels}, {blocks}"
            )
        absolute = variant == "ismir2021"
        super().__init__(inputs=inputs, targets=targets, **VARIANTS[variant])
        widths = (inputs * self.bands, *channels)
        for step in range(6):
            encoder = Encoder(widths[step], widths[step + 1], absolute=absolute, blocks=blocks)
            self.add_module(f"encoder_block{step + 1}", encoder)
        for name in CENTRE:
            self.add_module(
                f"conv_block7{name}",
                Encoder(widths[6], widths[6], absolute=absolute, blocks=blocks),
            )
        below = widths[6]
        for index, (width, up) in enumerate(zip(channels[::-1], STEPS[::-1], strict=True)):
            decoder = Decoder(below, width, up, absolute=absolute, blocks=blocks)
            self.add_module(f"decoder_block{index + 1}", decoder)
            below = width
        self.after_conv_block1 = Encoder(below, below, absolute=absolute, blocks=blocks)
        self.after_conv2 = nn.Conv2d(below, targets * inputs * MAPS * self.bands, 1)

    def maps(self, x: Tensor) -> Tensor:
        """See :class:`demixing.networks.decoupled.Decoupled`."""
        skips = []
        for index, step in enumerate(STEPS):
            skips.append(getattr(self, f"encoder_block{index + 1}")(x))
            x = F.avg_pool2d(skips[-1], step)
        for name in CENTRE:
            x = getattr(self, f"conv_block7{name}")(x)
        for index in range(len(STEPS)):
            x = getattr(self, f"decoder_block{index + 1}")(x, skips)
        return self.after_conv2(self.after_conv_block1(x))  # type: ignore[no-any-return]


def _identity(x: Tensor) -> Tensor:
    """Return the added magnitude unchanged, as in 2021."""
    return x


VARIANTS: dict[str, Bands] = {
    "subband": {"bands": 4, "frame": 512, "hop": 110, "added": torch.tanh},
    "ismir2021": {"bands": 1, "frame": 2048, "hop": 441, "added": _identity},
}


def weights(state: Mapping[str, Tensor], targets: int = 1) -> dict[str, Tensor]:
    """Return the weights of a published checkpoint without the matrices of its STFT.

    Args:
        state: of a file, which has one target.
        targets: number of targets of the network to fill; each is a copy of the file's single
            target.

    Returns:
        The same shapes, but in the last layer ``(targets * outputs, ...)`` for ``(outputs, ...)``.

    >>> list(weights({"stft.conv_real.weight": torch.zeros(1), "bn0.bias": torch.zeros(1)}))
    ['bn0.bias']
    >>> weights({"after_conv2.bias": torch.zeros(32)}, targets=3)["after_conv2.bias"].shape
    torch.Size([96])
    """
    constants = ("stft.", "istft.")
    found = {key: value for key, value in state.items() if not key.startswith(constants)}
    for key in found:
        if key.startswith("after_conv2."):  # its outputs are ordered by target
            found[key] = torch.cat([found[key]] * targets)
    return found
