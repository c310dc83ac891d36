"""Stems of different songs together: the number of mixtures grows with a power of the songs.

What ByteSep's recipe does for every example. Real songs teach what random ones cannot, that stems
keep time and key with each other; so part of the examples may stay as they are.
"""

from dataclasses import dataclass

import numpy as np

from demixing.training.augmentation_helpers import check_probability
from demixing.training.sampler import Excerpts, Sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class Remix:
    """Take every stem from a song and a place of its own.

    Acts on all stems alike: an example is remixed or it is not.

    Attributes:
        probability: of remixing an example.
    """

    probability: float = 0.75

    def __post_init__(self) -> None:
        check_probability(self.probability)

    def choose(
        self, rng: np.random.Generator, excerpts: Excerpts, sampler: Sampler, samples: int
    ) -> Excerpts:
        """See :class:`demixing.training.augmentations.Choice`."""
        if rng.random() >= self.probability:
            return excerpts
        return {stem: (sampler.excerpt(rng, stem, samples),) for stem in excerpts}


build = Remix
