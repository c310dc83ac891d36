"""Makes each stem louder or softer, so that networks do not rely on a balance of the mix."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from demixing.training.augmentation_helpers import (
    EachStem,
    check_probability,
    check_range,
    for_some,
    linear,
    scaled,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain(EachStem):
    """Multiply every stem by its own random gain.

    Attributes:
        low_db: lowest gain.
        high_db: highest gain; all values in between are equally likely.
        probability: probability of acting on a stem.
    """

    low_db: float = -6.0
    high_db: float = 6.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        check_range(self.low_db, self.high_db, "_db", -60, 60)
        check_probability(self.probability)

    def draw(
        self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int
    ) -> tuple[float | None, ...]:
        """Draw a gain for each stem, in dB."""
        return for_some(
            rng, stems, self.probability, lambda: rng.uniform(self.low_db, self.high_db)
        )

    def apply(self, stems: Tensor, drawn: tuple[float | None, ...]) -> Tensor:
        """See :class:`demixing.training.augmentations.Augmentation`."""
        return scaled(stems, [[linear(gain_db or 0.0)] for gain_db in drawn])


build = Gain
