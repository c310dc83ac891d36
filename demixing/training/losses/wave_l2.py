"""Mean squared error of the waveform: what KUIELab's nets of 2023 were trained with."""

from torch import Tensor

from demixing.training.loss_helpers import MeanOverTime


def errors(estimate: Tensor, stems: Tensor) -> Tensor:
    """Squared errors, ``(b, s, samples)``."""
    return (estimate - stems).square().mean(dim=2)


def build() -> MeanOverTime:
    """Build the loss; it has no options."""
    return MeanOverTime(errors)
