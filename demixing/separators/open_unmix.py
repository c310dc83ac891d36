"""Open-Unmix: vocals, drums, bass and the rest, by recurrent networks and a Wiener filter.

The authors run the networks on a whole song. Here they process chunks of more than a minute, with
context and a cross-fade, so memory does not depend on the length of a song. A shorter song is
separated exactly as by the authors. The Wiener filter works on blocks of 300 frames that start
where theirs do.

Source: Stoter, Uhlich, Liutkus, Mitsufuji, "Open-Unmix - a reference implementation for music
source separation", JOSS 4(41), 2019; the drivers of the package openunmix 1.3.0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing.errors import CheckpointError
from demixing.networks import execution
from demixing.networks.execution import PreparedNetwork
from demixing.networks.movable import Networks
from demixing.networks.open_unmix import BINS, FRAME, FRAME_HOP, OpenUnmix, prepared, weights
from demixing.networks.stft import istft
from demixing.networks.wiener import wiener
from demixing.separator import Chunking, SongEnd, distinct
from demixing.weights import checkpoints
from demixing.weights.loading import empty, fill

SAMPLE_RATE_HZ = 44_100
WIENER_FRAMES = 300
"""Frames of a block of the Wiener filter, in which directions are constant, as in the original."""

FADED_FRAMES = 100
"""Frames over which chunks are cross-faded. A block of the Wiener filter is also discarded at both
ends: with frames without context, its estimates of directions would be affected."""

MODELS = ("umx", "umxhq", "umxl")
TARGETS = ("vocals", "drums", "bass", "other")
RESIDUAL = "residual"


@dataclass(frozen=True, slots=True)
class OpenUnmixes(Networks):
    """Separates each stem by its own network, with one Wiener filter for all of them.

    Attributes:
        networks: map magnitudes ``(batch, 2, bins, frames)`` to those of a stem.
        stems: names of the outputs; one more than networks, :data:`RESIDUAL`, is the rest.
        chunking: see :func:`chunking`.
        iterations: of the Wiener filter.
        softmask: see :func:`demixing.networks.wiener.wiener`.
        wiener_frames: frames of a block of the Wiener filter.
        sample_rate_hz: the rate that the networks were trained at.
    """

    networks: tuple[Callable[[Tensor], Tensor], ...]
    stems: tuple[str, ...]
    chunking: Chunking
    iterations: int = 1
    softmask: bool = False
    wiener_frames: int = WIENER_FRAMES
    sample_rate_hz: int = SAMPLE_RATE_HZ

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        # One at a time: on a CPU, recurrent networks are slower with a batch.
        return torch.stack([self._stems(chunk) for chunk in chunks])

    def _stems(self, chunk: Tensor) -> Tensor:
        """Separate audio of any length, ``(2, samples)`` to ``(stems, 2, samples)``."""
        samples = chunk.shape[-1]
        # The audio is mirrored at its start, and must be long enough for that.
        audio = F.pad(chunk, (0, max(FRAME - samples, 0)))
        window = torch.hann_window(FRAME)
        spectrum = torch.stft(
            audio, FRAME, FRAME_HOP, window=window, pad_mode="reflect", return_complex=True
        )
        magnitude = spectrum.abs()
        # Frames come before bins in memory, as the networks return them and the inverse needs them.
        stems = spectrum.new_empty(len(self.stems), 2, spectrum.shape[-1], BINS).transpose(2, 3)
        magnitudes = [network(magnitude[None])[0] for network in self.networks]
        for start in range(0, spectrum.shape[-1], self.wiener_frames):
            frames = slice(start, start + self.wiener_frames)
            stems[..., frames] = wiener(
                torch.stack([one[..., frames] for one in magnitudes]),
                spectrum[..., frames],
                self.iterations,
                softmask=self.softmask,
                residual=len(self.stems) > len(self.networks),
            )
        del magnitudes, magnitude, spectrum
        return torch.stack([istft(stem, FRAME, FRAME_HOP, samples) for stem in stems])


def chunking(chunk_s: float) -> Chunking:
    """Return chunks that start with a block of the Wiener filter.

    Args:
        chunk_s: shortest length in seconds; it is rounded up to whole blocks.

    Raises:
        ValueError: a chunk has only context.
    """
    block, fade = WIENER_FRAMES * FRAME_HOP, FADED_FRAMES * FRAME_HOP
    blocks = -int((fade - chunk_s * SAMPLE_RATE_HZ) // block)
    if blocks < 3:
        least_s = (2 * block + fade) / SAMPLE_RATE_HZ
        raise ValueError(f"expected chunk_s above {least_s:.2f}, got {chunk_s}")
    return Chunking(
        chunk=blocks * block + fade,
        hop=(blocks - 2) * block,
        context=block,
        step=block,
        end=SongEnd.RAGGED,
        shorter=tuple(blocks // parts * block for parts in (2, 4) if blocks // parts >= 2),
    )


def required_weights(model: str = "umxl", targets: Sequence[str] = TARGETS) -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens.

    Arguments are those of :func:`build`.
    """
    return [f"{model}_{target}" for target in targets]


def build(
    model: str = "umxl",
    targets: Sequence[str] = TARGETS,
    *,
    niter: int = 1,
    softmask: bool = False,
    residual: bool = False,
    chunk_s: float = 70.0,
    precision: str = "fp32",
) -> OpenUnmixes:
    """Load one network for each target from files that the user provides.

    Args:
        model: "umx", "umxhq" or "umxl".
        targets: names of stems, of :data:`TARGETS`.
        niter: iterations of the Wiener filter.
        softmask: see :func:`demixing.networks.wiener.wiener`.
        residual: whether the mixture minus the targets becomes a stem "residual".
        chunk_s: see :func:`chunking`.
        precision: of the networks, see :mod:`demixing.networks.execution`.

    Raises:
        CheckpointError: a file is missing, altered, or for another network.
        ConfigError: there is no such precision.
        ValueError: an option is out of range.
    """
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {model!r}")
    stems = distinct(targets)
    if not set(stems) <= set(TARGETS):
        raise ValueError(f"targets must be of {', '.join(TARGETS)}, got {targets!r}")
    if niter < 0:
        raise ValueError(f"niter must not be negative, got {niter}")
    if niter and len(stems) + residual < 2:
        raise ValueError("one target needs niter = 0 or residual = true: the filter compares stems")
    chunks = chunking(chunk_s)
    networks = tuple(_loaded(f"{model}_{target}", precision) for target in stems)
    if residual:
        stems = (*stems, RESIDUAL)
    return OpenUnmixes(networks, stems, chunks, niter, softmask)


def network(state: Mapping[str, Tensor], name: str) -> OpenUnmix:
    """Build the network of a checkpoint, with the weights' width, and fill it.

    Args:
        state: of the file.
        name: of the weights, for messages.

    Raises:
        CheckpointError: the weights are for another network.
    """
    if "fc1.weight" not in state or state["fc1.weight"].dim() != 2:
        raise CheckpointError(
            f"the weights {name!r} are not for Open-Unmix: there is no fc1.weight"
        )
    made = empty(lambda: OpenUnmix(hidden=len(state["fc1.weight"])))
    fill(made, weights(made, state), name)
    return made


def _loaded(name: str, precision: str) -> PreparedNetwork:
    """Load one network and prepare it."""
    entry = checkpoints.find(name)
    how = execution.choose(precision, change_db=entry.bf16_change_db)
    return how.prepare(network(checkpoints.load(entry), name), prepared)
