"""Moves each stem to the left or to the right by a level difference."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from demixing.training.augmentation_helpers import (
    EachStem,
    check_probability,
    for_some,
    linear,
    scaled,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pan(EachStem):
    """Make the channels of every stem differ in level.

    Attributes:
        most_db: largest attenuation of one channel; the other channel is unchanged.
        probability: probability of acting on a stem.
    """

    most_db: float = 6.0
    probability: float = 0.3

    def __post_init__(self) -> None:
        check_probability(self.probability)
        if not 0 <= self.most_db <= 60:
            raise ValueError(f"need 0 <= most_db <= 60, got {self.most_db}")

    def draw(
        self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int
    ) -> tuple[float | None, ...]:
        """Draw by how much the right channel of each stem becomes louder than the left, in dB."""
        return for_some(
            rng, stems, self.probability, lambda: rng.uniform(-self.most_db, self.most_db)
        )

    def apply(self, stems: Tensor, drawn: tuple[float | None, ...]) -> Tensor:
        """See :class:`demixing.training.augmentations.Augmentation`."""
        pairs = [(-max(right_db or 0.0, 0.0), min(right_db or 0.0, 0.0)) for right_db in drawn]
        return scaled(stems, [[linear(left_db), linear(right_db)] for left_db, right_db in pairs])


build = Pan
