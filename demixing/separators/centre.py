"""What stands in the middle at low frequencies: the bass of most records, without any training.

A source that both channels play alike has the same spectrum in both. Where they differ, in level
or in phase, the mask falls; below the crossover, what is left of the middle is the centre. A mono
song is all centre, so there this is a low-pass.

Source: the similarity of Avendano and Jot, "Frequency domain techniques for stereo to multichannel
upmix", AES 22nd conference 2002. Measured in docs/decisions/004-members-without-training.md.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from demixing.networks.crossover import crossover
from demixing.networks.stft import istft, stft
from demixing.separator import Chunking

FRAME = 4096
FRAME_HOP = 1024

EPSILON = 1e-10
"""Keeps the mask finite where both channels are silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Centre:
    """The centre below the crossover, and the rest; the two sum to the input.

    Attributes:
        crossover_hz: where half of the centre goes to each.
        power: of the similarity; higher is stricter.
        sample_rate_hz: the length of a frame is right for this rate.
    """

    crossover_hz: float
    power: float
    stems: tuple[str, ...] = ("centre", "rest")
    sample_rate_hz: int = 44_100
    chunking: Chunking = Chunking(
        chunk=208 * FRAME_HOP, hop=200 * FRAME_HOP, context=4 * FRAME_HOP, step=FRAME_HOP
    )

    def __post_init__(self) -> None:
        if not 0 < self.crossover_hz < math.inf or not 0 <= self.power < math.inf:
            raise ValueError(
                "need crossover_hz > 0 and power >= 0, both finite, "
                f"got {self.crossover_hz} and {self.power}"
            )

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        spectrum = stft(chunks, FRAME, FRAME_HOP)
        hz = torch.fft.rfftfreq(FRAME, 1 / self.sample_rate_hz)[:, None]
        gain = similarity(spectrum) ** self.power * crossover(hz, self.crossover_hz)
        middle = istft(spectrum.mean(dim=1) * gain, FRAME, FRAME_HOP, chunks.shape[-1])
        centre = middle[:, None].expand_as(chunks)
        return torch.stack([centre, chunks - centre], dim=1)


def similarity(spectrum: Tensor) -> Tensor:
    """How alike two channels are: 1 if they are equal, 0 if they share nothing or oppose.

    Args:
        spectrum: complex, ``(batch, 2, bins, frames)``.

    Returns:
        ``(batch, bins, frames)``.

    >>> pairs = torch.tensor([[1 + 1j, 1 + 1j], [2.0, 0.0], [1.0, -1.0]])
    >>> similarity(pairs[:, :, None, None]).flatten().round(decimals=6)
    tensor([1., 0., 0.])
    """
    left, right = spectrum.unbind(dim=1)
    shared = 2 * (left * right.conj()).real
    return (shared / (left.abs().square() + right.abs().square() + EPSILON)).clamp(min=0)


def build(crossover_hz: float = 200.0, power: float = 2.0) -> Centre:
    """Build the filter; it has no weights. See :class:`Centre` for the arguments."""
    return Centre(crossover_hz=crossover_hz, power=power)
