"""Helpers for losses: precision, spectra, and means over blocks of time."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Errors = Callable[[Tensor, Tensor], Tensor]
"""Maps estimate and stems, ``(batch, stems, 2, samples)``, to errors, ``(batch, stems, times)``."""


@dataclass(frozen=True, slots=True)
class MeanOverTime:
    """A loss that is the mean of errors over time: :class:`demixing.training.losses.Loss`.

    Attributes:
        errors: get tensors of float32 or float64.
    """

    errors: Errors

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """See :class:`demixing.training.losses.Loss`."""
        return self.errors(*exact(estimate, stems)).mean(dim=-1)

    def blocks(self, estimate: Tensor, stems: Tensor, count: int) -> Tensor:
        """See :class:`demixing.training.losses.Loss`."""
        return pooled(self.errors(*exact(estimate, stems)), count)


def exact(estimate: Tensor, stems: Tensor) -> tuple[Tensor, Tensor]:
    """Convert both to float32, or to float64 if one of them is.

    Args:
        estimate: ``(batch, stems, 2, samples)``.
        stems: the same shape.

    Raises:
        ValueError: the shapes differ; torch would otherwise broadcast them.
    """
    if estimate.shape != stems.shape or estimate.dim() != 4:
        raise ValueError(
            "expected an estimate and stems of one shape (batch, stems, 2, samples), "
            f"got {tuple(estimate.shape)} and {tuple(stems.shape)}"
        )
    double = torch.float64 in (estimate.dtype, stems.dtype)
    dtype = torch.float64 if double else torch.float32
    return estimate.to(dtype), stems.to(dtype)


def pooled(errors: Tensor, count: int) -> Tensor:
    """Means over ``count`` blocks of the last axis; their lengths differ by at most one element.

    Args:
        errors: ``(..., times)``.
        count: number of blocks.

    Returns:
        ``(..., count)``.

    Raises:
        ValueError: there are fewer elements than blocks.

    >>> pooled(torch.arange(6.0), 3)
    tensor([0.5000, 2.5000, 4.5000])
    """
    length = errors.shape[-1]
    if not 1 <= count <= length:
        raise ValueError(
            f"expected 1 to {length} blocks of {length} samples or frames, got {count}"
        )
    if length % count == 0:
        return errors.reshape(*errors.shape[:-1], count, -1).mean(dim=-1)
    return torch.stack([part.mean(dim=-1) for part in errors.tensor_split(count, -1)], dim=-1)


def spectrum(audio: Tensor, frame: int, hop: int) -> Tensor:
    """Short-time Fourier transform of the last axis: periodic Hann window, centred, reflected ends.

    Args:
        audio: ``(..., samples)``, longer than half a frame.
        frame: length of the window in samples.
        hop: distance between frames in samples.

    Returns:
        Complex ``(..., frame // 2 + 1, samples // hop + 1)``, not normalised.
    """
    result = torch.stft(
        audio.reshape(-1, audio.shape[-1]),
        n_fft=frame,
        hop_length=hop,
        window=torch.hann_window(frame, dtype=audio.dtype, device=audio.device),
        pad_mode="reflect",
        return_complex=True,
    )
    return result.reshape(*audio.shape[:-1], *result.shape[1:])


def frames_checked(frame: int, hop: int) -> None:
    """Check frame and hop of a spectrum.

    Raises:
        ValueError: one is not a length, or the hop is so long that samples would not count.
    """
    for length in (frame, hop):
        if type(length) is not int:
            raise ValueError(f"frame and hop are whole numbers of samples, got {length!r}")
    if not 0 < hop <= frame // 2:
        raise ValueError(f"need 0 < hop <= frame / 2, got frame {frame} and hop {hop}")
