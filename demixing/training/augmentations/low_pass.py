"""Cuts all stems off at one frequency, as in a song that was lossily compressed.

If the data comes from several sources, one stem often has nothing above 16 kHz and another does. A
network then learns the source instead of the sound. Songs to be separated have various bandwidths
as well. So all stems of some examples are cut off at the same frequency.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from demixing.training.augmentation_helpers import (
    AllAlike,
    check_probability,
    check_range,
    each,
    log_uniform,
)
from demixing.training.filtering import convolve, low_pass

TAPS = 511
"""Length of the filter. Its transition takes 240 Hz at 44.1 kHz, about that of an encoder."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Drawn parameters of an example.

    Attributes:
        cutoff_hz: frequency at which the amplitude is halved.
        rate_hz: sample rate of the stems.
    """

    cutoff_hz: float
    rate_hz: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LowPass(AllAlike):
    """Cut all stems off at one random frequency. Acts on all stems alike.

    Attributes:
        low_hz: lowest cutoff; MP3 at 64 kbit/s ends at about 11 kHz.
        high_hz: highest; each octave in between is equally likely. A cutoff above half the sample
            rate has no effect.
        probability: probability of acting on an example.
    """

    low_hz: float = 10_000.0
    high_hz: float = 20_000.0
    probability: float = 0.1

    def __post_init__(self) -> None:
        check_range(self.low_hz, self.high_hz, "_hz", 500, 100_000)
        check_probability(self.probability)

    def draw(self, rng: np.random.Generator, stems: int, samples: int, rate_hz: int) -> Cut | None:
        """Draw the cutoff."""
        if rng.random() >= self.probability:
            return None
        cutoff_hz = log_uniform(rng, self.low_hz, self.high_hz)
        return Cut(cutoff_hz, rate_hz) if cutoff_hz < rate_hz / 2 else None

    def apply(self, stems: Tensor, drawn: Cut | None) -> Tensor:
        """See :class:`demixing.training.augmentations.Augmentation`."""
        if drawn is None:
            return stems
        impulse = low_pass(drawn.cutoff_hz, drawn.rate_hz, TAPS)
        return each(
            stems,
            [impulse] * len(stems),
            lambda stem, impulse: convolve(stem, impulse, delay=TAPS // 2),
        )


build = LowPass
