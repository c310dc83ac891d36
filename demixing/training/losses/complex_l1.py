"""Mean absolute error of the real and imaginary parts of a spectrum."""

from dataclasses import dataclass

import torch
from torch import Tensor

from demixing.training.loss_helpers import MeanOverTime, frames_checked, spectrum


@dataclass(frozen=True, slots=True)
class ComplexErrors:
    """Absolute errors of both parts, ``(b, s, frames)``; their mean, not their sum."""

    frame: int
    hop: int

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """See the class."""
        # A transform is linear, so that one of the difference does.
        error = torch.view_as_real(spectrum(estimate - stems, self.frame, self.hop))
        return error.abs().mean(dim=(2, 3, 5))


def build(frame: int = 2048, hop: int = 441) -> MeanOverTime:
    """Build the loss. Spectra are not normalised: those of noise grow as the root of frame.

    Args:
        frame: length of the window in samples.
        hop: distance of two frames in samples.

    Raises:
        ValueError: they do not fit together.
    """
    frames_checked(frame, hop)
    return MeanOverTime(ComplexErrors(frame, hop))
