"""MRX, the multi-resolution cross network: film sound into music, speech and effects.

Each channel is separated by itself. Magnitudes at three window lengths become features of one
width, whose mean a is the input of a bidirectional LSTM per stem. For each stem and window length,
a decoder turns [a, mean of the LSTMs' outputs] into a mask. A stem is the sum over window lengths.

Layers have the key names of the published files. Letters: b mixtures times channels, t frames,
f bins, h features.

Source: Petermann, Wichern, Wang, Le Roux, "The cocktail fork problem: three-stem audio separation
for real-world soundtracks", ICASSP 2022.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from demixing.networks.stft import istft, stft

STEMS = ("music", "speech", "sfx")
WINDOWS = (1024, 2048, 8192)
FRAME_HOP = 256
HIDDEN = 512


class Encoder(nn.Module):
    """Maps magnitudes at one window length to features.

    Args:
        bins: f.
        hidden: h.

    Shape:
        ``(b * t, f)`` to ``(b * t, h)``.
    """

    def __init__(self, bins: int, hidden: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            nn.BatchNorm1d(bins), nn.Linear(bins, hidden, bias=False), nn.BatchNorm1d(hidden)
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.layer(x).tanh()  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """Maps features to the mask of one stem at one window length.

    Args:
        bins: f.
        hidden: h.

    Shape:
        ``(b * t, 2 h)`` to ``(b * t, f)``.
    """

    def __init__(self, bins: int, hidden: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Linear(2 * hidden, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, bins, bias=False),
            nn.BatchNorm1d(bins),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return self.block(x)  # type: ignore[no-any-return]


class CrossNet(nn.Module):
    """One LSTM per stem, with the same input.

    Args:
        stems: number of stems.
        hidden: h; each direction has half of it.
        layers: of each LSTM.

    Shape:
        ``(b, t, h)`` to ``(b, t, 2 h)``: the input, and the mean of the outputs.
    """

    def __init__(self, stems: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.lstm = nn.ModuleList(
            nn.LSTM(
                hidden,
                hidden // 2,
                num_layers=layers,
                bidirectional=True,
                batch_first=True,
                dropout=0.4 if layers > 1 else 0.0,
            )
            for _ in range(stems)
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        outputs = [lstm(x)[0] for lstm in self.lstm]
        return torch.cat([x, torch.stack(outputs).mean(dim=0)], dim=-1)


class MRX(nn.Module):
    """The whole network, for inference: without gradients.

    Args:
        stems: number of stems.
        windows: lengths of the windows in samples.
        hop: of all STFTs in samples.
        hidden: h.
        layers: of each LSTM.

    Shape:
        mixtures ``(b, c, samples)`` to stems ``(b, stems, c, samples)``; more samples than half of
        the longest window.
    """

    def __init__(
        self,
        *,
        stems: int = len(STEMS),
        windows: Sequence[int] = WINDOWS,
        hop: int = FRAME_HOP,
        hidden: int = HIDDEN,
        layers: int = 3,
    ) -> None:
        super().__init__()
        self.windows, self.hop = tuple(windows), hop
        bins = [window // 2 + 1 for window in windows]
        self._encoders = nn.ModuleList(Encoder(count, hidden) for count in bins)
        self._cross_net = CrossNet(stems, hidden, layers)
        self._decoders = nn.ModuleList(
            nn.ModuleList(Decoder(count, hidden) for count in bins) for _ in range(stems)
        )

    def forward(self, mixtures: Tensor) -> Tensor:
        """See the class."""
        audio = mixtures.float().flatten(0, 1)
        features = self._cross_net(self._encoded(audio))
        stems = torch.stack([self._decoded(*row) for row in zip(audio, features, strict=True)])
        return stems.unflatten(0, mixtures.shape[:2]).transpose(1, 2)  # type: ignore[no-untyped-call, no-any-return]

    def _encoded(self, audio: Tensor) -> Tensor:
        """Map ``(b, samples)`` to the mean of the features of all windows, ``(b, t, h)``."""
        total: Tensor | float = 0.0
        dtype = next(self._encoders.parameters()).dtype
        for window, encoder in zip(self.windows, self._encoders, strict=True):
            magnitude = self._spectrum(audio, window).abs().div_(math.sqrt(window))
            encoded = encoder(magnitude.to(dtype).flatten(0, 1))
            total = total + encoded.reshape(len(audio), -1, encoded.shape[-1])
        return total / len(self.windows)  # type: ignore[return-value]

    def _decoded(self, audio: Tensor, features: Tensor) -> Tensor:
        """Separate one channel: ``(samples,)``, features ``(t, 2 h)``, to ``(stems, samples)``.

        Spectra are computed a second time: all of them, of all channels, are much larger than the
        features.
        """
        stems = audio.new_zeros(len(self._decoders), len(audio))
        for index, window in enumerate(self.windows):
            spectrum = self._spectrum(audio, window)
            masked = torch.empty_like(spectrum)  # new memory for each would take most of the time
            parts, into = torch.view_as_real(spectrum), torch.view_as_real(masked)
            for stem, decoders in enumerate(self._decoders):
                mask = cast("nn.ModuleList", decoders)[index](features).float()
                torch.mul(parts, mask[..., None], out=into)
                stems[stem] += istft(masked.T[None], window, self.hop, len(audio))[0]
        return stems

    def _spectrum(self, audio: Tensor, window: int) -> Tensor:
        """Return complex ``(..., t, f)`` of ``(..., samples)``."""
        return stft(audio, window, self.hop, pad_mode="reflect").transpose(-1, -2)


def prepared(network: MRX, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Copy a network for inference, with normalisations folded into linear layers.

    Args:
        network: with its weights; not changed.
        dtype: of the products: float32, the same output to rounding, or bfloat16.
    """
    made = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    for module in made.modules():
        if isinstance(module, Encoder):
            before, linear, after = module.layer.children()
            module.layer = nn.Sequential(_folded(linear, after, before))
        elif isinstance(module, Decoder):
            first, norm, _, last, last_norm, _ = module.block.children()
            module.block = nn.Sequential(
                _folded(first, norm),
                nn.ReLU(inplace=True),
                _folded(last, last_norm),
                nn.ReLU(inplace=True),
            )
    return made.to(dtype)


def _folded(linear: Any, after: Any, before: Any = None) -> nn.Linear:
    """Fold the normalisations after and before a linear layer into it, in double precision."""
    weight: Tensor = linear.weight.double()
    factor, summand = _affine(after)
    bias = summand
    if before is not None:
        scale, shift = _affine(before)
        bias = bias + factor * (weight @ shift)
        weight = weight * scale
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight = nn.Parameter((weight * factor[:, None]).float(), requires_grad=False)
    layer.bias = nn.Parameter(bias.float(), requires_grad=False)
    return layer


def _affine(norm: Any) -> tuple[Tensor, Tensor]:
    """Return factor and summand of a trained normalisation, ``(features,)`` each, in float64."""
    factor = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    return factor, norm.bias.double() - norm.running_mean.double() * factor
