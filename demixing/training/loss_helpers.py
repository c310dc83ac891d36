"""What losses share: enough precision, spectra, and means over blocks of time."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Errors = Callable[[Tensor, Tensor], Tensor]
"""Of estimate and stems ``(b, s, 2, samples)``: errors ``(b, s, times)``, at samples or frames."""


@dataclass(frozen=True, slots=True)
class MeanOverTime:
    """A loss that is the mean of errors at points of time: :class:`demixing.training.losses.Loss`.

    Attributes:
        errors: are given tensors of float32 at least.
    """

    errors: Errors

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """See :class:`demixing.training.losses.Loss`."""
        return self.errors(*exact(estimate, stems)).mean(dim=-1)

    def blocks(self, estimate: Tensor, stems: Tensor, count: int) -> Tensor:
        """See :class:`demixing.training.losses.Loss`."""
        return pooled(self.errors(*exact(estimate, stems)), count)


def exact(estimate: Tensor, stems: Tensor) -> tuple[Tensor, Tensor]:
    """Both as float32, or as float64 if they were.

    Raises:
        ValueError: their shapes differ, which torch would otherwise stretch to fit.
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
    """Means over ``count`` blocks of the last axis, alike in length to one element.

    Raises:
        ValueError: there are less elements than blocks.

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
    """Transform the last axis: periodic Hann, centred frames, mirrored at its ends.

    Args:
        audio: ``(..., samples)``, longer than half a frame.
        frame: length of the window in samples.
        hop: distance of two frames in samples.

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
    """Check options of a spectrum.

    Raises:
        ValueError: they are no lengths, or parts of the audio would not be heard.
    """
    for length in (frame, hop):
        if type(length) is not int:
            raise ValueError(f"frame and hop are whole numbers of samples, got {length!r}")
    if not 0 < hop <= frame // 2:
        raise ValueError(f"need 0 < hop <= frame / 2, got frame {frame} and hop {hop}")
