"""Mean absolute error of the magnitudes of a spectrum."""

from dataclasses import dataclass

from torch import Tensor

from demixing.training.loss_helpers import MeanOverTime, frames_checked, spectrum


@dataclass(frozen=True, slots=True)
class MagnitudeErrors:
    """Absolute errors of magnitudes, ``(batch, stems, frames)``."""

    frame: int
    hop: int

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """See the class."""
        ours, theirs = (spectrum(audio, self.frame, self.hop).abs() for audio in (estimate, stems))
        return (ours - theirs).abs().mean(dim=(2, 3))


def build(frame: int = 2048, hop: int = 441) -> MeanOverTime:
    """Build the loss. Magnitudes are not normalised: for noise, they grow as the root of ``frame``.

    Args:
        frame: length of the window in samples.
        hop: distance between frames in samples.

    Raises:
        ValueError: frame and hop are invalid.
    """
    frames_checked(frame, hop)
    return MeanOverTime(MagnitudeErrors(frame, hop))
