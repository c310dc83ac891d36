"""Mean absolute error of the waveform, as in ByteSep and Demucs."""

from torch import Tensor

from demixing.training.loss_helpers import MeanOverTime


def errors(estimate: Tensor, stems: Tensor) -> Tensor:
    """Absolute errors of ``(batch, stems, 2, samples)``, as ``(batch, stems, samples)``."""
    return (estimate - stems).abs().mean(dim=2)


def build() -> MeanOverTime:
    """Build the loss; it has no options."""
    return MeanOverTime(errors)
