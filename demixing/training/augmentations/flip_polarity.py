"""Inverts the polarity of a stem: it sounds the same, but sums differently with the others."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from demixing.training.augmentation_helpers import EachStem, check_probability, for_some, scaled


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipPolarity(EachStem):
    """Multiply a stem by -1.

    Attributes:
        probability: probability of acting on a stem.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        check_probability(self.probability)

    def draw(
        self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int
    ) -> tuple[bool | None, ...]:
        """Draw which stems are inverted."""
        return for_some(rng, stems, self.probability, lambda: True)

    def apply(self, stems: Tensor, drawn: tuple[bool | None, ...]) -> Tensor:
        """See :class:`demixing.training.augmentations.Augmentation`."""
        return scaled(stems, [[-1.0 if flipped else 1.0] for flipped in drawn])


build = FlipPolarity
