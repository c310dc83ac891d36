"""TFC-TDF-U-Net v3, KUIELab's network of 2023: maps mixtures to the waveforms of all stems.

Letters: b batch, s stems, c channels, t frames, f bins. The network works on the complex
spectrogram, whose lowest bins are split into sub-bands; these are stacked as channels. Blocks join
convolutions over time and frequency (TFC) with a bottleneck over all frequencies of a frame (TDF).
Each scale of the encoder divides t and f and adds channels; its output is also concatenated to the
input of the decoder's block at that scale. Layers have the key names of the authors' code, which
are also those of the files called MDX23C.

Activations overwrite their inputs, and residuals are added in place, so it is for inference only.
This, products of matrices in place of 1x1 convolutions, and the kernel of GroupNorm, which is
faster than that of InstanceNorm, save a sixth of the original's time on a CPU. Channels-last
tensors would save a little more, but their long sums are 12 dB less exact than the original's.

Source: Kim, Lee, Jung, "Sound demixing challenge 2023: music demixing track technical report",
arXiv:2306.09382.
"""

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.stft import istft, stft
from demixing.networks.tfc_tdf import CHANNELS, as_channels, as_spectrum

NO_NORM = "Identity"
"""Name of the norm of networks without norms."""


class Norm(nn.GroupNorm):
    """Normalises groups of channels of an example, with sums in float32 whatever its precision.

    With one channel per group, it is the original's InstanceNorm, with the same keys.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, c, t, f)`` to a new tensor of the same shape and precision."""
        weight, bias = self.weight.float(), self.bias.float()
        return F.group_norm(x.float(), self.num_groups, weight, bias, self.eps).to(x.dtype)


class InPlaceGELU(nn.Module):
    """The exact GELU, which overwrites its input."""

    def forward(self, x: Tensor) -> Tensor:
        """Overwrite a tensor of any shape, and return it."""
        return torch.ops.aten.gelu_(x)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Style:
    """What precedes every layer of the blocks.

    Attributes:
        norm: "InstanceNorm", "BatchNorm", "GroupNorm" and the number of groups, or
            :data:`NO_NORM`.
        act: "gelu", "relu", or "elu" and its alpha, such as "elu1.0".
    """

    norm: str
    act: str

    def before(self, layer: nn.Module, channels: int) -> nn.Sequential:
        """Put a norm of ``channels`` and an activation before a layer."""
        # Without a norm, the activation would overwrite a tensor that other layers still need.
        act = activation(self.act, in_place=self.norm != NO_NORM)
        return nn.Sequential(normalisation(self.norm, channels), act, layer)


def normalisation(name: str, channels: int) -> nn.Module:
    """Build a norm; see :class:`Style`.

    Raises:
        ValueError: there is no such norm, or its groups do not divide the channels.
    """
    if name == "InstanceNorm":
        return Norm(channels, channels)
    if name == "BatchNorm":
        return nn.BatchNorm2d(channels)
    if name == NO_NORM:
        return nn.Identity()
    groups = re.fullmatch(r"GroupNorm([1-9][0-9]{0,5})", name, re.ASCII)
    if groups is None:
        raise ValueError(f"norm must be InstanceNorm, BatchNorm or GroupNorm4, 8.., got {name!r}")
    return Norm(int(groups[1]), channels)


def activation(name: str, *, in_place: bool) -> nn.Module:
    """Build an activation; see :class:`Style`.

    Args:
        name: of the activation.
        in_place: whether it may overwrite its input.

    Raises:
        ValueError: there is no such activation.
    """
    if name == "gelu":
        return InPlaceGELU() if in_place else nn.GELU()
    if name == "relu":
        return nn.ReLU(inplace=in_place)
    alpha = re.fullmatch(r"elu([0-9]{1,6}(\.[0-9]{0,6})?)", name, re.ASCII)
    if alpha is None:
        raise ValueError(f"act must be gelu, relu or elu and its alpha, elu1.0, got {name!r}")
    return nn.ELU(float(alpha[1]), inplace=in_place)


class Pointwise(nn.Conv2d):
    """A 1x1 convolution as a matrix product, which is faster on a CPU.

    Args:
        inputs: channels.
        outputs: channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Map ``(b, inputs, t, f)`` to ``(b, outputs, t, f)``, added to ``onto`` in place."""
        matrix = self.weight.flatten(1).to(x.dtype).expand(len(x), -1, -1)
        pixels = x.flatten(2)
        if onto is not None:
            return onto.flatten(2).baddbmm_(matrix, pixels).view_as(onto)
        return torch.bmm(matrix, pixels).reshape(len(x), -1, *x.shape[2:])


class Onto(nn.Linear):
    """A linear layer without a bias whose output is added to a tensor in place."""

    def forward(self, x: Tensor, onto: Tensor) -> Tensor:  # type: ignore[override]
        """Map ``(..., inputs)`` to ``(..., outputs)``, added to ``onto``."""
        rows = onto.flatten(0, -2).addmm_(x.flatten(0, -2), self.weight.to(x.dtype).T)
        return rows.view_as(onto)


