"""Absolute errors of compressed magnitudes, and of real and imaginary parts compressed with them.

With power 0.3, a bin that is 60 dB quieter still counts an eighth as much, which is closer to its
loudness. It is the sum of three means, as in the configurations of ByteSep and of its continuation
of 2023.

Source: Ephrat et al., "Looking to listen at the cocktail party", SIGGRAPH 2018 (power 0.3); Braun,
Tashev, "A consolidated view of loss functions for supervised deep learning-based speech
enhancement", 2020.
"""

from dataclasses import dataclass

from torch import Tensor

from demixing.training.loss_helpers import MeanOverTime, frames_checked, spectrum

QUIET = 1e-8
"""Least power of a bin: the slope of a root is unbounded at 0."""


@dataclass(frozen=True, slots=True)
class CompressedErrors:
    """Sum of the errors of magnitudes, real and imaginary parts, ``(batch, stems, frames)``."""

    frame: int
    hop: int
    power: float

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """See the class."""
        ours, theirs = self._compressed(estimate), self._compressed(stems)
        errors = sum((one - other).abs() for one, other in zip(ours, theirs, strict=True))
        assert isinstance(errors, Tensor)
        return errors.mean(dim=(2, 3))

    def _compressed(self, audio: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compressed magnitudes, real and imaginary parts, ``(batch, stems, 2, bins, frames)``."""
        values = spectrum(audio, self.frame, self.hop)
        energy = (values.real.square() + values.imag.square()).clamp(min=QUIET)
        factor = energy ** ((self.power - 1) / 2)
        return energy ** (self.power / 2), values.real * factor, values.imag * factor


def build(frame: int = 2048, hop: int = 441, power: float = 0.3) -> MeanOverTime:
    """Build the loss. Spectra are not normalised.

    Args:
        frame: length of the window in samples.
        hop: distance between frames in samples.
        power: exponent of the magnitudes, above 0 and at most 1.

    Raises:
        ValueError: an option is invalid.
    """
    frames_checked(frame, hop)
    if not 0 < power <= 1:
        raise ValueError(f"power must be above 0 and at most 1, got {power}")
    return MeanOverTime(CompressedErrors(frame, hop, power))
