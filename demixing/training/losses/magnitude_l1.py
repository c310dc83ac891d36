"""Mean absolute error of the magnitudes of a spectrum."""

from dataclasses import dataclass

from torch import Tensor

from demixing.training.loss_helpers import MeanOverTime, frames_checked, spectrum


@dataclass(frozen=True, slots=True)
class MagnitudeErrors:
    """Absolute errors of magnitudes, ``(b, s, frames)``."""

    frame: int
    hop: int

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """See the class."""
        ours, theirs = (spectrum(audio, self.frame, self.hop).abs() for audio in (estimate, stems))
        return (ours - theirs).abs().mean(dim=(2, 3))


def build(frame: int = 2048, hop: int = 441) -> MeanOverTime:
    """Build the loss. Magnitudes are not normalised: those of noise grow as the root of frame.

    Args:
        frame: length of the window in samples.
        hop: distance of two frames in samples.

    Raises:
        ValueError: they do not fit together.
    """
    frames_checked(frame, hop)
    return MeanOverTime(MagnitudeErrors(frame, hop))
