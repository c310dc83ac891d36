"""A residual branch whose wide normalisation is folded into the convolution before it.

The branch ``convolution, GroupNorm(1), GELU, 1x1 convolution, GroupNorm(1), GLU, scale`` widens a
few channels h to many channels y and normalises those. Their statistics follow from those of h:
with y = W h + d, M the mean and S the covariance of h over time,

    mean(y_i) = w_i M + d_i,      var(y_i) = w_i S w_i'.

Let m be the mean of all y, less the mean of d, and r one over their deviation. With the weights g
and a of the normalisation,

    a_i + g_i r (y_i - m) = a_i + (g_i w_i) (r h) + (g_i d_i) r - g_i (r m).

So the normalisation is a 1x1 convolution of r h, r and r m, with the same weights for all examples.
The wide tensor is written once, after the sigmoid of its gates. Letters: b batch, c channels, f
bins, t frames.

Source: our own derivation; the branch is that of Defossez, "Hybrid spectrogram and waveform
source separation", MDX workshop at ISMIR 2021.
"""

from typing import Any

import torch
from torch import Tensor, nn

from demixing.networks import fused
from demixing.networks.convolutions import Convolution, fixed
from demixing.networks.exact import exact
from demixing.networks.norms import whole_norm

POINTWISE = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


class FoldedResidual(nn.Module):
    """The branch of the module's docstring, added to its input.

    Args:
        branch: layers that :func:`is_residual` accepts.
        dtype: of the products.

    Shape:
        ``(b, c, f, t)`` of type ``dtype``, changed in place and returned; each of the f bins is an
        example of its own.
    """

    def __init__(self, branch: nn.Sequential, dtype: torch.dtype) -> None:
        super().__init__()
        layers: list[Any] = list(branch)
        self.narrowing = Convolution(layers[0], dtype)
        self.norm = layers[1]
        self.between = nn.Sequential(*layers[3:-4])  # an LSTM or attention in some layers
        weight, bias = layers[-4].weight.detach()[:, :, 0], layers[-4].bias.detach()
        bias = bias - bias.mean()
        self.weight, self.bias = fixed(weight, torch.float32), fixed(bias, torch.float32)
        self.epsilon = layers[-3].eps
        gain = layers[-3].weight.detach()
        wide = torch.cat([gain[:, None] * weight, (gain * bias)[:, None], -gain[:, None]], dim=1)
        value, gate = wide.chunk(2)
        value_bias, gate_bias = layers[-3].bias.detach().chunk(2)
        scale = layers[-1].scale.detach()
        self.value = fixed(value * scale[:, None], dtype)
        self.value_bias = fixed(value_bias * scale, dtype)
        self.gate, self.gate_bias = fixed(gate, dtype), fixed(gate_bias, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        few = self.narrowing(x).permute(0, 2, 3, 1)
        batch, bins = few.shape[:2]
        few = self._normalised(few.flatten(0, 1).float())
        if len(self.between):
            few = self.between(few.transpose(1, 2)).transpose(1, 2)
        few = self._features(few).to(self.value.dtype)
        few = few.unflatten(0, (batch, bins)).permute(0, 3, 1, 2)  # type: ignore[no-untyped-call]
        gate = fused.convolve(
            few, self.gate[:, :, None, None], self.gate_bias, POINTWISE, "sigmoid"
        )
        value = fused.convolve(few, self.value[:, :, None, None], self.value_bias, POINTWISE)
        return x.addcmul_(value, gate)

    def _normalised(self, few: Tensor) -> Tensor:
        """Apply GroupNorm(1) and GELU to ``(examples, t, few)``."""
        return fused.gelu_(whole_norm(self.norm, few))

    def _features(self, few: Tensor) -> Tensor:
        """Return r h, r and r m, ``(examples, t, few + 2)``."""
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
        gain = torch.rsqrt(variance + self.epsilon)
        features = few.new_empty(*few.shape[:2], few.shape[2] + 2)
        torch.mul(few, gain.to(few.dtype), out=features[..., :-2])
        features[..., -2:-1] = gain
        features[..., -1:] = gain * middle
        return features


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
