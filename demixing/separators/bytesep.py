"""ByteSep: vocals, accompaniment or both, by a U-Net of 143 layers or a small one.

A network processes segments of 30 s. The authors keep the middle half of each one, plus the start
of a song's first segment and the end of its last one. The song is padded with silence to a multiple
of 30 s. Each stem has its own network, so the two need not sum to the mixture.

Source: Kong, Cao, Liu, Choi, Wang, "Decoupling magnitude and phase estimation with deep ResUNet
for music source separation", ISMIR 2021; the drivers of the package bytesep 0.1.1.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing.networks import execution
from demixing.networks.bytesep import ResUNet143, weights
from demixing.networks.bytesep_fast import prepared
from demixing.networks.bytesep_mobilenet import MobileNet
from demixing.networks.decoupled import Decoupled
from demixing.networks.execution import PreparedNetwork
from demixing.networks.movable import Networks
from demixing.separator import Chunking, distinct
from demixing.weights import checkpoints
from demixing.weights.loading import load

SAMPLE_RATE_HZ = 44_100
SEGMENT_S = 30.0
"""Length of the authors' segments."""

VARIANTS = ("subband", "ismir2021", "mobilenet")
COMPLEMENTS = {"vocals": "accompaniment", "accompaniment": "vocals"}
"""By stem, the name of the mixture minus it."""


@dataclass(frozen=True, slots=True)
class ByteSep(Networks):
    """Separates each stem with its own network.

    Attributes:
        networks: map mixtures ``(batch, 2, samples)`` to ``(batch, 1, 2, samples)``.
        stems: names of the outputs.
        chunking: see :func:`chunking`.
        rest: whether the last stem is the mixture minus the others, without a network.
        sample_rate_hz: the rate that the networks were trained at.
    """

    networks: tuple[Callable[[Tensor], Tensor], ...]
    stems: tuple[str, ...]
    chunking: Chunking
    rest: bool = False
    sample_rate_hz: int = SAMPLE_RATE_HZ

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        return torch.stack([self._song_part(chunk) for chunk in chunks])

    def _song_part(self, chunk: Tensor) -> Tensor:
        """Separate ``(2, chunk)``, a segment and half of the next, into ``(stems, 2, chunk)``.

        The authors' segments start every half segment and their number is odd, so after the first
        they come in pairs: a chunk contains the second of one pair and the first of the next. At
        the end of the song, where only silence follows, there may be one more or one less.

        Digital silence of a third of a chunk looks like that end. Only the length of a last chunk
        that is not padded would tell both apart, but the shorter chunks for machines with little
        memory have such lengths, too.
        """
        quarter = chunk.shape[-1] // 6
        parts = [self._segment(chunk, 0, quarter)]
        if chunk[:, 4 * quarter :].any():
            middle = self._segment(chunk, 2 * quarter, quarter)
            parts = [parts[0][..., : 3 * quarter], middle[..., quarter : 3 * quarter]]
            if chunk[:, 5 * quarter :].any() and not chunk[:, -1].any():
                parts.append(self._segment(chunk, 4 * quarter, quarter)[..., quarter:])
            else:  # context, unless the song ends with the last sample of the chunk
                parts.append(middle[..., 3 * quarter :])
        whole = torch.cat(parts, dim=-1)[..., : chunk.shape[-1]]
        return F.pad(whole, (0, chunk.shape[-1] - whole.shape[-1]))

    def _segment(self, chunk: Tensor, start: int, quarter: int) -> Tensor:
        """Separate the four quarters of ``(2, chunk)`` from ``start`` on.

        Returns:
            ``(stems, 2, 4 * quarter)``.
        """
        segment = chunk[:, start : start + 4 * quarter]
        segment = F.pad(segment, (0, 4 * quarter - segment.shape[-1]))
        stems = [network(segment[None])[0, 0] for network in self.networks]
        if self.rest:
            stems.append(segment - torch.stack(stems).sum(dim=0))
        return torch.stack(stems)


def chunking(segment_s: float) -> Chunking:
    """Return chunks that contain the kept parts of two segments.

    Args:
        segment_s: length of a segment in seconds.

    Raises:
        ValueError: the segments are too short for the networks' spectra.
    """
    if segment_s < 1:
        raise ValueError(f"expected chunk_s of at least 1 second, got {segment_s}")
    quarter = round(segment_s * SAMPLE_RATE_HZ / 4)
    return Chunking(
        chunk=6 * quarter,
        hop=4 * quarter,
        context=quarter,
        shorter=(3 * quarter // 6 * 6, 6 * quarter // 4 // 6 * 6),
    )


def required_weights(
    variant: str = "subband",
    stem: str | Sequence[str] = "vocals",
    *,
    checkpoint: str | Sequence[str] | None = None,
) -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens.

    Arguments are those of :func:`build`.
    """
    if checkpoint is not None:
        return [checkpoint] if isinstance(checkpoint, str) else list(checkpoint)
    return [f"bytesep_{variant}_{name}" for name in ([stem] if isinstance(stem, str) else stem)]


def build(
    variant: str = "subband",
    stem: str | Sequence[str] = "vocals",
    *,
    checkpoint: str | Sequence[str] | None = None,
    rest: bool = False,
    chunk_s: float = SEGMENT_S,
    precision: str = "fp32",
) -> ByteSep:
    """Load one network for each stem from files that the user provides.

    Args:
        variant: "subband", "ismir2021" or "mobilenet".
        stem: "vocals", "accompaniment", or a list of both.
        checkpoint: catalogue names of the stems' weights; None: the authors'.
        rest: with one stem, also return the mixture minus it as the other stem.
        chunk_s: length of a segment in seconds; half of it is kept.
        precision: of the networks, see :mod:`demixing.networks.execution`.

    Raises:
        CheckpointError: a file is missing, altered, or for another network.
        ConfigError: there is no such precision.
        ValueError: an option is out of range.
    """
    names = required_weights(variant, stem, checkpoint=checkpoint)
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    stems = distinct([stem] if isinstance(stem, str) else stem)
    if not set(stems) <= COMPLEMENTS.keys():
        raise ValueError(f"stem must be of {', '.join(COMPLEMENTS)}, got {stem!r}")
    if rest and len(stems) > 1:
        raise ValueError(f"rest needs a single stem, got {stem!r}")
    if len(names) != len(stems):
        raise ValueError(f"expected one checkpoint for each of {list(stems)}, got {checkpoint!r}")
    chunks = chunking(chunk_s)
    networks = tuple(_loaded(variant, name, precision) for name in names)
    if rest:
        stems = (*stems, COMPLEMENTS[stems[0]])
    return ByteSep(networks, stems, chunks, rest)


def network(variant: str, state: Mapping[str, Tensor], name: str) -> Decoupled:
    """Build the network of a checkpoint and fill it.

    Args:
        variant: one of :data:`VARIANTS`.
        state: a state dict as the authors' code saves it.
        name: of the weights, for messages.

    Raises:
        CheckpointError: the weights are for another network.
    """
    make = MobileNet if variant == "mobilenet" else partial(ResUNet143, variant=variant)
    return load(make, weights(state), name)


def _loaded(variant: str, name: str, precision: str) -> PreparedNetwork:
    """Load one network and prepare it."""
    entry = checkpoints.find(name)
    how = execution.choose(precision, change_db=entry.bf16_change_db)
    return how.prepare(network(variant, checkpoints.load(entry), name), prepared)
