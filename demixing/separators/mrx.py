"""MRX (cocktail fork): film sound into music, speech and effects, by recurrent networks.

The authors bring a clip to -27 LUFS, the mean loudness of their training data, and run the network
on all of it. Here it processes chunks of a minute, with context and a cross-fade, so memory does
not depend on the length of a clip. A shorter clip is separated exactly as by the authors. The stems
do not sum to the mixture: a recipe may share the rest among them with ``consistency``, as the
authors' option ``--mixture-residual`` does.

Source: see :mod:`demixing.networks.mrx`; the driver is ``separate.py`` of the authors' repository
cocktail-fork-separation.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing.errors import ConfigError
from demixing.networks import execution
from demixing.networks.movable import Networks
from demixing.networks.mrx import FRAME_HOP, MRX, STEMS, WINDOWS, prepared
from demixing.plugins import did_you_mean
from demixing.separator import Chunking, Loudness, SongEnd
from demixing.weights import checkpoints
from demixing.weights.loading import load

SAMPLE_RATE_HZ = 44_100

CHECKPOINTS = ("mrx", "mrx_adapted_loudness", "mrx_adapted_eq")
"""Names in the catalogue: trained on DnR, and on DnR with the loudness or the spectrum of the stems
of real films."""

CONTEXT_S = 5.0
"""Discarded at both ends of a chunk; the networks were trained on clips of 9 s."""

FADE_S = 1.0
LEAST_S = 15.0
"""Shortest chunk in seconds."""


def target_lufs() -> float:
    """Return the loudness of the network's input; see :mod:`demixing.engine.normalisation`."""
    return -27.0


LEVEL = Loudness(target_lufs())


@dataclass(frozen=True, slots=True)
class CocktailFork(Networks):
    """One network for all three stems.

    Attributes:
        network: maps mixtures ``(batch, 2, samples)`` to stems ``(batch, 3, 2, samples)``.
        chunking: see :func:`chunking`.
        least: the network reads at least this many samples; shorter clips are followed by silence.
        stems: names of the outputs.
        sample_rate_hz: the rate that the network was trained at.
        normalises: see :mod:`demixing.engine.normalisation`.
    """

    network: Callable[[Tensor], Tensor]
    chunking: Chunking
    least: int = max(WINDOWS) // 2 + 1
    stems: tuple[str, ...] = STEMS
    sample_rate_hz: int = SAMPLE_RATE_HZ
    normalises: Loudness = LEVEL

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        samples = chunks.shape[-1]
        # The audio is mirrored at its ends, and must be long enough for that.
        audio = F.pad(chunks, (0, max(self.least - samples, 0)))
        # One at a time: memory for spectra is large, and a batch would not be faster.
        stems = [self.network(one[None]) for one in audio]
        return torch.cat(stems)[..., :samples]


def chunking(chunk_s: float) -> Chunking:
    """Return chunks whose frames are those of the whole clip.

    Args:
        chunk_s: length in seconds with the context.

    Raises:
        ValueError: it is too short.
    """
    if not chunk_s >= LEAST_S:
        raise ValueError(f"expected chunk_s from {LEAST_S:g} on, got {chunk_s!r}")
    chunk, context, fade = (_frames(seconds) for seconds in (chunk_s, CONTEXT_S, FADE_S))
    shorter = (_frames(chunk_s / parts) for parts in (2, 4) if chunk_s / parts >= LEAST_S)
    return Chunking(
        chunk=chunk,
        hop=chunk - 2 * context - fade,
        context=context,
        step=FRAME_HOP,
        shorter=tuple(shorter),
        end=SongEnd.RAGGED,
    )


def _frames(seconds: float) -> int:
    """Return a length in samples, rounded to whole frames."""
    return round(seconds * SAMPLE_RATE_HZ / FRAME_HOP) * FRAME_HOP


def required_weights(checkpoint: str = "mrx_adapted_loudness") -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens.

    Arguments are those of :func:`build`.
    """
    return [checkpoint]


def build(
    checkpoint: str = "mrx_adapted_loudness", *, chunk_s: float = 60.0, precision: str = "fp32"
) -> CocktailFork:
    """Load the network from a file that the user provides.

    Args:
        checkpoint: one of :data:`CHECKPOINTS`.
        chunk_s: see :func:`chunking`.
        precision: of the network, see :mod:`demixing.networks.execution`.

    Raises:
        CheckpointError: the file is missing, altered, or for another network.
        ConfigError: there is no such checkpoint or precision.
        ValueError: ``chunk_s`` is too short.
    """
    if checkpoint not in CHECKPOINTS:
        hint = did_you_mean(str(checkpoint), list(CHECKPOINTS))
        raise ConfigError(f"MRX has no weights {checkpoint!r}{hint}")
    chunks = chunking(chunk_s)
    entry = checkpoints.find(checkpoint)
    how = execution.choose(precision, change_db=entry.bf16_change_db)
    network = load(MRX, checkpoints.load(entry), entry.name)
    return CocktailFork(how.prepare(network, prepared), chunks)
