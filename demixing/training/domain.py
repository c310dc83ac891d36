"""In what a network's answers are compared with the truth, and its loss is computed."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from demixing.errors import ConfigError
from demixing.networks.chunk_geometry import ChunkGeometry
from demixing.training.config import DOMAINS, MAGNITUDES, PROJECTIONS, WAVEFORMS


class Waveforms(nn.Module):
    """Answers and stems as they are heard; every network can do it.

    Args:
        network: gives waveforms.
    """

    def __init__(self, network: ChunkGeometry) -> None:
        super().__init__()
        self.network = network

    def forward(self, mixtures: Tensor) -> Tensor:
        """Map ``(batch, 2, samples)`` to answers ``(batch, stems, 2, samples)``."""
        return self.network(mixtures)  # type: ignore[no-any-return]

    def truth(self, stems: Tensor) -> Tensor:
        """Map stems, ``(batch, stems, 2, samples)``, to what answers are compared with."""
        return stems


class Magnitudes(Waveforms):
    """Magnitudes on the network's own grid, which saves going back to waveforms and forth again.

    The network has ``magnitudes(mixtures)``, its answers, and ``heard(audio)``, magnitudes of any
    audio ``(..., 2, samples)`` on the same grid, ``(..., 2, frames * bins)`` both. So a loss for
    waveforms compares them as it would samples, with frames as time.
    """

    def forward(self, mixtures: Tensor) -> Tensor:
        """Map ``(batch, 2, samples)`` to answers ``(batch, stems, 2, frames * bins)``."""
        return self.network.magnitudes(mixtures)  # type: ignore[no-any-return, operator]

    @torch.no_grad()
    def truth(self, stems: Tensor) -> Tensor:
        """Map stems, ``(batch, stems, 2, samples)``, to what answers are compared with."""
        return self.network.heard(stems)  # type: ignore[no-any-return, operator]


class Projections(Magnitudes):
    """The same, but stems are seen as a mask can give them: with the mixture's phase.

    The magnitude of a stem that is weak in a bin is more than the best mask gives, because the
    mixture's phase there is that of another stem. The network has ``projected(stems)``.
    Source: Erdogan, Hershey, Watanabe, Le Roux, "Phase-sensitive and recognition-boosted speech
    separation using deep recurrent neural networks", ICASSP 2015.
    """

    @torch.no_grad()
    def truth(self, stems: Tensor) -> Tensor:
        """Map stems, ``(batch, stems, 2, samples)``, to what answers are compared with."""
        return self.network.projected(stems)  # type: ignore[no-any-return, operator]


KINDS: Mapping[str, type[Waveforms]] = {
    WAVEFORMS: Waveforms,
    MAGNITUDES: Magnitudes,
    PROJECTIONS: Projections,
}
assert tuple(KINDS) == DOMAINS


def of(network: ChunkGeometry, domain: str) -> Waveforms:
    """Let a network answer in a domain.

    Args:
        network: that is trained.
        domain: one of :data:`demixing.training.config.DOMAINS`.

    Raises:
        ConfigError: the network has no answers in it.
    """
    if domain != WAVEFORMS and not hasattr(network, "magnitudes"):
        raise ConfigError(
            f"domain must be {WAVEFORMS!r} for a network that gives no magnitudes, such as "
            f"{type(network).__name__}, got {domain!r}"
        )
    return KINDS[domain](network)
