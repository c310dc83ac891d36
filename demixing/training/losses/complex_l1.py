"""Mean absolute error of the real and imaginary parts of a spectrum."""

from dataclasses import dataclass

import torch
from torch import Tensor

from demixing.training.loss_helpers import MeanOverTime, frames_checked, spectrum


@dataclass(frozen=True, slots=True)
class ComplexErrors:
    """Mean absolute errors of real and imaginary parts, ``(batch, stems, frames)``."""

    frame: int
    hop: int

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """See the class."""
        # The transform is linear, so the difference is transformed once.
        error = torch.view_as_real(spectrum(estimate - stems, self.frame, self.hop))
        return error.abs().mean(dim=(2, 3, 5))


def build(frame: int = 2048, hop: int = 441) -> MeanOverTime:
    """Build the loss. Spectra are not normalised: for noise, they grow as the root of ``frame``.

    Args:
        frame: length of the window in samples.
        hop: distance between frames in samples.

    Raises:
        ValueError: frame and hop are invalid.
    """
    frames_checked(frame, hop)
    return MeanOverTime(ComplexErrors(frame, hop))
