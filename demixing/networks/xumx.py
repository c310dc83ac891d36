"""X-UMX: four Open-Unmix networks with connections between them, in Danna-Sep's variant.

Each network starts with an affine layer. The mean of the four outputs is the input of four LSTMs;
the mean of their outputs, together with their input, is the input of the layers that compute the
masks of all stems. Letters: b batch, c hidden channels, f bins, t frames.

Source: Sawata, Uhlich, Takahashi, Mitsufuji, "All for One and One for All", arXiv:2010.04228.
Layers have the key names of Danna-Sep's file, whose order of stems is drums, bass, other, vocals.
"""

import torch
from torch import Tensor, nn

STEMS = 4


class XUMX(nn.Module):
    """Map magnitudes of a mixture to the masks of its stems.

    Args:
        frame: length of a frame of the STFT in samples.
        hidden: channels of the hidden layers.
        input_bins: number of lowest bins that the network reads.
        layers: of each LSTM.

    Shape:
        ``(b, 2, f, t)`` with f = frame // 2 + 1 to ``(b, 4, 2, f, t)``, not negative.
    """

    def __init__(
        self, frame: int = 4096, hidden: int = 512, input_bins: int = 1487, layers: int = 3
    ) -> None:
        super().__init__()
        self.input_bins, self.bins = input_bins, frame // 2 + 1
        self.input_means = nn.Parameter(torch.zeros(STEMS * input_bins))
        self.input_scale = nn.Parameter(torch.ones(STEMS * input_bins))
        self.output_means = nn.Parameter(torch.zeros(STEMS * self.bins))
        self.output_scale = nn.Parameter(torch.ones(STEMS * self.bins))
        wide = STEMS * hidden
        self.affine1 = nn.Sequential(
            nn.Conv1d(2 * STEMS * input_bins, wide, 1, bias=False, groups=STEMS),
            nn.BatchNorm1d(wide),
            nn.Tanh(),
        )
        self.bass_lstm, self.drums_lstm, self.vocals_lstm, self.other_lstm = (
            nn.LSTM(hidden, hidden // 2, layers, bidirectional=True) for _ in range(STEMS)
        )
        self.affine2 = nn.Sequential(
            nn.Conv1d(2 * hidden, wide, 1, bias=False),
            nn.BatchNorm1d(wide),
            nn.ReLU(inplace=True),
            nn.Conv1d(wide, 2 * STEMS * self.bins, 1, bias=False, groups=STEMS),
            nn.BatchNorm1d(2 * STEMS * self.bins),
        )

    def forward(self, magnitudes: Tensor) -> Tensor:
        """See the class."""
        batch, _, _, frames = magnitudes.shape
        x = magnitudes[:, None, :, : self.input_bins]
        x = (x + per_bin(self.input_means)) * per_bin(self.input_scale)
        x = self.affine1(x.reshape(batch, -1, frames))
        x = self.crossed(x.reshape(batch, STEMS, -1, frames).mean(dim=1))
        x = self.affine2(x).reshape(batch, STEMS, 2, self.bins, frames)
        return (x * per_bin(self.output_scale) + per_bin(self.output_means)).relu()  # type: ignore[no-any-return]

    def crossed(self, x: Tensor) -> Tensor:
        """Append the mean output of the LSTMs, ``(b, c, t)`` to ``(b, 2 c, t)``."""
        x = x.permute(2, 0, 1)
        lstms = (self.bass_lstm, self.drums_lstm, self.vocals_lstm, self.other_lstm)
        mean = torch.stack([lstm(x)[0] for lstm in lstms]).mean(dim=0)
        return torch.cat([x, mean], dim=2).permute(1, 2, 0)


class Prepared(XUMX):
    """The same network with consecutive linear operations merged into one matrix product.

    Args:
        network: with its weights.
        dtype: of the products of the affine layers.
    """

    def __init__(self, network: XUMX, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        self.input_bins, self.bins = network.input_bins, network.bins
        self.bass_lstm, self.drums_lstm = network.bass_lstm, network.drums_lstm
        self.vocals_lstm, self.other_lstm = network.vocals_lstm, network.other_lstm
        first, norm1, _ = network.affine1
        middle, norm2, _, last, norm3 = network.affine2
        # (x + mean) * scale of each stem before its own weights, without a copy per stem.
        scale, mean = (
            part.detach().reshape(STEMS, 1, 1, -1).expand(-1, 1, 2, -1).flatten(2)
            for part in (network.input_scale, network.input_means)
        )
        weight = taps(first).reshape(STEMS, -1, scale.shape[2]) * scale
        bias = (weight * mean).sum(dim=2).flatten()
        self.first: nn.Module = folded(weight.flatten(0, 1), bias, norm1, dtype)
        self.middle: nn.Module = folded(taps(middle), torch.zeros(1), norm2, dtype)
        out_scale, out_mean = (
            part.detach().reshape(STEMS, 1, -1).expand(-1, 2, -1).flatten()
            for part in (network.output_scale, network.output_means)
        )
        weights, bias = normed(taps(last), torch.zeros(1), norm3)
        masks = Affine(weights * out_scale[:, None], bias * out_scale + out_mean, dtype)
        masks.weight.data = masks.weight.data.reshape(STEMS, -1, weights.shape[1])
        masks.bias.data = masks.bias.data.reshape(STEMS, -1, 1)
        self.last: nn.Module = masks

    def forward(self, magnitudes: Tensor) -> Tensor:
        """See :class:`XUMX`."""
        batch, _, bins, frames = magnitudes.shape
        x = magnitudes[:, :, : self.input_bins].reshape(batch, -1, frames)
        x = self.first(x).tanh_().reshape(batch, STEMS, -1, frames).mean(dim=1)
        x = self.middle(self.crossed(x)).relu_().reshape(batch, STEMS, -1, frames)
        return self.last(x).relu_().reshape(batch, STEMS, 2, bins, frames)  # type: ignore[no-any-return]


class Affine(nn.Module):
    """An affine map ``weight @ x + bias`` in its own precision, with a float32 output.

    Args:
        weight: ``(outputs, inputs)``.
        bias: ``(outputs,)``.
        dtype: of the product.
    """

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
        self.bias = nn.Parameter(bias[:, None], requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(..., inputs, t)`` to ``(..., outputs, t)``."""
        return (self.weight @ x.to(self.weight.dtype)).float().add_(self.bias)


def taps(layer: nn.Module) -> Tensor:
    """Return the weight of a 1x1 convolution, ``(outputs, inputs)``."""
    assert isinstance(layer, nn.Conv1d)
    return layer.weight.detach()[:, :, 0]


def folded(weight: Tensor, bias: Tensor, norm: nn.Module, dtype: torch.dtype) -> Affine:
    """Return an affine layer with the normalisation after it folded in.

    Args:
        weight: ``(outputs, inputs)``.
        bias: ``(outputs,)`` or ``(1,)``.
        norm: the normalisation, over outputs.
        dtype: of the product.
    """
    return Affine(*normed(weight, bias, norm), dtype)


def normed(weight: Tensor, bias: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Fold the normalisation over outputs into ``(outputs, inputs)`` and ``(outputs,)``."""
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach() / (norm.running_var + norm.eps).sqrt()
    return weight * scale[:, None], (bias - norm.running_mean) * scale + norm.bias.detach()


def per_bin(values: Tensor) -> Tensor:
    """Reshape values ``(stems * f,)`` to broadcast with ``(b, stems, 2, f, t)``."""
    return values.reshape(STEMS, 1, -1, 1)


def prepared(network: XUMX, dtype: torch.dtype = torch.float32) -> XUMX:
    """Rewrite a network for inference; in float32 its output is the same up to rounding.

    Args:
        network: with its weights. Its LSTMs are shared, not copied.
        dtype: of the products of the affine layers, float32 or bfloat16.
    """
    return Prepared(network.eval(), dtype).eval()
