"""A small band-split network for the CPU: several stems, by complex masks of both channels.

A spectrum is split into bands that widen with frequency, and each band becomes a few features per
frame. Layers over time, bands and features alternate. The output is a complex 2x2 matrix M for each
stem, frame and bin, which can undo the panning of the mixture:

    (left, right)_stem = M (left, right)_mixture.

The inputs are levels and the phase between the channels, but no absolute phase, so inverting the
polarity of a mixture only inverts that of the stems. At high frequencies, neighbouring bins share
inputs and outputs.

Source of the idea: Luo, Yu, "Music source separation with band-split RNN" (BSRNN), IEEE/ACM TASLP
2023; bands coarser with frequency: Tong et al., "SCNet: sparse compression network for music source
separation", ICASSP 2024. Layers, features and masks are our own.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from demixing.networks.chunk_geometry import ChunkGeometry
from demixing.networks.stft import istft, stft
from demixing.networks.temporal import LAYERS, TAPS, Mixer

SAMPLE_RATE_HZ = 44_100
FRAME = 4096
FRAME_HOP = 1024
INPUTS = 4
"""Inputs per bin: two levels, and the complex coherence of the channels."""

OUTPUTS = 8
"""Outputs per bin and stem: a complex 2x2 matrix."""

POWER = 0.3
"""Exponent of magnitudes, which compresses levels into a range that a layer can use."""

QUIET = 1e-8
"""Added to energies; noise at full scale has an energy of 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A frequency range with bands of equal width.

    Attributes:
        bands: number of bands.
        bins: bins of each band.
        shared: neighbouring bins that share inputs and outputs.
    """

    bands: int
    bins: int
    shared: int = 1


ZONES = (
    Zone(bands=24, bins=8),  # up to 2.1 kHz, 86 Hz each
    Zone(bands=12, bins=20),  # 4.7 kHz
    Zone(bands=8, bins=48, shared=2),  # 8.8 kHz
    Zone(bands=6, bins=96, shared=4),  # 15 kHz
    Zone(bands=2, bins=328, shared=8),  # up to the last bin, which stays silent
)


class BandLinear(nn.Module):
    """A linear layer for each band of a zone.

    Args:
        bands: k.
        inputs: features of a band.
        outputs: features of a band.

    Shape:
        ``(b, t, k, inputs)`` to ``(b, t, k, outputs)``.
    """

    def __init__(self, bands: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(bands, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(bands, outputs))
        nn.init.uniform_(self.weight, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return torch.einsum("btki,kio->btko", x, self.weight) + self.bias


class BandSplit(ChunkGeometry):
    """See the module and :class:`demixing.networks.chunk_geometry.ChunkGeometry`.

    Args:
        stems: number of stems.
        features: of each frame and band.
        layers: number of layers; the dilation over time doubles from layer to layer.
        time: temporal module, a key of :data:`demixing.networks.temporal.LAYERS`.
    """

    def __init__(self, stems: int, features: int, layers: int, time: str) -> None:
        super().__init__()
        self.stems = stems
        self.listen = nn.ModuleList(
            BandLinear(zone.bands, INPUTS * zone.bins // zone.shared, features) for zone in ZONES
        )
        bands = sum(zone.bands for zone in ZONES)
        self.mixers = nn.ModuleList(
            Mixer(bands, features, LAYERS[time], 1 << layer) for layer in range(layers)
        )
        self.norm = nn.LayerNorm(features)
        self.answer = nn.ModuleList(
            BandLinear(zone.bands, features, stems * OUTPUTS * zone.bins // zone.shared)
            for zone in ZONES
        )
        self._start_from_equal_shares()

    def forward(self, mixtures: Tensor) -> Tensor:
        """See :class:`demixing.networks.chunk_geometry.ChunkGeometry`."""
        mixtures = mixtures.float()
        spectrum = stft(mixtures, FRAME, FRAME_HOP).transpose(2, 3)[..., :-1]
        parts = spectrum.split([zone.bands * zone.bins for zone in ZONES], dim=-1)  # type: ignore[no-untyped-call]
        x = torch.cat(
            [
                listen(inputs_of(part, zone))
                for listen, part, zone in zip(self.listen, parts, ZONES, strict=True)
            ],
            dim=2,
        )
        for mixer in self.mixers:
            x = mixer(x)
        outputs = self.norm(x).split([zone.bands for zone in ZONES], dim=2)
        stems = [
            self._masked(layer(own).float(), part, zone)
            for layer, own, part, zone in zip(self.answer, outputs, parts, ZONES, strict=True)
        ]
        stems.append(torch.zeros_like(stems[0][..., :1]))
        return istft(
            torch.cat(stems, dim=-1).transpose(-1, -2), FRAME, FRAME_HOP, mixtures.shape[-1]
        )

    def _masked(self, output: Tensor, part: Tensor, zone: Zone) -> Tensor:
        """Apply the matrices to the channels of a zone.

        Args:
            output: ``(b, t, k, stems * OUTPUTS * bins / shared)``.
            part: spectrum ``(b, 2, t, k * bins)``.
            zone: the zone.

        Returns:
            Spectra ``(b, stems, 2, t, k * bins)``.
        """
        batch, frames = output.shape[:2]
        shape = (batch, frames, zone.bands, self.stems, 2, 2, zone.bins // zone.shared, 2)
        # Stems, channels to, channels from, frames, bands, bins that share a value.
        mask = torch.view_as_complex(output.reshape(shape)).permute(0, 3, 4, 5, 1, 2, 6)
        bins = part.reshape(batch, 1, 1, 2, frames, zone.bands, -1, zone.shared)
        left, right = bins.unbind(dim=3)
        from_left, from_right = mask[..., None].unbind(dim=3)
        return (from_left * left + from_right * right).flatten(-3)

    @torch.no_grad()
    def _start_from_equal_shares(self) -> None:
        """Initialise the outputs so that each stem is almost an equal share of the mixture."""
        for layer, zone in zip(self.answer, ZONES, strict=True):
            assert isinstance(layer, BandLinear)
            layer.weight.mul_(0.1)
            bias = layer.bias.view(zone.bands, self.stems, 2, 2, zone.bins // zone.shared, 2)
            for channel in range(2):
                bias[:, :, channel, channel, :, 0] = 1 / self.stems


def inputs_of(part: Tensor, zone: Zone) -> Tensor:
    """Return the inputs of the network for a zone: levels and coherence.

    Args:
        part: spectrum ``(b, 2, t, k * bins)``.
        zone: the zone.

    Returns:
        ``(b, t, k, INPUTS * bins / shared)``.
    """
    # Divided by the root of the window's energy: noise at full scale then has an energy of 1.
    batch, channels, frames, _ = part.shape
    shape = (batch, channels, frames, zone.bands, zone.bins // zone.shared, zone.shared)
    bins = part.reshape(shape) / math.sqrt(3 / 8 * FRAME)
    energies = (bins.real.square() + bins.imag.square()).mean(dim=-1) + QUIET
    left, right = bins.unbind(dim=1)
    coherence = (left * right.conj()).mean(dim=-1) / energies.prod(dim=1).sqrt()
    levels = energies ** (POWER / 2)
    each = (levels[:, 0], levels[:, 1], coherence.real, coherence.imag)
    return torch.cat(each, dim=-1)


def build(
    stems: tuple[str, ...],
    features: int = 64,
    layers: int = 6,
    time: str = "convolution",
    chunk_s: float = 30.0,
    context_s: float | None = None,
) -> BandSplit:
    """Build the network.

    Args:
        stems: names of the outputs.
        features: of each frame and band, an even number.
        layers: number of layers; the dilation over time doubles from layer to layer.
        time: temporal module, "convolution" or "recurrence".
        chunk_s: length in seconds of the chunks that the network separates.
        context_s: seconds at both ends of a chunk that are discarded; None: the reach of the
            convolutions, even if ``time`` is another module.

    Raises:
        ValueError: an option is out of range.
    """
    if time not in LAYERS:
        raise ValueError(f"time must be one of {', '.join(LAYERS)}, got {time!r}")
    if features < 2 or features % 2 or layers < 1:
        raise ValueError(
            f"expected an even number of features and at least one layer, got {features}, {layers}"
        )
    made = BandSplit(len(stems), features, layers, time)
    if context_s is None:
        context_s = reach(layers) / SAMPLE_RATE_HZ
    made.set_geometry(SAMPLE_RATE_HZ, FRAME_HOP, chunk_s, context_s)
    return made


def reach(layers: int) -> int:
    """Return the samples before and after an output sample that the convolutions cover.

    >>> reach(6) / SAMPLE_RATE_HZ < 3.1
    True
    """
    return ((1 << layers) - 1) * (TAPS - 1) // 2 * FRAME_HOP + FRAME
