"""Mixes stems of different songs: the number of mixtures grows as a power of the number of songs.

ByteSep's recipe remixes every example. But real songs have stems that share tempo and key, which
random mixtures do not teach. So some examples can stay unmixed.
"""

from dataclasses import dataclass

import numpy as np

from demixing.training.augmentation_helpers import check_probability
from demixing.training.sampler import Excerpts, Sampler


@dataclass(frozen=True, slots=True, kw_only=True)
class Remix:
    """Take each stem from another song and place.

    Acts on all stems alike: an example is remixed or it is not.

    Attributes:
        probability: probability of remixing an example.
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