class Block(nn.Module):
    """Two convolutions with a bottleneck over frequencies between them, and a shortcut.

    Args:
        inputs: channels.
        outputs: channels.
        bins: f.
        squeeze: ratio of the bins to the width of the bottleneck.
        style: of the layers.
    """

    def __init__(self, inputs: int, outputs: int, bins: int, squeeze: int, style: Style) -> None:
        super().__init__()
        inner = bins // squeeze
        self.tfc1 = style.before(_convolution(inputs, outputs), inputs)
        self.tdf = nn.Sequential(
            *style.before(nn.Linear(bins, inner, bias=False), outputs),
            *style.before(Onto(inner, bins, bias=False), outputs),
        )
        self.tfc2 = style.before(_convolution(outputs, outputs), outputs)
        self.shortcut = Pointwise(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, inputs, t, f)`` to ``(b, outputs, t, f)``."""
        y = inner = self.tfc1(x)
        *layers, last = self.tdf
        for layer in layers:
            inner = layer(inner)
        y = last(inner, onto=y)
        return self.shortcut(x, onto=self.tfc2(y))  # type: ignore[no-any-return]


class Blocks(nn.Module):
    """The blocks of a scale.

    Args:
        count: number of blocks.
        inputs: channels of the first one.
        outputs: channels.
        shape: other arguments of :class:`Block`.
    """

    def __init__(self, count: int, inputs: int, outputs: int, *shape: Any) -> None:
        super().__init__()
        widths = [inputs] + [outputs] * (count - 1)
        self.blocks = nn.ModuleList(Block(width, outputs, *shape) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, inputs, t, f)`` to ``(b, outputs, t, f)``."""
        for block in self.blocks:
            x = block(x)
        return x


