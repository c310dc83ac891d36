"""Open-Unmix: maps magnitudes of a mixture to those of one stem, with three bidirectional LSTMs.

Layers have the key names of the published checkpoints (:func:`weights`). Letters: b batch,
c channels, f bins, t frames.

Source: Stoter, Uhlich, Liutkus, Mitsufuji, "Open-Unmix - a reference implementation for music
source separation", JOSS 4(41), 2019.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FRAME = 4096
FRAME_HOP = 1024
BINS = FRAME // 2 + 1
INPUT_BINS = 1487
"""Bins that the network reads: up to 16 kHz."""


class OpenUnmix(nn.Module):
    """The network of one stem.

    Args:
        bins: of the spectra.
        channels: of the mixture.
        hidden: width of the layers; each LSTM direction has half of it.
        layers: of the LSTM.
        input_bins: number of lowest bins that the network reads; its output has all ``bins``.

    Shape:
        magnitudes ``(b, c, f, t)`` to those of the stem, same shape.
    """

    def __init__(
        self,
        bins: int = BINS,
        channels: int = 2,
        hidden: int = 512,
        layers: int = 3,
        input_bins: int = INPUT_BINS,
    ) -> None:
        super().__init__()
        self.bins, self.input_bins = bins, input_bins
        self.fc1 = nn.Linear(channels * input_bins, hidden, bias=False)
        self.bn1 = nn.BatchNorm1d(hidden)
        self.lstm = nn.LSTM(
            hidden,
            hidden // 2,
            num_layers=layers,
            bidirectional=True,
            dropout=0.4 if layers > 1 else 0.0,
        )
        self.fc2 = nn.Linear(2 * hidden, hidden, bias=False)
        self.bn2 = nn.BatchNorm1d(hidden)
        self.fc3 = nn.Linear(hidden, channels * bins, bias=False)
        self.bn3 = nn.BatchNorm1d(channels * bins)
        self.input_mean = nn.Parameter(torch.zeros(input_bins))
        self.input_scale = nn.Parameter(torch.ones(input_bins))
        self.output_scale = nn.Parameter(torch.ones(bins))
        self.output_mean = nn.Parameter(torch.ones(bins))

    def forward(self, magnitudes: Tensor) -> Tensor:
        """See the class."""
        rows = magnitudes.permute(3, 0, 1, 2)  # (t, b, c, f)
        x = (rows[..., : self.input_bins] + self.input_mean) * self.input_scale
        x = self.fc1(x.flatten(2))
        x = _normalised(self.bn1, x).tanh()
        x = self.fc2(torch.cat([x, self.lstm(x)[0]], dim=-1))
        x = F.relu(_normalised(self.bn2, x))
        x = _normalised(self.bn3, self.fc3(x)).reshape(rows.shape)
        x = F.relu(x * self.output_scale + self.output_mean)
        return (x * rows).permute(1, 2, 3, 0)


class Folded(nn.Module):
    """An :class:`OpenUnmix` for inference, with all affine operations folded into linear layers.

    Args:
        network: with its weights.
        dtype: of the products.

    Shape:
        magnitudes ``(b, c, f, t)`` to those of the stem, same shape.
    """

    def __init__(self, network: OpenUnmix, dtype: torch.dtype) -> None:
        super().__init__()
        self.input_bins = network.input_bins
        channels = network.fc1.in_features // network.input_bins
        factor, summand = (part.double().repeat(channels) for part in _input(network))
        first = network.fc1.weight.double()
        self.fc1 = _linear(first * factor, first @ summand, network.bn1)
        self.lstm = copy.deepcopy(network.lstm)
        second = network.fc2.weight.double()
        self.fc2 = _linear(second, second.new_zeros(len(second)), network.bn2)
        third = network.fc3.weight.double()
        fc3 = _linear(third, third.new_zeros(len(third)), network.bn3)
        scale = network.output_scale.double().repeat(channels)
        mean = network.output_mean.double().repeat(channels)
        self.fc3 = _layer(fc3.weight * scale[:, None], fc3.bias * scale + mean)
        self.to(dtype)

    def forward(self, magnitudes: Tensor) -> Tensor:
        """See the class."""
        dtype = self.fc1.weight.dtype
        rows = magnitudes.permute(3, 0, 1, 2)
        x = self.fc1(rows[..., : self.input_bins].to(dtype).flatten(2)).tanh_()
        x = F.relu_(self.fc2(torch.cat([x, self.lstm(x)[0]], dim=-1)))
        x = F.relu_(self.fc3(x)).reshape(rows.shape)
        return (x.float() if dtype != torch.float32 else x).mul_(rows).permute(1, 2, 3, 0)


def prepared(network: OpenUnmix, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Copy a network for inference.

    Args:
        network: with its weights; not changed.
        dtype: of the products: float32, the same output to rounding, or bfloat16.
    """
    with torch.no_grad():
        return Folded(network, dtype).eval().requires_grad_(requires_grad=False)


def weights(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a published checkpoint that exist in a network.

    Some files have tensors from earlier releases, such as the window of an STFT that used to be
    part of the network.

    Args:
        network: to fill.
        state: of the file.

    Returns:
        Those of ``state`` that the network has, unchanged in shape.
    """
    own = network.state_dict().keys()
    return {key: value for key, value in state.items() if key in own}


def _normalised(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Normalise the last axis of ``(t, b, features)`` over the others."""
    return norm(x.flatten(0, 1)).reshape(x.shape)  # type: ignore[no-any-return]


def _input(network: OpenUnmix) -> tuple[Tensor, Tensor]:
    """Return factor and summand of the scaling of the input, ``(input_bins,)`` each."""
    return network.input_scale, network.input_mean * network.input_scale


def _linear(weight: Tensor, bias: Tensor, norm: nn.BatchNorm1d) -> nn.Linear:
    """Fold the normalisation after a linear layer into it, in double precision."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - norm.running_mean.double() * factor
    return _layer(weight * factor[:, None], bias * factor + shift)


def _layer(weight: Tensor, bias: Tensor) -> nn.Linear:
    """Return a linear layer with the given weights, which may be in double precision."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(bias)
    return layer
