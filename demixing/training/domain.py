"""The domain in which estimates are compared with stems: waveforms, magnitudes, projections."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from demixing.errors import ConfigError
from demixing.networks.chunk_geometry import ChunkGeometry
from demixing.training.config import DOMAINS, MAGNITUDES, PROJECTIONS, WAVEFORMS


class Waveforms(nn.Module):
    """Compares waveforms, which every network estimates.

    Args:
        network: estimates stems from mixtures.
    """

    def __init__(self, network: ChunkGeometry) -> None:
        super().__init__()
        self.network = network

    def forward(self, mixtures: Tensor) -> Tensor:
        """Map mixtures, ``(batch, 2, samples)``, to estimates, ``(batch, stems, 2, samples)``."""
        return self.network(mixtures)  # type: ignore[no-any-return]

    def truth(self, stems: Tensor) -> Tensor:
        """Map stems, ``(batch, stems, 2, samples)``, to the targets of the estimates."""
        return stems


class Magnitudes(Waveforms):
    """Compares magnitudes on the network's own grid, which saves the inverse transform.

    The network has ``magnitudes(mixtures)``, its estimates, and ``input_magnitudes(audio)``, the
    magnitudes of audio ``(..., 2, samples)`` on the same grid; both are ``(..., 2, frames *
    bins)``. So a loss for waveforms compares them as if they were samples.
    """

    def forward(self, mixtures: Tensor) -> Tensor:
        """Map mixtures, ``(batch, 2, samples)``, to ``(batch, stems, 2, frames * bins)``."""
        return self.network.magnitudes(mixtures)  # type: ignore[no-any-return, operator]

    @torch.no_grad()
    def truth(self, stems: Tensor) -> Tensor:
        """Map stems, ``(batch, stems, 2, samples)``, to the targets of the estimates."""
        return self.network.input_magnitudes(stems)  # type: ignore[no-any-return, operator]


class Projections(Magnitudes):
    """Compares magnitudes with stems projected on the mixture's phase, which a mask can reach.

    Where a stem is weak, the mixture has the phase of another stem, and the stem's magnitude is
    larger than the output of the best mask. The network has ``projected(stems)``.
    Source: Erdogan, Hershey, Watanabe, Le Roux, "Phase-sensitive and recognition-boosted speech
    separation using deep recurrent neural networks", ICASSP 2015.
    """

    @torch.no_grad()
    def truth(self, stems: Tensor) -> Tensor:
        """Map stems, ``(batch, stems, 2, samples)``, to the targets of the estimates."""
        return self.network.projected(stems)  # type: ignore[no-any-return, operator]


KINDS: Mapping[str, type[Waveforms]] = {
    WAVEFORMS: Waveforms,
    MAGNITUDES: Magnitudes,
    PROJECTIONS: Projections,
}
assert tuple(KINDS) == DOMAINS


def of(network: ChunkGeometry, domain: str) -> Waveforms:
    """Wrap a network so that it is compared in a domain.

    Args:
        network: the network to train.
        domain: one of :data:`demixing.training.config.DOMAINS`.

    Raises:
        ConfigError: the network has no estimates in that domain.
    """
    if domain != WAVEFORMS and not hasattr(network, "magnitudes"):
        raise ConfigError(
            f"domain must be {WAVEFORMS!r} for a network that estimates no magnitudes, such as "
            f"{type(network).__name__}, got {domain!r}"
        )
    return KINDS[domain](network)
