"""Absolute errors of magnitudes in several resolutions, optionally of their logarithms too.

Magnitudes are divided by the root of the window's energy. So the magnitudes of noise follow its
level in every resolution, and the resolutions are weighted equally.

Source of the idea: Yamamoto, Song, Kim, "Parallel WaveGAN", ICASSP 2020; theirs also divides by the
norm of the reference, which is 0 for silent stems.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from demixing.training.loss_helpers import MeanOverTime, frames_checked, spectrum
from demixing.training.losses.sum import Sum

FRAMES = (512, 1024, 2048, 4096)
FLOOR = 1e-3
"""Added to magnitudes before the logarithm: 60 dB below full scale counts as silent."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """Errors in one resolution, ``(batch, stems, frames)``.

    Attributes:
        frame: length of the window in samples.
        hop: distance between frames in samples.
        log: weight of the errors of natural logarithms.
    """

    frame: int
    hop: int
    log: float

    def __call__(self, estimate: Tensor, stems: Tensor) -> Tensor:
        """See the class."""
        ours, theirs = self._magnitudes(estimate), self._magnitudes(stems)
        errors = (ours - theirs).abs()
        if self.log:
            errors = errors + self.log * ((ours + FLOOR) / (theirs + FLOOR)).log().abs()
        return errors.mean(dim=(2, 3))

    def _magnitudes(self, audio: Tensor) -> Tensor:
        """Magnitudes, ``(batch, stems, 2, bins, frames)``; a Hann window has energy 3/8 frame."""
        return spectrum(audio, self.frame, self.hop).abs() / math.sqrt(3 / 8 * self.frame)


def build(
    frames: Sequence[int] = FRAMES, hops: Sequence[int] | None = None, log: float = 0.0
) -> Sum:
    """Build the loss, the mean over the resolutions.

    Args:
        frames: lengths of the windows in samples.
        hops: distances between frames in samples; by default a quarter of a frame.
        log: weight of the errors of natural logarithms.

    Raises:
        ValueError: frames and hops do not match, or the weight is negative.
    """
    hops = [frame // 4 for frame in frames] if hops is None else hops
    if not frames or len(frames) != len(hops):
        raise ValueError(f"expected a hop for each of at least one frame, got {frames} and {hops}")
    if not 0 <= log < math.inf:
        raise ValueError(f"log must be a weight of 0 or more, got {log}")
    for frame, hop in zip(frames, hops, strict=True):
        frames_checked(frame, hop)
    resolutions = (Resolution(*pair, log) for pair in zip(frames, hops, strict=True))
    return Sum(tuple((1 / len(frames), MeanOverTime(errors)) for errors in resolutions))
