"""Sums two excerpts of the same stem: two guitars, two speakers, and twice as many sounds.

ByteSep's recipe sums two segments of each source in every example.
"""

from dataclasses import dataclass

import numpy as np

from demixing.training.augmentation_helpers import check_probability, check_range, linear
from demixing.training.sampler import Excerpts, Sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixup:
    """Add another excerpt of the same stem, from any song, to a stem that is not silent.

    Attributes:
        low_db: lowest gain of the added excerpt.
        high_db: highest.
        probability: probability of acting on a stem.
    """

    low_db: float = -9.0
    high_db: float = 0.0
    probability: float = 0.1

    def __post_init__(self) -> None:
        check_range(self.low_db, self.high_db, "_db", -60, 20)
        check_probability(self.probability)

    def choose(
        self, rng: np.random.Generator, excerpts: Excerpts, sampler: Sampler, samples: int
    ) -> Excerpts:
        """See :class:`demixing.training.augmentations.Choice`."""
        more = dict(excerpts)
        for stem, there in excerpts.items():
            if there and rng.random() < self.probability:
                gain = linear(rng.uniform(self.low_db, self.high_db))
                more[stem] = (*there, sampler.excerpt(rng, stem, samples, gain))
        return more


build = Mixup
