"""ByteSep's networks for inference: the same function, with fewer and faster memory passes.

A block normalises, rectifies, convolves, normalises, rectifies, convolves. The second normalisation
directly follows a convolution and is folded into its weights,

    (W x - mean) * scale / sqrt(variance + eps) + shift  =  (factor * W) x + summand.

The first follows a sum that other layers also need, so it stays. Tensors are channels last, where
the CPU's convolutions are fastest, and are overwritten as soon as no layer needs them. Letters: b
batch, c channels, t frames, f bins.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.bytesep import SLOPE, AbsoluteNorm, Decoder, Residual
from demixing.networks.bytesep_mobilenet import Separable, SeparableDecoder
from demixing.networks.decoupled import Decoupled

WIDTH = 64
"""Input channels of a narrow convolution, see :class:`Summed`."""


class Affine(nn.Module):
    """A trained batch normalisation as a factor and a summand for each channel.

    Args:
        norm: to copy.
    """

    def __init__(self, norm: Any) -> None:
        super().__init__()
        factor, summand = affine(norm)
        self.factor = nn.Parameter(factor[:, None, None], requires_grad=False)
        self.summand = nn.Parameter(summand[:, None, None], requires_grad=False)

    def forward(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """Map ``(b, c, t, f)`` to a new tensor of its size, or to ``out``, which may be ``x``."""
        return torch.addcmul(self.summand, x, self.factor, out=out)


class Summed(nn.Module):
    """A wide 3x3 convolution as the sum of narrow ones over parts of its inputs.

    With channels last, the CPU's convolution accumulates all products in one sum. The longer the
    sum, the larger its rounding error: with 384 channels, it is 7 dB higher than with 64. Narrow
    convolutions are just as fast.

    Args:
        convolution: to copy.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        weights = convolution.weight.detach().split(WIDTH, dim=1)  # type: ignore[no-untyped-call]
        self.weights = nn.ParameterList(
            nn.Parameter(weight.clone(), requires_grad=False) for weight in weights
        )
        self.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(b, inputs, t, f)`` to ``(b, outputs, t, f)``."""
        parts = zip(x.split(WIDTH, dim=1), self.weights, strict=True)  # type: ignore[no-untyped-call]
        part, weight = next(parts)
        y = F.conv2d(part, weight, self.bias, padding=1)
        for part, weight in parts:
            y.add_(F.conv2d(part, weight, padding=1))
        return y


class FoldedResidual(nn.Module):
    """See :class:`demixing.networks.bytesep.Residual`.

    Args:
        block: to copy.
        exact: whether wide convolutions are split, see :class:`Summed`.
        overwrites: whether the input may be overwritten.

    Shape:
        ``(b, inputs, t, f)`` to ``(b, outputs, t, f)``.
    """

    def __init__(self, block: Residual, *, exact: bool, overwrites: bool = False) -> None:
        super().__init__()
        self._overwrites = overwrites
        self.norm = Affine(block.bn1)
        first, second = folded(block.conv1, getattr(block, block.second)), block.conv2
        self.first = Summed(first) if exact and first.in_channels > WIDTH else first
        self.second = Summed(second) if exact and second.in_channels > WIDTH else second
        self.shortcut = getattr(block, "shortcut", None)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        shortcut: Tensor = x if self.shortcut is None else self.shortcut(x)
        y = F.leaky_relu_(self.norm(x, x if self._overwrites else None), SLOPE)
        y = F.leaky_relu_(self.first(y), SLOPE)
        return self.second(y).add_(shortcut)  # type: ignore[no-any-return]


class FoldedSeparable(nn.Module):
    """See :class:`demixing.networks.bytesep_mobilenet.Separable`.

    Args:
        blocks: to copy.
        overwrites: whether the input may be overwritten.

    Shape:
        ``(b, inputs, t, f)`` to ``(b, outputs, t, f)``.
    """

    def __init__(self, blocks: Separable, *, overwrites: bool = False) -> None:
        super().__init__()
        self._overwrites = overwrites
        self.norms = nn.ModuleList([Affine(blocks.bn1a), Affine(blocks.bn2a)])
        self.convolutions = nn.ModuleList()
        for block in "12":
            a, b, c = (getattr(blocks, f"conv{block}{part}") for part in "abc")
            inner, outer = (getattr(blocks, f"bn{block}{part}") for part in "bc")
            self.convolutions.append(nn.ModuleList([folded(a, inner), folded(b, outer), c]))
        self.shortcut = getattr(blocks, "shortcut", None)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        shortcut: Tensor = x if self.shortcut is None else self.shortcut(x)
        overwritten = x if self._overwrites else None
        for norm, convolutions in zip(self.norms, self.convolutions, strict=True):
            x = norm(x, overwritten)
            for convolution in convolutions:  # type: ignore[attr-defined]
                x = convolution(F.leaky_relu_(x, SLOPE))
            x = shortcut = x.add_(shortcut)
            overwritten = None
        return x


def prepared(network: Decoupled, dtype: torch.dtype = torch.float32) -> Decoupled:
    """Copy a network for inference.

    Args:
        network: ResUNet143 or MobileNet with its weights; not changed.
        dtype: of the layers between the spectra: float32, the same output to rounding, or
            bfloat16.

    Returns:
        The copy; mixtures and stems stay float32.
    """
    faster = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    _replace(faster, exact=dtype == torch.float32)
    for name, child in faster.named_children():
        if name not in ("bn0", "pqmf"):
            child.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return faster


def _replace(parent: nn.Module, *, exact: bool) -> None:
    """Replace the blocks below ``parent``, in place."""
    for name, child in list(parent.named_children()):
        # Only the first block of a step up reads the concatenated tensor.
        joined = name == "conv_block2" and isinstance(parent, Decoder | SeparableDecoder)
        if isinstance(child, Residual):
            setattr(parent, name, FoldedResidual(child, exact=exact, overwrites=joined))
        elif isinstance(child, Separable):
            setattr(parent, name, FoldedSeparable(child, overwrites=joined))
        else:
            _replace(child, exact=exact)


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the factor and the summand of a normalisation, ``(channels,)`` each."""
    weight, mean, variance = norm.weight.double(), norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    if isinstance(norm, AbsoluteNorm):
        weight = weight.abs() + norm.eps
    factor = weight / (variance.double() + norm.eps).sqrt()
    return factor.float(), (norm.bias.double() - mean.double() * factor).float()


def folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """Return a copy of a convolution with the normalisation after it in its weights."""
    factor, summand = affine(norm)
    new = copy.deepcopy(convolution)
    new.weight.data = convolution.weight.data * factor[:, None, None, None]
    new.bias = nn.Parameter(summand, requires_grad=False)
    return new
