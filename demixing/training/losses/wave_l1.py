"""Mean absolute error of the waveform: what ByteSep and Demucs were trained with."""

from torch import Tensor

from demixing.training.loss_helpers import MeanOverTime


def errors(estimate: Tensor, stems: Tensor) -> Tensor:
    """Absolute errors, ``(b, s, samples)``."""
    return (estimate - stems).abs().mean(dim=2)


def build() -> MeanOverTime:
    """Build the loss; it has no options."""
    return MeanOverTime(errors)
