"""Mean squared error of the waveform, as in KUIELab's networks of 2023."""

from torch import Tensor

from demixing.training.loss_helpers import MeanOverTime


def errors(estimate: Tensor, stems: Tensor) -> Tensor:
    """Squared errors of ``(batch, stems, 2, samples)``, as ``(batch, stems, samples)``."""
    return (estimate - stems).square().mean(dim=2)


def build() -> MeanOverTime:
    """Build the loss; it has no options."""
    return MeanOverTime(errors)
