"""Stems faster and higher or slower and lower, as a tape: pitch and tempo for the price of one.

It is a change of sample rate and leaves no traces, unlike
:mod:`demixing.training.augmentations.stretch`, which changes pitch and tempo apart and costs
several times as much.
"""

import math
from dataclasses import dataclass

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from torch import Tensor

from demixing.training.augmentation_helpers import check_probability, check_range, each, for_some


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Resample stems.

    Attributes:
        low_semitones: lowest change of pitch; 12 semitones are a factor of 2.
        high_semitones: highest.
        together: all stems of an example are changed alike, as a song would be, and ``probability``
            is that of changing the example.
        probability: of acting on a stem.
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
        """Choose the speed of each stem, relative to what it was."""
        drawn = for_some(
            rng,
            1 if self.together else stems,
            self.probability,
            lambda: float(2 ** (rng.uniform(self.low_semitones, self.high_semitones) / 12)),
        )
        return drawn * stems if self.together else drawn

    def apply(self, stems: Tensor, drawn: tuple[float | None, ...]) -> Tensor:
        """See :class:`~demixing.training.augmentations.Augmentation`; silence fills up the rest."""
        return each(stems, drawn, faster)


def faster(stem: Tensor, speed: float) -> Tensor:
    """Play a stem faster or slower, and keep its length by cutting or by silence.

    Args:
        stem: ``(2, samples)``.
        speed: above 1 is faster and higher.
    """
    samples = stem.shape[-1]
    used = min(samples, math.ceil(samples * speed) + 64)  # slower: the rest would be cut off
    frames = np.ascontiguousarray(stem[:, :used].numpy().T)
    done = torch.from_numpy(soxr.resample(frames, speed, 1.0)).T[:, :samples]
    return F.pad(done, (0, samples - done.shape[-1]))


build = Speed
