"""Leaves stems out: songs without drums exist, and the estimate must then be silent."""

from dataclasses import dataclass

import numpy as np

from demixing.training.augmentation_helpers import check_probability
from demixing.training.sampler import Excerpts, Sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Leave stems out, but never all of them.

    Attributes:
        probability: probability of leaving out a stem.
    """

    probability: float = 0.1

    def __post_init__(self) -> None:
        check_probability(self.probability)

    def choose(
        self, rng: np.random.Generator, excerpts: Excerpts, sampler: Sampler, samples: int
    ) -> Excerpts:
        """See :class:`demixing.training.augmentations.Choice`."""
        there = [stem for stem, chosen in excerpts.items() if chosen]
        out = [stem for stem in there if rng.random() < self.probability]
        if out and len(out) == len(there):
            out.pop(int(rng.integers(len(out))))
        return {stem: () if stem in out else chosen for stem, chosen in excerpts.items()}


build = Silence
