"""Runs a hybrid Demucs, v3 or v4, in less memory than demucs' own ``forward``: the same function.

Demucs holds a layer's input and skip connection while the layer works, and the spectrum of all
stems three times. Here, both are added in place, a tensor is freed once the next one exists, and
the last transposed convolution, which has one tap in time, is computed for a few frames at a time
(:mod:`demixing.separators.demucs.spectra`).

Source: Defossez, "Hybrid spectrogram and waveform source separation", MDX workshop at ISMIR 2021;
Rouard, Massa, Defossez, "Hybrid transformers for music source separation", arXiv:2211.08553.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demixing.networks.rewrites import Decoder, Encoder
from demixing.separators.demucs.spectra import LastLayer, whole_inverse

EPSILON = 1e-5
"""Added to the deviation that an input is divided by."""


@dataclass(slots=True)
class Normalised:
    """A tensor less its mean, over its deviation; one of each for every example."""

    x: Tensor | None
    mean: Tensor
    deviation: Tensor

    def taken(self) -> Tensor:
        """The tensor, which is not kept here any longer: it is freed after the first layer."""
        x, self.x = self.x, None
        assert x is not None  # it is only taken once
        return x


class Skips(NamedTuple):
    """Outputs of the encoders, and lengths of their inputs, in the order of the layers."""

    bins: list[Tensor]
    bins_lengths: list[int]
    time: list[Tensor]
    time_lengths: list[int]


class Hybrid(nn.Module):
    """A network of demucs with layers from :mod:`demixing.networks.rewrites`.

    Args:
        network: one that :func:`is_hybrid` accepts.

    Shape:
        ``(b, 2, t)`` to ``(b, stems, 2, t)``.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self.last = LastLayer(network.decoder[-1])

    def forward(self, mixture: Tensor) -> Tensor:
        """See the class."""
        samples = mixture.shape[-1]
        audio = self._separated(F.pad(mixture, (0, self._missing(samples))))
        return audio[..., :samples]

    def _missing(self, samples: int) -> int:
        """Samples missing to the length of training, if the network needs that."""
        if not getattr(self.network, "use_train_segment", False):
            return 0
        return max(int(self.network.segment * self.network.samplerate) - samples, 0)

    def _separated(self, mixture: Tensor) -> Tensor:
        """Separate an input of the right length."""
        bins, time = normalised(self._spectrum(mixture)), normalised(mixture)
        shape = (len(mixture), len(self.network.sources), -1, mixture.shape[-1])
        x, xt, skips = self._encoded(bins.taken(), time.taken())
        x, xt = self._decoded(*self._between(x, xt), skips)
        audio = self._inverse(x, bins, shape[-1]).view(shape)
        xt = xt.view(shape).float().mul_(time.deviation[:, None]).add_(time.mean[:, None])
        return audio.add_(xt)

    def _spectrum(self, mixture: Tensor) -> Tensor:
        """The input of the first layer of bins; devices without complex numbers get it back."""
        spectrum: Tensor = self.network._magnitude(self.network._spec(mixture))
        return spectrum.to(mixture.device)

    def _encoded(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor, Skips]:
        """Apply the encoders of both branches; the time branch ends where it meets the other."""
        skips = Skips([], [], [], [])
        layers: list[Any] = list(self.network.tencoder)
        for index, layer in enumerate(self.network.encoder):
            inject = None
            skips.bins_lengths.append(x.shape[-1])
            if index < len(layers):
                skips.time_lengths.append(xt.shape[-1])
                xt = layers[index](xt)
                if layers[index].empty:
                    inject = xt
                else:
                    skips.time.append(xt)
            x = layer(x, inject)
            skips.bins.append(x)
        return x, xt, skips

    def _between(self, x: Tensor, xt: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the transformer, if there is one; else, decoders only have skip connections."""
        network = self.network
        if not hasattr(network, "crosstransformer"):
            return torch.zeros_like(x), torch.zeros_like(xt)
        if network.crosstransformer is None:
            return x, xt
        if not network.bottom_channels:
            return network.crosstransformer(x, xt)  # type: ignore[no-any-return]
        x = _as_sequence(network.channel_upsampler, x)
        x, xt = network.crosstransformer(x, network.channel_upsampler_t(xt))
        return _as_sequence(network.channel_downsampler, x), network.channel_downsampler_t(xt)

    def _decoded(self, x: Tensor, xt: Tensor, skips: Skips) -> tuple[Tensor, Tensor]:
        """Apply the decoders of both branches, but not the last transposed convolution of bins.

        Returns:
            Input of that convolution, ``(b, c, f, t)``, and ``(b, outputs, t)``.
        """
        for layer, time in self._pairs():
            x = layer.joined(x, skips.bins.pop())
            x = layer.rewrite(x)  # separate lines, to free the tensor before each
            x = layer.residuals(x)
            if time is not None and time.empty:
                xt = time.raised(x, skips.time_lengths.pop())  # there is one bin left
            elif time is not None:
                xt = time.joined(xt, skips.time.pop())
                xt = time.rewrite(xt)
                xt = time.residuals(xt)
                xt = time.raised(xt, skips.time_lengths.pop())
            if layer is not self.network.decoder[-1]:
                x = layer.raised(x, skips.bins_lengths.pop())
        return x, xt

    def _pairs(self) -> Iterator[tuple[Decoder, Decoder | None]]:
        """Decoders of bins with those of time, which there are fewer of."""
        late = list(self.network.tdecoder)
        early = [None] * (len(self.network.decoder) - len(late))
        return zip(self.network.decoder, [*early, *late], strict=True)

    def _inverse(self, x: Tensor, bins: Normalised, samples: int) -> Tensor:
        """Apply the last transposed convolution and the inverse STFT."""
        if x.device.type == "cpu":
            return self.last.audio(x, bins.mean, bins.deviation, samples)
        outputs = self.network.decoder[-1].raised(x)
        return whole_inverse(self.network, outputs * bins.deviation + bins.mean, samples)


def is_hybrid(network: Any) -> bool:
    """Return whether :class:`Hybrid` can run a network.

    Its layers must be rewritten, and it must estimate complex spectra, as all but the first
    networks of v3 do.
    """
    kinds = {"encoder": Encoder, "tencoder": Encoder, "decoder": Decoder, "tdecoder": Decoder}
    return (
        bool(getattr(network, "cac", False) and getattr(network, "hybrid", True))
        and not getattr(network, "hybrid_old", False)
        and getattr(network, "freq_emb", None) is None
        and all(hasattr(network, name) for name in kinds)
        and all(type(one) is kind for name, kind in kinds.items() for one in getattr(network, name))
        and LastLayer.fits(network.decoder[-1])
    )


def normalised(x: Tensor) -> Normalised:
    """Normalise each example."""
    axes = tuple(range(1, x.dim()))
    mean, deviation = x.mean(axes, keepdim=True), x.std(axes, keepdim=True)
    return Normalised((x - mean).div_(EPSILON + deviation), mean, deviation)


def _as_sequence(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer of ``(b, c, t)`` to ``(b, c, f, t)``, as one long sequence."""
    return layer(x.flatten(2)).unflatten(2, x.shape[2:])  # type: ignore[no-any-return]
