"""A residual branch whose wide normalisation is folded into the convolution before it.

The branch ``convolution, GroupNorm(1), GELU, 1x1 convolution, GroupNorm(1), GLU, scale`` widens a
few channels h to many channels y and normalises those. Their statistics follow from those of h:
with y = W h + d, m the mean and S the covariance of h over time,

    mean(y_i) = w_i m + d_i,      var(y_i) = w_i S w_i'.

So the normalisation and the scale are folded into the weights of the 1x1 convolution, one set per
example, and the wide tensor is written only once. Letters: b batch, c channels, f bins, t frames.

Source: our own derivation; the branch is that of Defossez, "Hybrid spectrogram and waveform
source separation", MDX workshop at ISMIR 2021.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.exact import exact


class FoldedResidual(nn.Module):
    """The branch of the module's docstring, plus its input.

    Args:
        branch: layers that :func:`is_residual` accepts.
        dtype: of the products.
        convolution: converts a convolution over time into one over bins and time.

    Shape:
        ``(b, c, f, t)`` to ``(b, c, f, t)``; each of the f bins is an example of its own.
    """

    def __init__(
        self,
        branch: nn.Sequential,
        dtype: torch.dtype,
        convolution: Callable[[Any, torch.dtype], nn.Module],
    ) -> None:
        super().__init__()
        layers: list[Any] = list(branch)
        self._dtype = dtype
        self.narrowing = convolution(layers[0], dtype)
        self.norm = layers[1]
        self.between = nn.Sequential(*layers[3:-4])  # an LSTM or attention in some layers
        self.weight = nn.Parameter(layers[-4].weight.detach()[:, :, 0], requires_grad=False)
        self.bias = nn.Parameter(layers[-4].bias.detach(), requires_grad=False)
        self.wide_norm = layers[-3]
        scale = layers[-1].scale.detach()
        self.scale = nn.Parameter(torch.cat([scale, torch.ones_like(scale)]), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        few = self.narrowing(x).permute(0, 2, 3, 1)
        bins = few.shape[1]
        few = self._normalised(few.flatten(0, 1).float())
        if len(self.between):
            few = self.between(few.transpose(1, 2)).transpose(1, 2)
        weight, bias = self._folded(few)
        few = few.to(self._dtype)
        value, gate = (
            torch.baddbmm(part_bias.to(self._dtype), few, part.to(self._dtype))
            for part, part_bias in zip(weight.chunk(2, dim=2), bias.chunk(2, dim=2), strict=True)
        )
        rows = x.permute(0, 2, 3, 1).reshape(value.shape).to(self._dtype)
        sum_ = torch.addcmul(rows, value, gate.sigmoid_(), out=value)
        return sum_.reshape(-1, bins, *sum_.shape[1:]).permute(0, 3, 1, 2)

    def _normalised(self, few: Tensor) -> Tensor:
        """Apply GroupNorm(1) and GELU to ``(examples, t, few)``."""
        variance, mean = torch.var_mean(few, dim=(1, 2), correction=0, keepdim=True)
        gain = torch.rsqrt(variance + self.norm.eps) * self.norm.weight
        return F.gelu(torch.addcmul(self.norm.bias - mean * gain, few, gain))

    def _folded(self, few: Tensor) -> tuple[Tensor, Tensor]:
        """Return normalising weights ``(examples, few, 2 c)``, biases ``(examples, 1, 2 c)``."""
        # Sums over 86,000 frames in float32 left 73 dB; GroupNorm itself leaves 139 dB.
        rest = few.to(exact(few.device), copy=True)
        mean = rest.mean(dim=1, keepdim=True)
        # The mean is subtracted first: a difference of two large moments would lose most digits.
        rest -= mean
        covariance = torch.bmm(rest.transpose(1, 2), rest) / few.shape[1]
        weight = self.weight.T.to(rest.dtype)
        level = (mean @ weight) + self.bias
        spread = (weight * (covariance @ weight)).sum(dim=1, keepdim=True)
        middle = level.mean(dim=2, keepdim=True)
        variance = (spread + (level - middle).square()).mean(dim=2, keepdim=True)
        gain = torch.rsqrt(variance + self.wide_norm.eps) * self.wide_norm.weight
        bias = (self.bias - middle) * gain + self.wide_norm.bias
        return (weight * (gain * self.scale)).to(few.dtype), (bias * self.scale).to(few.dtype)


def is_residual(module: nn.Module) -> bool:
    """Return whether a module is a branch that :class:`FoldedResidual` can replace."""
    layers: list[Any] = list(module) if isinstance(module, nn.Sequential) else []
    kinds = (nn.Conv1d, nn.GroupNorm, nn.GELU, nn.Conv1d, nn.GroupNorm, nn.GLU)
    if len(layers) < 7 or not all(map(isinstance, [*layers[:3], *layers[-4:-1]], kinds)):
        return False
    narrow, widening, wide, scale = layers[1], layers[-4], layers[-3], layers[-1]
    return (
        widening.kernel_size == (1,)
        and widening.groups == 1
        and widening.bias is not None
        and all(norm.num_groups == 1 and norm.affine for norm in (narrow, wide))
        and isinstance(getattr(scale, "scale", None), Tensor)
        and 2 * len(scale.scale) == widening.out_channels
    )
