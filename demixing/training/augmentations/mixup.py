"""Two places of the same stem at once: two guitars, two speakers, and twice as many sounds.

ByteSep's recipe sums two segments of each source in every example.
"""

from dataclasses import dataclass

import numpy as np

from demixing.training.sampler import Picks, Pool
from demixing.training.stemwise import check_probability, check_range, linear


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixup:
    """Add another place of the same stem, from any song, to a stem that is heard.

    Attributes:
        low_db: lowest gain of what is added.
        high_db: highest.
        probability: of acting on a stem.
    """

    low_db: float = -9.0
    high_db: float = 0.0
    probability: float = 0.1

    def __post_init__(self) -> None:
        check_range(self.low_db, self.high_db, "_db", -60, 20)
        check_probability(self.probability)

    def choose(self, rng: np.random.Generator, picks: Picks, songs: Pool, samples: int) -> Picks:
        """See :class:`demixing.training.augmentations.Choice`."""
        more = dict(picks)
        for stem, there in picks.items():
            if there and rng.random() < self.probability:
                gain = linear(rng.uniform(self.low_db, self.high_db))
                more[stem] = (*there, songs.pick(rng, stem, samples, gain))
        return more


build = Mixup