class Rescaling(nn.Module):
    """A convolution between two scales.

    Args:
        layer: its kernel is as large as its stride.
        channels: of its input.
        style: of the layer.
    """

    def __init__(self, layer: nn.Module, channels: int, style: Style) -> None:
        super().__init__()
        self.conv = style.before(layer, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, inputs, t, f)`` to ``(b, outputs, t', f')``."""
        return self.conv(x)  # type: ignore[no-any-return]


class TFCTDFv3(nn.Module):
    """Estimates the waveforms of all stems.

    Args:
        n_fft: length of the STFT's window in samples.
        hop_length: hop of the STFT in samples.
        dim_f: number of lowest bins that are used; a multiple of
            ``num_subbands * scale[1] ** num_scales``.
        num_subbands: number of bands that are stacked as channels.
        num_scales: steps down and up.
        scale: factors by which a step down divides t and f.
        num_blocks_per_scale: blocks of each scale.
        num_channels: channels of the first scale.
        growth: channels that each step down adds.
        bottleneck_factor: ratio of the bins to the width of a block's bottleneck.
        norm: see :class:`Style`.
        act: see :class:`Style`.
        stems: number of outputs; one if the authors' configuration has a target instrument.

    Attributes:
        frame_multiple: ``scale[0] ** num_scales``; the number of frames must be a multiple of it.

    Shape:
        Mixtures ``(b, 2, samples)`` to stems ``(b, s, 2, samples)``, both float32. ``samples`` is
        ``hop_length * (frames - 1)``, where ``frames`` is a multiple of ``frame_multiple``, and
        more than ``n_fft // 2``. The authors' chunks have 256 or 1024 frames.

    Raises:
        ValueError: the arguments contradict each other.
    """

    def __init__(
        self,
        *,
        n_fft: int,
        hop_length: int,
        dim_f: int,
        num_subbands: int = 4,
        num_scales: int = 5,
        scale: tuple[int, int] = (2, 2),
        num_blocks_per_scale: int = 2,
        num_channels: int = 128,
        growth: int = 64,
        bottleneck_factor: int = 4,
        norm: str = "InstanceNorm",
        act: str = "gelu",
        stems: int = 4,
    ) -> None:
        super().__init__()
        self.n_fft, self.hop_length, self.dim_f = n_fft, hop_length, dim_f
        self.num_subbands, self.stems = num_subbands, stems
        self.frame_multiple: int = scale[0] ** num_scales
        bins = _bins_by_scale(n_fft, dim_f, num_subbands, num_scales, scale[1], bottleneck_factor)
        widths = [num_channels + growth * level for level in range(num_scales + 1)]
        style = Style(norm, act)

        def blocks(level: int, inputs: int) -> Blocks:
            shape = (widths[level], bins[level], bottleneck_factor, style)
            return Blocks(num_blocks_per_scale, inputs, *shape)

        def rescaling(kind: Any, source: int, target: int) -> Rescaling:
            inputs, outputs = widths[source], widths[target]
            return Rescaling(kind(inputs, outputs, scale, scale, bias=False), inputs, style)

        stacked = CHANNELS * num_subbands
        self.first_conv = Pointwise(stacked, num_channels)
        self.encoder_blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "tfc_tdf": blocks(level, widths[level]),
                    "downscale": rescaling(nn.Conv2d, level, level + 1),
                }
            )
            for level in range(num_scales)
        )
        self.bottleneck_block = blocks(num_scales, widths[-1])
        self.decoder_blocks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "upscale": rescaling(nn.ConvTranspose2d, level + 1, level),
                    "tfc_tdf": blocks(level, 2 * widths[level]),
                }
            )
            for level in reversed(range(num_scales))
        )
        self.final_conv = nn.Sequential(
            Pointwise(num_channels + stacked, num_channels),
            activation(act, in_place=True),
            Pointwise(num_channels, stems * stacked),
        )

    def forward(self, mixtures: Tensor) -> Tensor:
        """See the class.

        Raises:
            ValueError: the mixtures' length is not one of those that the class describes.
        """
        self._check(mixtures.shape[-1])
        # Nested calls, because names would keep the memory of their tensors.
        estimates = self._unstacked(self._estimate(self._stacked(self._spectrum(mixtures))))
        above = self.n_fft // 2 + 1 - self.dim_f
        estimates = F.pad(estimates, (0, 0, 0, above))
        return istft(estimates, self.n_fft, self.hop_length, mixtures.shape[-1])

    def nearest_length(self, samples: int) -> int:
        """The nearest length that mixtures may have; see the class."""
        step = self.hop_length * self.frame_multiple
        least = -(-(self.n_fft // 2 + 1 + self.hop_length) // step)
        return max(round((samples + self.hop_length) / step), least) * step - self.hop_length

    def _check(self, samples: int) -> None:
        """Raise unless mixtures may have this length."""
        if samples != self.nearest_length(samples):
            raise ValueError(
                f"expected {self.hop_length} * (frames - 1) samples, more than {self.n_fft // 2}, "
                f"with frames a multiple of {self.frame_multiple}; got {samples} samples"
            )

    def _spectrum(self, mixtures: Tensor) -> Tensor:
        """Return the lowest bins of the spectrogram, complex ``(b, 2, bins, t)``."""
        spectrum = stft(mixtures, self.n_fft, self.hop_length, pad_mode="reflect")
        return spectrum[..., : self.dim_f, :]

    def _stacked(self, spectrum: Tensor) -> Tensor:
        """Stack the sub-bands of a complex spectrogram ``(b, 2, bins, t)``: ``(b, c, t, f)``."""
        examples, _, bins, frames = spectrum.shape
        shape = (examples, CHANNELS * self.num_subbands, bins // self.num_subbands, frames)
        # Frames come before bins, since the bottlenecks of the blocks work on the last axis.
        bands = as_channels(spectrum).reshape(shape).transpose(2, 3).contiguous()
        return bands.to(self.first_conv.weight.dtype)

    def _unstacked(self, bands: Tensor) -> Tensor:
        """Convert sub-bands ``(b, s * c, t, f)`` to complex spectrograms ``(b, s, 2, bins, t)``."""
        examples, _, frames, _ = bands.shape
        channels = bands.float().transpose(2, 3).reshape(examples, -1, self.dim_f, frames)
        return as_spectrum(channels).reshape(examples, self.stems, -1, self.dim_f, frames)

    def _estimate(self, mixture: Tensor) -> Tensor:
        """Map the stacked sub-bands of the mixture, ``(b, c, t, f)``, to those of the stems."""
        level: Any
        first = x = self.first_conv(mixture)
        skips = []
        for level in self.encoder_blocks:
            skips.append(level["tfc_tdf"](x))
            x = level["downscale"](skips[-1])
        x = self.bottleneck_block(x)
        for level in self.decoder_blocks:
            x = torch.cat([level["upscale"](x), skips.pop()], dim=1)
            x = level["tfc_tdf"](x)
        x = torch.cat([mixture, x.mul_(first)], dim=1)
        del first
        return self.final_conv(x)  # type: ignore[no-any-return]


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Build a 3x3 convolution without a bias that keeps t and f."""
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _bins_by_scale(
    n_fft: int, dim_f: int, subbands: int, scales: int, factor: int, squeeze: int
) -> list[int]:
    """Return f of each scale, the largest first.

    Raises:
        ValueError: it is not a whole number, or the bottleneck of a block would have no width.

    >>> _bins_by_scale(8192, 4096, 4, 5, 2, 4)
    [1024, 512, 256, 128, 64, 32]
    """
    smallest = dim_f // (subbands * factor**scales)
    if dim_f > n_fft // 2 + 1 or dim_f % (subbands * factor**scales) or not squeeze <= smallest:
        raise ValueError(
            f"need at most n_fft // 2 + 1 bins that {subbands} sub-bands share equally, which "
            f"{scales} steps can divide by {factor}, and then a bottleneck by {squeeze}; "
            f"got {dim_f} bins for an n_fft of {n_fft}"
        )
    return [smallest * factor ** (scales - level) for level in range(scales + 1)]
