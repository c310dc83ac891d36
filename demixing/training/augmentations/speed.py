"""Plays stems faster and higher, or slower and lower, like a tape.

It is plain resampling, without artefacts. :mod:`demixing.training.augmentations.stretch` changes
pitch and tempo independently, has artefacts, and takes several times as long.
"""

import math
from dataclasses import dataclass

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from torch import Tensor

from demixing.training.augmentation_helpers import (
    EachStem,
    check_probability,
    check_range,
    each,
    for_some,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed(EachStem):
    """Resample stems.

    Attributes:
        low_semitones: lowest change of pitch; 12 semitones are a factor of 2.
        high_semitones: highest.
        together: apply one change to all stems of an example; ``probability`` is then per
            example.
        probability: probability of acting on a stem.
    """

    low_semitones: float = -2.0
    high_semitones: float = 2.0
    together: bool = False
    probability: float = 0.2

    def __post_init__(self) -> None:
        check_range(self.low_semitones, self.high_semitones, "_semitones", -12, 12)
        check_probability(self.probability)

    def needs(self, samples: int) -> int:
        """See :class:`demixing.training.augmentations.Longer`."""
        return math.ceil(samples * 2 ** (max(self.high_semitones, 0) / 12)) + 1

    def draw(
        self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int
    ) -> tuple[float | None, ...]:
        """Draw the speed of each stem, as a factor."""
        drawn = for_some(
            rng,
            1 if self.together else stems,
            self.probability,
            lambda: float(2 ** (rng.uniform(self.low_semitones, self.high_semitones) / 12)),
        )
        return drawn * stems if self.together else drawn

    def apply(self, stems: Tensor, drawn: tuple[float | None, ...]) -> Tensor:
        """See :class:`~demixing.training.augmentations.Augmentation`; silence fills the rest."""
        return each(stems, drawn, faster)


def faster(stem: Tensor, speed: float) -> Tensor:
    """Play a stem faster or slower, and keep its length by cutting or padding.

    Args:
        stem: ``(2, samples)``.
        speed: above 1 is faster and higher.

    Returns:
        ``(2, samples)``.
    """
    samples = stem.shape[-1]
    used = min(samples, math.ceil(samples * speed) + 64)  # the rest is not needed for slower stems
    frames = stem[:, :used].numpy().T  # a view: soxr also takes channel after channel
    done = torch.from_numpy(soxr.resample(frames, speed, 1.0)).T[:, :samples]
    return F.pad(done, (0, samples - done.shape[-1]))


build = Speed
