"""The centre of the stereo image at low frequencies: the bass of most records, without training.

A source in the centre has the same spectrum in both channels. Where the channels L and R differ, in
level or phase, the mask is small:

    similarity = max(0, 2 Re(L conj(R)) / (|L|**2 + |R|**2)).

The centre is the masked mean of both channels, below the crossover. A mono song is all centre: its
"centre" is the song after a low-pass filter.

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
        crossover_hz: frequency at which centre and rest each get half.
        power: exponent of the similarity; higher is stricter.
        stems: names of the outputs.
        sample_rate_hz: the rate that the frame length is chosen for.
        chunking: chunks of about 5 s.
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
    """Return the similarity of two channels: 1 if they are equal, 0 if unrelated or opposite.

    Args:
        spectrum: complex, ``(batch, 2, bins, frames)``.

    Returns:
        From 0 to 1, ``(batch, bins, frames)``.

    >>> pairs = torch.tensor([[1 + 1j, 1 + 1j], [2.0, 0.0], [1.0, -1.0]])
    >>> similarity(pairs[:, :, None, None]).flatten().round(decimals=6)
    tensor([1., 0., 0.])
    """
    left, right = spectrum.unbind(dim=1)
    shared = 2 * (left * right.conj()).real
    return (shared / (left.abs().square() + right.abs().square() + EPSILON)).clamp(min=0)


def build(crossover_hz: float = 200.0, power: float = 2.0) -> Centre:
    """Build the filter; it has no weights. See :class:`Centre` for the arguments.

    Raises:
        ValueError: an option is out of range.
    """
    return Centre(crossover_hz=crossover_hz, power=power)
